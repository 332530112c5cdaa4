"""The record that was last accepted for a recipe on this hardware, and whether it was taken on this very machine."""

from pathlib import Path

from nearlossless.cases.recipes import NEXFORT, Recipe
from nearlossless.environment import Fingerprint, hardware_folder
from nearlossless.record import RecordError, read_record
from nearlossless.record.shapes import WarmupCounts
from nearlossless.record.speed import AcceptedSpeeds


def accepted_path(case_folder: Path, recipe: str, hardware: str, dtype: str) -> Path:
    """Where `nearlossless approve --thresholds` keeps a recipe's record."""
    return case_folder / hardware_folder(hardware, dtype) / f"record-{recipe}.json"


def accepted_speeds(case_folder: Path, recipe: str, batch_size: int, fingerprint: Fingerprint) -> AcceptedSpeeds:
    """
    The latencies of the accepted record, without their phases, or why they are nothing to compare with.

    Args:
        case_folder: Of the case.
        recipe: Its name.
        batch_size: Pictures a call.
        fingerprint: Of this process: times are compared on the same GPU under the same power limit only.
    """
    picture = fingerprint.picture
    path = accepted_path(case_folder, recipe, picture.hardware, picture.dtype)
    if not path.exists():
        accept = "nearlossless approve --thresholds accepts this run's"
        return AcceptedSpeeds(problem=f"no record is accepted on {picture.hardware}; {accept}")
    try:
        record = read_record(path)
    except RecordError as error:
        return AcceptedSpeeds(problem=str(error))
    subject = next((subject for subject in record.subjects if subject.recipe == recipe), None)
    if subject is None or subject.fingerprint is None:
        return AcceptedSpeeds(problem=f"{path}: holds no fingerprint of recipe '{recipe}'")
    changed = fingerprint.timing.differences(subject.fingerprint.timing)
    if subject.batch_size != batch_size:
        changed.append(f"batch_size: {subject.batch_size} -> {batch_size}")
    if changed:
        return AcceptedSpeeds(problem=f"the accepted record has another timing identity: {', '.join(changed)}")
    if fingerprint.timing.device_uuid is None and not picture.hardware.startswith("cpu-"):
        return AcceptedSpeeds(problem="the GPU's UUID cannot be read, so that no record can be known to be its own")
    return AcceptedSpeeds(
        started=record.started,
        baseline_s=subject.speeds.baseline_s,
        compiled_s=subject.speeds.compiled_s,
        set_aside=subject.speeds.set_aside,
        clock_mhz=subject.speeds.clock_mhz,
        replicas=[
            replica.model_copy(update={"baseline_phases": [], "compiled_phases": []})
            for replica in subject.speeds.replicas
        ],
    )


def compiling_versions(fingerprint: Fingerprint, recipe: Recipe) -> str:
    """What decides how much is compiled: the versions of torch, of the backend's package, and of what quantizes."""
    packages = ["torch", *(["nexfort"] if recipe.backend == NEXFORT else [])]
    packages += ["torchao"] if recipe.quantization else []
    return ", ".join(f"{name} {fingerprint.stack[name]}" for name in packages if name in fingerprint.stack)


def accepted_warmup(case_folder: Path, recipe: str, fingerprint: Fingerprint, versions: str) -> WarmupCounts | str:
    """The counts of the shapes gate's warm-up that were accepted for these versions, or why there are none."""
    path = accepted_path(case_folder, recipe, fingerprint.picture.hardware, fingerprint.picture.dtype)
    if not path.exists():
        return f"no record is accepted on {fingerprint.picture.hardware}"
    try:
        subjects = read_record(path).subjects
    except RecordError as error:
        return str(error)
    known = {key: counts for each in subjects if each.recipe == recipe for key, counts in each.accepted_warmups.items()}
    others = f", only for {'; '.join(known)}" if known else ""
    return known.get(versions) or f"nothing is accepted for {versions}{others}"
