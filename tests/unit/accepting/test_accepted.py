"""The accepted record: found where approval keeps it, believed only on the machine it was taken on."""

from pathlib import Path
from typing import Any

import pytest

from nearlossless.accepting.accepted import accepted_path, accepted_speeds, accepted_warmup, compiling_versions
from nearlossless.cases.recipes import Recipe
from nearlossless.environment import Fingerprint
from nearlossless.record import Record
from nearlossless.record.shapes import WarmupCounts
from nearlossless.record.speed import AcceptedSpeeds


class Shelf:
    """A case folder with the accepted record of one recipe on a GPU."""

    def __init__(self, folder: Path, record: Record) -> None:
        former = record.subjects[0].fingerprint
        assert former is not None
        self.folder, self.record, self._former = folder, record, former
        self.fingerprint = self.on()
        record.subjects[0].fingerprint = self.fingerprint
        self.path = accepted_path(folder, "inductor", "NVIDIA H20", "bfloat16")
        self.path.parent.mkdir()
        self.save()

    def on(self, **changes: Any) -> Fingerprint:
        """The fingerprint of the GPU, or of one that differs."""
        former = self._former
        picture = former.picture.model_copy(update={"hardware": "NVIDIA H20", "dtype": "bfloat16"})
        same = {"picture": picture, "device_uuid": "GPU-1", "power_limit_w": 500.0}
        return former.model_copy(update={"timing": former.timing.model_copy(update=same | changes)})

    def save(self) -> None:
        """Write the record."""
        self.path.write_text(self.record.model_dump_json(), encoding="utf-8")

    def found(self, *, batch_size: int = 1, **changes: Any) -> AcceptedSpeeds:
        """What a machine that differs so much finds."""
        return accepted_speeds(self.folder, "inductor", batch_size, self.on(**changes))


@pytest.fixture
def shelf(tmp_path: Path, full_record: Record) -> Shelf:
    """An accepted record."""
    return Shelf(tmp_path, full_record)


def test_record_of_the_same_machine_is_found(shelf: Shelf) -> None:
    """Its raw samples and its date are there."""
    shelf.record.subjects[0].speeds.set_aside = [None, "thermal slowdown", None]
    shelf.save()
    found, speeds = shelf.found(), shelf.record.subjects[0].speeds
    assert (found.problem, found.started) == (None, shelf.record.started)
    assert (found.baseline_s, found.compiled_s, found.set_aside) == (
        speeds.baseline_s,
        speeds.compiled_s,
        speeds.set_aside,
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"device_uuid": "GPU-2"}, "device_uuid: GPU-1 -> GPU-2"),
        ({"power_limit_w": 350.0}, "power_limit_w: 500.0 -> 350.0"),
        ({"cpu": "another"}, "cpu: a processor -> another"),
        ({"threads": 8}, "threads: 2 -> 8"),
        ({"batch_size": 2}, "batch_size: 1 -> 2"),
    ],
)
def test_record_of_another_machine_is_told(shelf: Shelf, changes: dict[str, Any], named: str) -> None:
    """What differs is named; no sample is handed on."""
    found = shelf.found(**changes)
    assert named in str(found.problem)
    assert found.compiled_s == []


def test_other_software_is_no_other_machine(shelf: Shelf) -> None:
    """Judging an upgrade is what the record is for: another stack is compared."""
    upgraded = shelf.fingerprint.model_copy(update={"stack": {"torch": "9.9"}})
    assert accepted_speeds(shelf.folder, "inductor", 1, upgraded).problem is None


def test_gpu_without_a_uuid_is_not_known_to_be_the_same(shelf: Shelf) -> None:
    """Two GPUs of a model differ by 8 %: one that cannot be told from another is not compared."""
    nameless = shelf.on(device_uuid=None)
    shelf.record.subjects[0].fingerprint = nameless
    shelf.save()
    assert "UUID" in str(accepted_speeds(shelf.folder, "inductor", 1, nameless).problem)


def test_missing_record_says_how_to_accept_one(shelf: Shelf) -> None:
    """Nothing is accepted yet: the message names the command."""
    shelf.path.unlink()
    assert "nearlossless approve --thresholds" in str(shelf.found().problem)


@pytest.mark.parametrize("damage", ["cut", "other", "fingerprint"])
def test_record_that_cannot_be_used_is_told(shelf: Shelf, damage: str) -> None:
    """A record cut short, of another recipe or without a fingerprint is a problem, not an error nor a pass."""
    if damage == "cut":
        shelf.path.write_bytes(shelf.path.read_bytes()[:-20])
    else:
        update = {"recipe": "nexfort"} if damage == "other" else {"fingerprint": None}
        shelf.record.subjects = [shelf.record.subjects[0].model_copy(update=update)]
        shelf.save()
    assert "record-inductor.json" in str(shelf.found().problem)


def test_accepted_warm_up_is_that_of_the_same_versions(shelf: Shelf) -> None:
    """Counts are found by versions, on any machine of the same hardware; others are named."""
    found = WarmupCounts(graphs=3, graph_breaks=0, frames=3)
    shelf.record.subjects[0].accepted_warmups = {"torch 2.13.0": found}
    shelf.save()
    other_gpu = shelf.on(device_uuid="GPU-2")
    assert accepted_warmup(shelf.folder, "inductor", other_gpu, "torch 2.13.0") == found
    problem = accepted_warmup(shelf.folder, "inductor", other_gpu, "torch 2.14.0")
    assert problem == "nothing is accepted for torch 2.14.0, only for torch 2.13.0"


def test_warm_up_without_accepted_record_says_so(shelf: Shelf) -> None:
    """A recipe without a record and a damaged record are told, never taken for counts."""
    assert "no record is accepted" in str(accepted_warmup(shelf.folder, "other", shelf.fingerprint, "torch 2.13.0"))
    shelf.path.write_text("{", encoding="utf-8")
    assert "is no record" in str(accepted_warmup(shelf.folder, "inductor", shelf.fingerprint, "torch 2.13.0"))


def test_versions_are_those_that_decide_what_is_compiled(shelf: Shelf) -> None:
    """Torch always, nexfort and torchao where the recipe uses them."""
    stack = {"torch": "2.13.0", "nexfort": "0.1", "torchao": "0.18", "diffusers": "0.42"}
    fingerprint = shelf.fingerprint.model_copy(update={"stack": stack})
    int8 = Recipe(backend="inductor", touches=("transformer",), quantization={"transformer": "int8"})
    assert compiling_versions(fingerprint, Recipe(backend="inductor")) == "torch 2.13.0"
    assert compiling_versions(fingerprint, int8) == "torch 2.13.0, torchao 0.18"
    assert compiling_versions(fingerprint, Recipe(backend="nexfort")) == "torch 2.13.0, nexfort 0.1"
