"""The command that asks a gate's question again."""

import argparse
import shlex
from functools import cache

from nearlossless.fields import RELEASE_GATES
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import VerdictRecord

# Of a run's options, those that change what a gate asks.
_KEPT = ("--backend", "--against", "--processes", "--prompts", "--baselines")


def reproducing(command: str, subject: SubjectRecord, verdict: VerdictRecord) -> str:
    """
    A shell command that runs one gate on one subject, from the folder in which the run was started.

    Args:
        command: With which the whole run was started.
        subject: What was judged.
        verdict: Of the gate.
    """
    kept = dict(_kept(command))
    backend = kept.get("--backend")
    is_named = backend is None or backend.replace(":", ".") != subject.recipe
    if is_named:
        kept.pop("--backend", None)
    recipe = ["--recipe", subject.recipe] if is_named else []
    options = [part for option in kept.items() for part in option]
    if verdict.gate in RELEASE_GATES:
        options += ["-m", "release"]  # they run only where it is named
    return shlex.join(["pytest", verdict.test, "--case", subject.case, *recipe, *options])


@cache
def _kept(command: str) -> tuple[tuple[str, str], ...]:
    """The options of a run that change what a gate asks, with their values."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in _KEPT:
        parser.add_argument(option)
    try:
        given, _ = parser.parse_known_args(shlex.split(command))
    except (ValueError, argparse.ArgumentError):
        return ()
    values = [(option, getattr(given, option.removeprefix("--"))) for option in _KEPT]
    return tuple((option, value) for option, value in values if value is not None)
