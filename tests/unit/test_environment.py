"""The fingerprint."""

import os
import platform

import pytest
import torch

from nearlossless.environment import (
    PictureIdentity,
    cpu_model,
    environment_variables,
    fingerprint,
    hardware_folder,
    hardware_name,
    onediff_variables,
    stack,
)
from nearlossless.torch_settings import restored_torch_settings


def test_same_identity_has_no_differences(identity: PictureIdentity) -> None:
    """An identity does not differ from a copy of itself."""
    assert identity.differences(identity.model_copy()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hardware", "NVIDIA H20"),
        ("dtype", "bfloat16"),
        ("weights", "miniature@2"),
        ("scheduler", "Euler"),
        ("matmul_precision", "high"),
        ("tf32", True),
        ("attention", "sdpa:flash"),
    ],
)
def test_every_field_makes_a_difference(identity: PictureIdentity, field: str, value: object) -> None:
    """Each field of the identity is compared, and told as old -> new."""
    mine = identity.model_copy(update={field: value})
    assert mine.differences(identity) == [f"{field}: {getattr(identity, field)} -> {value}"]


def test_fingerprint_tells_settings_as_they_are() -> None:
    """The fingerprint of this process holds what torch is set to, and the threads it uses."""
    taken = fingerprint(device="cpu", dtype="float32", weights="miniature", scheduler="Euler")
    assert taken.picture.matmul_precision == torch.get_float32_matmul_precision()
    assert (taken.picture.dtype, taken.picture.weights, taken.picture.scheduler) == ("float32", "miniature", "Euler")
    assert (taken.timing.threads, taken.timing.device_uuid) == (torch.get_num_threads(), None)


def test_fingerprint_sees_a_changed_setting() -> None:
    """Another matmul precision is another picture identity."""
    before = fingerprint(device="cpu", dtype="float32", weights="w", scheduler="s").picture
    with restored_torch_settings():
        torch.set_float32_matmul_precision("high")
        after = fingerprint(device="cpu", dtype="float32", weights="w", scheduler="s").picture
    assert after.differences(before) == ["matmul_precision: highest -> high"]


def test_cpu_is_named_by_its_instruction_set() -> None:
    """CPUs that compute the same bits share a name."""
    assert hardware_name("cpu") == f"cpu-{torch.backends.cpu.get_cpu_capability().lower()}"


@pytest.mark.parametrize(
    ("hardware", "dtype", "folder"),
    [
        ("NVIDIA H20", "bfloat16", "nvidia-h20-bfloat16"),
        ("NVIDIA A100-SXM4-80GB", "float16", "nvidia-a100-sxm4-80gb-float16"),
        ("../../etc", "float32", "etc-float32"),
        ("cpu-avx2", "float32", "cpu-avx2-float32"),
    ],
)
def test_hardware_folder_is_a_plain_name(hardware: str, dtype: str, folder: str) -> None:
    """Names of GPUs become folder names that stay where they belong."""
    assert hardware_folder(hardware, dtype) == folder


def test_stack_has_versions_of_what_draws() -> None:
    """The stack names torch, diffusers, transformers, this package and Python."""
    versions = stack()
    # The build's local part ("+cu121") is not in every wheel's metadata.
    assert versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert versions["python"] == platform.python_version()
    assert {"diffusers", "transformers", "nearlossless"} <= set(versions)


def test_stack_has_versions_of_what_scores() -> None:
    """Machines that differ in them give one picture different scores: they stand in the stack, too."""
    assert {"torchmetrics", "flip-evaluator"} <= set(stack())


def test_cpu_model_is_told() -> None:
    """The processor has some name."""
    assert cpu_model().strip()


def test_onediff_variables_stand_in_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack shows what OneDiff and nexfort are told by their variables, and never the licence key."""
    monkeypatch.setenv("NEXFORT_PLANTED", "1")
    monkeypatch.setenv("SILICON_ONEDIFF_LICENSE_KEY", "secret")
    assert onediff_variables()["NEXFORT_PLANTED"] == "1"
    assert stack()["NEXFORT_PLANTED"] == "1"
    assert "secret" not in stack().values()


def test_variables_are_set_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable has its new value inside, even after an error its former one, and one that was absent is gone."""
    monkeypatch.setenv("NEXFORT_PLANTED", "before")
    monkeypatch.delenv("NEXFORT_ABSENT", raising=False)

    def fails() -> None:
        with environment_variables({"NEXFORT_PLANTED": "inside", "NEXFORT_ABSENT": "inside"}):
            assert (os.environ["NEXFORT_PLANTED"], os.environ["NEXFORT_ABSENT"]) == ("inside", "inside")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fails()
    assert os.environ["NEXFORT_PLANTED"] == "before"
    assert "NEXFORT_ABSENT" not in os.environ


def test_fingerprint_takes_a_recipes_variables() -> None:
    """A recipe's variables join the stack and leave the identities alone."""
    taken = fingerprint(device="cpu", dtype="float32", weights="w", scheduler="s")
    told = taken.with_variables({"NEXFORT_PLANTED": "1"})
    assert told.stack == {**taken.stack, "NEXFORT_PLANTED": "1"}
    assert told.timing == taken.timing
