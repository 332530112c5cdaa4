"""The fingerprint: on what a picture was drawn, on what a time was taken, and with which versions."""

import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from nearlossless.fields import Int64
from nearlossless.torch_settings import attention_setting, convolves_in_tf32, matmul_precision

STACK_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "triton",
    "onediff",
    "onediffx",
    "nexfort",
    "torchao",
    "torchmetrics",
    "torchvision",
    "flip-evaluator",
    "nearlossless",
)
ONEDIFF_PREFIXES = ("NEXFORT_", "ONEDIFF_")


class PictureIdentity(BaseModel):
    """What decides the pixels besides the software's version. Pictures of another identity are not comparable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hardware: str  # GPU name as torch prints it, or the CPU's instruction set as "cpu-avx2"
    dtype: str
    weights: str  # source and revision
    scheduler: str
    matmul_precision: str
    tf32: bool
    attention: str

    def differences(self, other: "PictureIdentity") -> list[str]:
        """One line for each field that differs, as `field: other -> this`."""
        mine, theirs = self.model_dump(), other.model_dump()
        return [f"{name}: {theirs[name]} -> {mine[name]}" for name in mine if mine[name] != theirs[name]]

    def is_same_but_for_hardware(self, other: "PictureIdentity") -> bool:
        """Whether a band for foreign hardware may bridge the difference."""
        return self == other.model_copy(update={"hardware": self.hardware})


class TimingIdentity(BaseModel):
    """Times of another identity are not comparable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    picture: PictureIdentity
    device_uuid: str | None
    power_limit_w: float | None
    cpu: str
    threads: Int64

    def differences(self, other: "TimingIdentity") -> list[str]:
        """One line for each field that differs, those of the picture identity among them, as `field: other -> this`."""
        names = ("device_uuid", "power_limit_w", "cpu", "threads")
        own = [f"{name}: {getattr(other, name)} -> {getattr(self, name)}" for name in names]
        changed = [line for name, line in zip(names, own, strict=True) if getattr(other, name) != getattr(self, name)]
        return [*self.picture.differences(other.picture), *changed]


class Fingerprint(BaseModel):
    """Identities and stack. The stack is shown as a difference, never a reason not to compare."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timing: TimingIdentity
    stack: dict[str, str]

    @property
    def picture(self) -> PictureIdentity:
        """The picture identity inside the timing identity."""
        return self.timing.picture

    def with_variables(self, variables: Mapping[str, str]) -> "Fingerprint":
        """This fingerprint with a recipe's environment variables in its stack."""
        return self.model_copy(update={"stack": {**self.stack, **variables}})


def hardware_name(device: Literal["cpu", "cuda"]) -> str:
    """GPU name as torch prints it ("NVIDIA H20"), or the CPU's instruction set ("cpu-avx512")."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"cpu-{torch.backends.cpu.get_cpu_capability().lower()}"


def hardware_folder(hardware: str, dtype: str) -> str:
    """Name of the folder of machine-written baselines, for example "nvidia-h20-bfloat16"."""
    return re.sub(r"[^a-z0-9]+", "-", f"{hardware}-{dtype}".lower()).strip("-")


def cpu_model() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def stack() -> dict[str, str]:
    """Versions of all that draws or scores, read without importing it, the GPU driver, and OneDiff's variables."""
    versions = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    if driver := _gpu_driver():
        versions["gpu driver"] = driver
    for package in STACK_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions | onediff_variables()


def onediff_variables() -> dict[str, str]:
    """The environment variables in force that OneDiff and nexfort read."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(ONEDIFF_PREFIXES)}


@contextmanager
def environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process, and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _gpu_driver() -> str | None:
    """Version of NVIDIA's kernel module, as the module itself tells it."""
    try:
        told = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return None
    version = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", told)
    return version.group() if version else None


def gpu_uuid() -> str | None:
    """UUID of the current GPU as NVML spells it; None where torch does not tell it."""
    import torch

    uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
    if uuid is None:
        return None
    return str(uuid) if str(uuid).startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def gpu_handle(uuid: str | None) -> Any | None:
    """NVML's handle of a GPU; None where NVML cannot be asked."""
    import pynvml

    if uuid is None:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError:
        return None


def _power_limit_w(uuid: str | None) -> float | None:
    import pynvml

    handle = gpu_handle(uuid)
    if handle is None:
        return None
    try:
        return float(pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)) / 1000
    except pynvml.NVMLError:
        return None


def fingerprint(*, device: Literal["cpu", "cuda"], dtype: str, weights: str, scheduler: str) -> Fingerprint:
    """The fingerprint of this process on `device`, with torch's settings as they are now."""
    import torch

    uuid = gpu_uuid() if device == "cuda" else None
    return Fingerprint(
        timing=TimingIdentity(
            picture=PictureIdentity(
                hardware=hardware_name(device),
                dtype=dtype,
                weights=weights,
                scheduler=scheduler,
                matmul_precision=matmul_precision(),
                tf32=device == "cuda" and convolves_in_tf32(),
                attention=attention_setting(),
            ),
            device_uuid=uuid,
            power_limit_w=_power_limit_w(uuid),
            cpu=cpu_model(),
            threads=torch.get_num_threads(),
        ),
        stack=stack(),
    )
