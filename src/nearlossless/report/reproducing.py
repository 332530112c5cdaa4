"""The command that asks a gate's question again."""

import argparse
import shlex

from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import VerdictRecord

_KEPT = ("--backend", "--against", "--baselines")  # of a run's options, those that change what a gate asks


def reproducing(command: str, subject: SubjectRecord, verdict: VerdictRecord) -> str:
    """
    A shell command that runs one gate on one subject, from the folder in which the run was started.

    Args:
        command: With which the whole run was started.
        subject: What was judged.
        verdict: Of the gate.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in _KEPT:
        parser.add_argument(option)
    try:
        given, _ = parser.parse_known_args(shlex.split(command))
    except (ValueError, argparse.ArgumentError):
        given = argparse.Namespace()
    options = [(option, getattr(given, option.removeprefix("--"), None)) for option in _KEPT]
    kept = [part for option, value in options if value is not None for part in (option, value)]
    is_named = getattr(given, "backend", None) is None or given.backend.replace(":", ".") != subject.recipe
    recipe = ["--recipe", subject.recipe] if is_named else []
    if is_named and "--backend" in kept:
        kept = kept[2:]
    return shlex.join(["pytest", verdict.test, "--case", subject.case, *recipe, *kept])
