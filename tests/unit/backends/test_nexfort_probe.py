"""
Trying nexfort in a process of its own: each way to fail, planted as a package that really does it.

The real library, where it is installed, is tried in test_nexfort.py and test_nexfort_quantization.py.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.backends.nexfort_probe import TRIED, check, compile_task, quantize_task, tasks_of
from nearlossless.backends.nexfort_trial import Task
from nearlossless.cases.recipes import Recipe

TRANSFORM = Task(api="transform", device="cpu", dtype="float32")
QUANTIZE = Task(api="quantize", options={"quant_type": "int8_dynamic"}, device="cpu", dtype="bfloat16")
COMPILE = Task(api="compile", options={"mode": "O2"}, device="cpu", dtype="float32")
LICENCE = 'import sys; print("License check failed: No valid license key provided", file=sys.stderr, flush=True)'
Plant = Callable[..., None]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Puts packages named nexfort, onediff and onediffx before all others on the path of processes."""

    def make(compilers: str, *, quantization: str = "", onediff: str = "") -> None:
        files = {
            "nexfort/__init__.py": "",
            "nexfort/compilers.py": compilers,
            "nexfort/quantization.py": quantization,
            "onediff/__init__.py": "",
            "onediff/infer_compiler.py": onediff,
            "onediffx/__init__.py": "",
        }
        for name, code in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(code + "\n", encoding="utf-8")

    monkeypatch.syspath_prepend(tmp_path)
    return make


def unavailable(task: Task, **options: float) -> str:
    """What a task that cannot run here is told to lack."""
    with pytest.raises(BackendUnavailable) as caught:
        check(task, **options)
    return str(caught.value)


@pytest.mark.slow
def test_licence_exit_of_transform_names_the_variable(plant: Plant) -> None:
    """A transform that ends its process for want of a licence is told with the variable that does without."""
    plant(f"{LICENCE}\nimport os\ndef transform(module): os._exit(255)")
    message = unavailable(TRANSFORM)
    assert "ended its process with exit code 255 for want of a licence" in message
    assert "NEXFORT_ENABLE_TRITON_AUTOTUNE_CACHE=0" in message


@pytest.mark.slow
def test_licence_exit_of_quantize_names_the_key(plant: Plant) -> None:
    """Quantized layers that end the process at their first call are told with the variable of the licence key."""
    forward = 'print("Key is empty.", flush=True); os._exit(1)'
    layer = f"class Layer(nn.Module):\n    def forward(self, x):\n        {forward}"
    replace = "def quantize(module, quant_type): module[0] = Layer()"
    plant("", quantization=f"import os\nfrom torch import nn\n{layer}\n{replace}")
    message = unavailable(QUANTIZE)
    assert "first call after quantize ended its process with exit code 1 for want of a licence" in message
    assert "SILICON_ONEDIFF_LICENSE_KEY" in message


@pytest.mark.slow
@pytest.mark.parametrize("leave", ["os._exit(7)", "sys.exit(7)"])
def test_silent_exit_is_not_called_a_licence(plant: Plant, leave: str) -> None:
    """A library that ends its process at its import is told with step and exit code, and nothing is guessed."""
    plant(f"import os, sys\n{leave}")
    message = unavailable(TRANSFORM)
    assert message == "nexfort: import of nexfort ended its process with exit code 7"


@pytest.mark.slow
def test_missing_codegen_names_the_build_that_has_it(plant: Plant) -> None:
    """A build without its code generator is told with the version that has one."""
    error = "ModuleNotFoundError(\"No module named 'nexfort.inductor.codegen'\", name='nexfort.inductor.codegen')"
    plant("", onediff=f"def compile(module, **_):\n    def fails(*_):\n        raise {error}\n    return fails")
    message = unavailable(COMPILE)
    assert "lacks nexfort.inductor.codegen" in message
    assert "pip install" in message
    assert "nexfort==0.1.dev293" in message


@pytest.mark.slow
def test_build_for_another_torch_names_the_set(plant: Plant) -> None:
    """A library that refuses this torch is told with its own words and with the set that is known to work."""
    plant("import torch; raise ImportError(f'built for torch 2.4.0+cu121, found {torch.__version__}')")
    message = unavailable(COMPILE)
    assert f"found {torch.__version__}" in message
    assert "torch==2.4.0 triton==3.0.0" in message


@pytest.mark.slow
def test_refused_option_is_the_recipes_fault(plant: Plant) -> None:
    """An option that the library rejects is an error of the backend, with the option and the library's reason."""
    plant("", onediff="def compile(module, **_): raise ValueError('Unknown mode: O2')")
    with pytest.raises(BackendError, match=r'compile refuses \{"mode": "O2"\}: Unknown mode: O2'):
        check(COMPILE)


def test_hanging_process_is_killed(plant: Plant) -> None:
    """A trial that does not end is killed at its limit, and the step that it was in is named."""
    plant("import threading; threading.Event().wait()")
    assert "start: still at it when its time limit ended" in unavailable(TRANSFORM, time_limit_s=0.05)


@pytest.mark.slow
def test_success_is_tried_once_for_each_environment(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a library prints is no event; a success is remembered, until a variable of OneDiff changes."""
    log = tmp_path / "log"
    say = f"open({str(log)!r}, 'a').write(os.environ['TORCHINDUCTOR_CACHE_DIR'] + '\\n'); os.write(1, b'no event')"
    plant(f"import os\nprint('no event either')\n{say}\ndef transform(module): return module")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "the cold cache")
    check(TRANSFORM)
    check(TRANSFORM)
    assert len(log.read_text().splitlines()) == 1
    monkeypatch.setenv("NEXFORT_PLANTED", "1")
    check(TRANSFORM)
    assert len(log.read_text().splitlines()) == 2
    assert "the cold cache" not in log.read_text()


@pytest.mark.slow
def test_failure_is_told_again(plant: Plant) -> None:
    """A failure that is remembered is told as it was."""
    plant("import os; os._exit(7)")
    assert unavailable(TRANSFORM) == unavailable(TRANSFORM)


def test_worker_does_not_try_again(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose parent has tried starts no trial of its own."""
    plant("import os; os._exit(7)")
    for name, value in TRIED.items():
        monkeypatch.setenv(name, value)
    check(TRANSFORM)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nexfort") is not None, reason="nexfort is installed")
def test_missing_package_says_what_to_install() -> None:
    """Without nexfort the error is the command that installs the set it works in."""
    message = unavailable(COMPILE)
    assert "nexfort is not installed" in message
    assert "pip install torch==2.4.0" in message
    assert "onediff==1.2.1.dev48" in message


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_told() -> None:
    """On a machine without a GPU that is what is missing, whatever is installed."""
    message = unavailable(compile_task("transform", {}, "cuda"))
    assert message == "nexfort: transform on cuda: this machine has no CUDA GPU that torch can use"


@pytest.mark.parametrize(
    ("api", "options", "message"),
    [
        ("onediff", {}, "'transform', 'compile' or 'compile_pipe'"),
        ("compile", "O2", "options are a table"),
        ("transform", {"mode": "O2"}, "takes no options"),
    ],
)
def test_wrong_use_is_a_backend_error(api: str, options: dict[str, str], message: str) -> None:
    """An unknown way in, or options that are none, are errors before anything is tried."""
    with pytest.raises(BackendError, match=message):
        compile_task(api, options, "cuda")


def test_transform_is_for_cuda() -> None:
    """Transform on a CPU is answered with what runs there."""
    with pytest.raises(BackendUnavailable, match="api = 'compile'"):
        compile_task("transform", {}, "cpu")


@pytest.mark.parametrize(("dtype", "is_taken"), [("float32", False), ("bfloat16", True), ("float16", True)])
def test_quantization_takes_half_precision_only(dtype: str, is_taken: bool) -> None:
    """Weights of 16 bits can be quantized, others are an error that names the dtype."""
    if is_taken:
        assert quantize_task("int8_dynamic", "cpu", dtype).dtype == dtype
    else:
        with pytest.raises(BackendError, match="dtype is float32"):
            quantize_task("int8_dynamic", "cpu", dtype)


def test_tasks_are_all_that_a_recipe_uses() -> None:
    """Each scheme of nexfort is tried once, then the backend; what belongs to others is not."""
    schemes = {"transformer": "nexfort:int8_dynamic", "text_encoder_3": "nexfort:int8_dynamic", "vae": "int8"}
    recipe = Recipe(backend="nexfort", quantization=schemes, options={"api": "transform"})
    assert [task.api for task in tasks_of(recipe, "cuda", "bfloat16")] == ["quantize", "transform"]
    assert tasks_of(Recipe(backend="inductor", quantization={"vae": "int8"}), "cuda", "bfloat16") == []
