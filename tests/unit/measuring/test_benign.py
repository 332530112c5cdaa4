"""Benign changes: each changes something, gives it back, and draws the same picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.baselines.comparison import batch_scores
from nearlossless.cases.case import Case
from nearlossless.fields import Device
from nearlossless.measuring.benign import Benign, benign_changes
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import batches
from nearlossless.torch_settings import SDP_KERNELS

COMPILED = ("torch.compile, empty cache", "torch.compile, primed cache")


def torch_settings() -> dict[str, object]:
    """Everything global that a benign change may change."""
    matmul = torch.backends.cuda.matmul
    return {
        "threads": torch.get_num_threads(),
        "precision": torch.get_float32_matmul_precision(),
        "bf16 sums": matmul.allow_bf16_reduced_precision_reduction,
        "fp16 sums": matmul.allow_fp16_reduced_precision_reduction,
        **{kernel: getattr(torch.backends.cuda, f"{kernel}_sdp_enabled")() for kernel in SDP_KERNELS},
    }


class Watched:
    """A pipeline that notes torch's settings and its prompts at each call."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self.seen: list[dict[str, object]] = []
        self.prompts: list[object] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, **options: Any) -> Any:
        """The inner pipeline's call."""
        self.seen.append(torch_settings())
        self.prompts.append(options["prompt"])
        return self._pipeline(**options)


@pytest.fixture(scope="module")
def baseline(tiny_case: Case) -> Any:
    """The miniature."""
    return build_baseline(tiny_case, "cpu")


@pytest.fixture
def watched(baseline: Any) -> Watched:
    """The miniature, watched."""
    return Watched(baseline)


def change_called(name: str, pipeline: Any, case: Case, device: Device, cache: Path) -> Benign:
    """One benign change by its name."""
    (change,) = [each for each in benign_changes(pipeline, case, device, cache) if each.name == name]
    return change


def test_changes_have_names_of_their_own(baseline: Any, tiny_case: Case, tmp_path: Path) -> None:
    """What is stored under a name is one change, on either device."""
    for device in ("cpu", "cuda"):
        names = [change.name for change in benign_changes(baseline, tiny_case, device, tmp_path)]
        assert len(set(names)) == len(names)
        assert {*COMPILED, "second in a batch", "attention by math"} <= set(names)


@pytest.mark.parametrize(
    ("name", "device", "changed"),
    [
        ("attention by math", "cpu", {"flash": False, "mem_efficient": False}),
        ("attention by flash", "cpu", {"mem_efficient": False}),
        ("attention by memory-efficient", "cuda", {"flash": False}),
        ("float32 products at 'high' precision", "cuda", {"precision": "high"}),
        ("no reduced-precision sums", "cuda", {"bf16 sums": False, "fp16 sums": False}),
    ],
)
def test_change_is_in_force_while_drawing_and_gone_afterwards(
    watched: Watched, tiny_case: Case, tmp_path: Path, name: str, device: Device, changed: dict[str, object]
) -> None:
    """A change that changes nothing would measure no noise, and one that stays would change what is measured next."""
    before, batch = torch_settings(), batches(tiny_case.generation)[0]
    change = change_called(name, watched, tiny_case, device, tmp_path)
    assert len(change.draw(batch)) == 1
    assert {key: value for key, value in watched.seen[0].items() if value != before[key]} == changed
    assert torch_settings() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_and_come_back(watched: Watched, tiny_case: Case, tmp_path: Path, threads: int) -> None:
    """One thread becomes two, and two become one."""
    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        (change,) = [each for each in benign_changes(watched, tiny_case, "cpu", tmp_path) if "thread" in each.name]
        change.draw(batches(tiny_case.generation)[0])
        assert (watched.seen[0]["threads"], torch.get_num_threads()) == (3 - threads, threads)
    finally:
        torch.set_num_threads(former)


def test_second_in_a_batch_is_the_same_picture(watched: Watched, tiny_case: Case, tmp_path: Path) -> None:
    """The pipeline draws two pictures, and the one that was asked for comes back."""
    batch = batches(tiny_case.generation)[0]
    alone = draw(watched, tiny_case.generation, batch[0])
    behind = change_called("second in a batch", watched, tiny_case, "cpu", tmp_path).draw(batch)
    assert watched.prompts == [batch[0].prompt, [batch[0].prompt] * 2]
    (found,) = batch_scores(behind, [alone])
    assert found.worst_tile_ssim > 0.999


def test_pipeline_without_denoiser_has_its_other_changes(tiny_case: Case, tmp_path: Path) -> None:
    """What cannot be compiled says so when it is tried, and keeps no other change from being made."""
    changes = list(benign_changes(lambda **_: None, tiny_case, "cpu", tmp_path))
    (compiled, _) = [change for change in changes if change.name in COMPILED]
    with pytest.raises(BackendError, match="neither a 'transformer' nor a 'unet'"):
        compiled.draw(batches(tiny_case.generation)[0])


def test_compiled_change_needs_a_compiler(
    baseline: Any, tiny_case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a C++ compiler it says what to install."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    change = change_called(COMPILED[0], baseline, tiny_case, "cpu", tmp_path)
    with pytest.raises(BackendUnavailable, match="no-such-compiler"):
        change.draw(batches(tiny_case.generation)[0])


@pytest.mark.slow
def test_second_compilation_finds_the_first_ones_kernels(
    baseline: Any, tiny_case: Case, tmp_path: Path, cpp_objects: Callable[[Path], set[Path]]
) -> None:
    """Both draw the baseline's picture with compiled code of their own; the baseline draws what it drew before."""
    batch = batches(tiny_case.generation)[0]
    before, settings = draw(baseline, tiny_case.generation, batch[0]), torch_settings()
    kernels, pictures = [], []
    for name in COMPILED:
        pictures += change_called(name, baseline, tiny_case, "cpu", tmp_path).draw(batch)
        kernels.append(cpp_objects(tmp_path))
    assert kernels[0] == kernels[1] != set()
    assert all(found.worst_tile_ssim > 0.999 for found in batch_scores(pictures, [before] * 2))
    assert draw(baseline, tiny_case.generation, batch[0]).tobytes() == before.tobytes()
    assert torch_settings() == settings


@pytest.fixture
def cpp_objects() -> Callable[[Path], set[Path]]:
    """Finds the compiled kernels in a cache folder."""
    return lambda folder: {path for path in folder.rglob("*.so") if path.is_file()}
