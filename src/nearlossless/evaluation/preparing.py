"""What is read of an evaluation before anything is loaded, so that no mistake shows after hours."""

from dataclasses import dataclass
from pathlib import Path

from nearlossless.cases.case import CaseError
from nearlossless.evaluation.identity import RunIdentity, identity_of
from nearlossless.evaluation.parquet import check_installed
from nearlossless.evaluation.prompts import PromptSet, read_prompts
from nearlossless.evaluation.reference import Reference, read_reference
from nearlossless.runs.selection import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is evaluated and how; None takes what the case says."""

    subject: Subject  # whose case draws one picture a call
    folder: Path
    prompts: str | None = None
    reference: Path | None = None
    features: str | None = None
    threads: int | None = None
    stop_early: bool = False

    @property
    def feature_folder(self) -> str | None:
        """Of the network that FID compares."""
        return self.features or self.subject.case.evaluation.features


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What was read."""

    wanted: Wanted
    prompts: PromptSet
    reference: Reference | None
    identity: RunIdentity

    @property
    def reference_source(self) -> Path | None:
        """The file that other pictures' statistics came from."""
        return reference_path(self.wanted)


def reference_path(wanted: Wanted) -> Path | None:
    """The file of reference statistics, if there is one."""
    named = wanted.subject.case.evaluation.reference
    return wanted.reference or (Path(named).expanduser() if named is not None else None)


def prepare(wanted: Wanted) -> Prepared:
    """
    Read prompts and reference, and say what the run is.

    Raises:
        CaseError: One of them cannot be used; says which line and why.
        BackendUnavailable: What writes results is not installed.
    """
    check_installed()
    case = wanted.subject.case
    source = wanted.prompts or case.evaluation.prompts
    if source is None:
        raise CaseError(f"case '{case.name}' names no prompts: give --prompts FILE, or evaluation.prompts in case.toml")
    if wanted.feature_folder is not None and not Path(wanted.feature_folder).expanduser().is_dir():
        raise CaseError(f"features '{wanted.feature_folder}' is no local folder")
    prompts, path = read_prompts(source, first_seed=case.generation.seeds[0]), reference_path(wanted)
    identity = identity_of(wanted.subject, prompts, features=wanted.feature_folder, threads=wanted.threads)
    return Prepared(
        wanted=wanted,
        prompts=prompts,
        reference=read_reference(path) if path is not None else None,
        identity=identity,
    )
