"""The plan: weights counted from configurations against real tensors, and its estimate against published peaks."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from nearlossless.backends.quantization import quantize
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.files import load_case
from nearlossless.cases.recipes import Recipe
from nearlossless.cli import app
from nearlossless.gates import GIB
from nearlossless.measuring import estimating
from nearlossless.measuring.estimating import estimate_peaks
from nearlossless.memory.plan import ACTIVATIONS_GIB, Plan, card_gib, cards, plan
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.weights import ComponentWeights, weights_of
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject

needs_torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
PUBLISHED_BF16, PUBLISHED_FP8, MEASURED_FP8_T5 = 28.525, 20.713, 15.843


@pytest.fixture(scope="module")
def large(shipped_baselines: Path) -> Case:
    """SD3.5-Large, whose weights are nowhere near."""
    return load_case(shipped_baselines / "sd35-large")


def of(found: list[ComponentWeights], name: str) -> ComponentWeights:
    """One component."""
    (component,) = [each for each in found if each.name == name]
    return component


def stored_bytes(module: torch.nn.Module) -> int:
    """What the tensors of a module hold, those inside quantized weights included."""
    names = [*module.named_parameters(), *module.named_buffers()]
    total = 0
    for _, tensor in names:
        inner = [getattr(tensor, name) for name in ("qdata", "scale", "zero_point") if hasattr(tensor, name)]
        total += sum(part.nbytes for part in inner if part is not None) if inner else tensor.nbytes
    return total


@needs_torchao
@pytest.mark.parametrize("components", [(), ("transformer",), ("transformer", "text_encoder_3")])
def test_counted_bytes_are_those_of_real_tensors(quick_case: Case, components: tuple[str, ...]) -> None:
    """The miniature's components hold to the byte what was counted without them, quantized ones too."""
    recipe = Recipe(backend="inductor", touches=components or None, quantization=dict.fromkeys(components, "int8"))
    counted, pipeline = weights_of(quick_case, recipe, "cpu"), build_baseline(quick_case, "cpu")
    for name in components:
        quantize(getattr(pipeline, name), "int8")
    modules = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    assert {each.name: each.bytes for each in counted} == {name: stored_bytes(part) for name, part in modules.items()}
    assert all(bool(each.quantized_layers) == (each.name in components) for each in counted)


def test_weights_of_the_large_model_are_the_published_ones(large: Case) -> None:
    """In bf16 the five components take what their published parameter counts say."""
    counted = {each.name: round(each.parameter_bytes / GIB, 3) for each in weights_of(large, None, "cuda")}
    expected = {"transformer": 15.007, "text_encoder_3": 8.870, "text_encoder_2": 1.294, "text_encoder": 0.230}
    assert counted == {**expected, "vae": 0.156}


def test_quantized_layers_are_those_that_a_gpu_quantized(large: Case) -> None:
    """Fused transformer and T5 have the numbers of float8 layers that an H100 counted."""
    found = weights_of(large, large.recipes["inductor-fp8-t5"], "cuda")
    assert (of(found, "transformer").quantized_layers, of(found, "text_encoder_3").quantized_layers) == (377, 168)
    assert of(found, "transformer").parameters == of(weights_of(large, None, "cuda"), "transformer").parameters


def test_constant_is_what_the_published_peak_leaves_over_the_weights(large: Case) -> None:
    """The activation constant follows from the published bf16 peak, to a thousandth of a GiB."""
    assert pytest.approx(PUBLISHED_BF16 - plan(large).weight_bytes / GIB, abs=1e-3) == ACTIVATIONS_GIB


@pytest.mark.parametrize("recipe", ["inductor-fp8", "nexfort-fp8"])
def test_constant_predicts_the_published_quantized_peak(large: Case, recipe: str) -> None:
    """With the transformer in float8 the estimate lies within 5 % of the published peak."""
    assert plan(large, recipe).peak_gib == pytest.approx(PUBLISHED_FP8, rel=0.05)


def test_measured_peak_with_quantized_t5_is_told_as_documented(large: Case) -> None:
    """Transformer and T5 in float8 on an H100 took less than estimated, by the share that the docs state."""
    off = plan(large, "inductor-fp8-t5").peak_gib / MEASURED_FP8_T5 - 1
    assert f"{off:.1%}" == "5.8%"
    assert "5.8 % too high" in (Path(__file__).parents[3] / "docs" / "memory.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("recipe", "measured_gib", "told"), [(None, 26.106, "1.5 % too low"), ("inductor-fp8-t5", 17.077, "2.8 % too low")]
)
def test_measured_loading_peaks_are_told_as_documented(
    large: Case, recipe: str | None, measured_gib: float, told: str
) -> None:
    """While an H100 loaded, it held a little more than estimated, by the shares that the docs state."""
    off = 1 - plan(large, recipe).loading_bytes / GIB / measured_gib
    assert f"{100 * off:.1f} % too low" == told
    assert told in (Path(__file__).parents[3] / "docs" / "memory.md").read_text(encoding="utf-8")


def test_loading_peak_is_what_comes_whole_beside_the_quantized(large: Case) -> None:
    """The T5 in bf16 beside the transformer in float8 is the highest point; unquantized, it is the end."""
    found = plan(large, "inductor-fp8-t5")
    parts = list(found.components)
    assert found.loading_bytes == of(parts, "transformer").bytes + of(parts, "text_encoder_3").loaded_bytes
    assert plan(large).loading_bytes == plan(large).weight_bytes


def test_loading_peak_can_be_what_does_not_fit(large: Case) -> None:
    """Pictures small enough leave the way there as the highest point, and it is what a card has to hold."""
    generation = large.generation.model_copy(update={"height": 256, "width": 256})
    found = plan(large.model_copy(update={"generation": generation}), "inductor-fp8-t5")
    assert found.peak_gib < found.loading_bytes / GIB == found.needed_gib
    assert found.fits(found.needed_gib)
    assert not found.fits(found.peak_gib)


def changed(case: Case, **changes: Any) -> Plan:
    """The plan of a case with changes to what it loads or draws."""
    model = case.model.model_copy(update={key: value for key, value in changes.items() if hasattr(case.model, key)})
    drawn = {key: value for key, value in changes.items() if hasattr(case.generation, key)}
    generation = case.generation.model_copy(update=drawn)
    return plan(case.model_copy(update={"model": model, "generation": generation}))


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"height": 512}, 0.5),
        ({"batch_size": 4}, 4.0),
        ({"batch_size": 4, "vae_slicing": True}, 1.0),
        ({"height": 2048}, 2.0),
        ({"height": 2048, "vae_tiling": True}, 1.0),
        ({"dtype": {"cuda": "float32"}}, 2.0),
    ],
)
def test_activations_grow_with_what_is_decoded_at_once(large: Case, changes: dict[str, Any], factor: float) -> None:
    """Half the pixels half the constant, slicing and tiling bound it, and float32 doubles it."""
    assert changed(large, **changes).activation_bytes == pytest.approx(factor * ACTIVATIONS_GIB * GIB, rel=1e-6)


def test_offloaded_weights_are_not_all_there_at_once(large: Case) -> None:
    """Offloaded by model only the largest component lies on the GPU, by layer far less."""
    everything, model, layer = (changed(large, offload=kind) for kind in (None, "model", "sequential"))
    assert everything.resident_bytes == everything.weight_bytes
    assert model.resident_bytes == of(list(model.components), "transformer").bytes
    assert 0 < layer.resident_bytes < 0.1 * model.resident_bytes
    assert (model.loading_bytes, layer.loading_bytes) == (model.resident_bytes, layer.resident_bytes)


def test_hub_name_without_an_architecture_is_an_error(large: Case) -> None:
    """Nothing is downloaded to count: a case of a name that does not ship says what would do."""
    with pytest.raises(CaseError, match=r"no configuration files to count weights from.*sd35-large"):
        plan(large.model_copy(update={"name": "mine"}))


def test_local_folder_is_counted(quick_case: Case, shrunken: dict[str, Path]) -> None:
    """A folder of configurations is counted as it is."""
    model = quick_case.model.model_copy(update={"source": str(shrunken["sdxl"])})
    assert "unet" in {each.name for each in plan(quick_case.model_copy(update={"model": model})).components}


def planned(*options: str) -> Any:
    """The command's result for SD3.5-Large."""
    folder = str(Path(__file__).parents[3] / "baselines")
    return CliRunner().invoke(app, ["plan", "--case", "sd35-large", "--baselines", folder, *options])


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--card", "NVIDIA H100 80GB"), 0, "it fits NVIDIA H100 80GB"),
        (("--card", "geforce rtx 4090"), 1, "it does not fit geforce rtx 4090"),
        (("--recipe", "inductor-fp8-t5", "--card", "GeForce RTX 4090"), 0, "it fits GeForce RTX 4090"),
        (("--gib", "28.53"), 0, "it fits 28.53 GiB"),
        (("--gib", "28.52"), 1, "it does not fit 28.52 GiB"),
        ((), 0, "by this estimate it fits: A40"),
        (("--card", "Voodoo 2"), 2, "no card 'Voodoo 2'; there is: A10"),
        (("--recipe", "fastest"), 2, "no recipe 'fastest'"),
        (("--gib", "80", "--card", "A40"), 2, "give one of them"),
    ],
)
def test_command_answers_by_its_exit_code(options: tuple[str, ...], code: int, said: str) -> None:
    """0 fits, 1 does not, 2 is an error; whatever it says of a peak it calls an estimate."""
    result = planned(*options)
    assert result.exit_code == code, result.output
    assert said in result.output
    assert (code == 2) != ("steady peak (estimate)" in result.output)


def test_card_has_less_for_use_than_its_published_size() -> None:
    """Every card's usable memory lies below the published number, an H100's below what torch reports there."""
    assert card_gib("H100 80GB") <= 79.1
    assert all(0 < gib < 200 for gib in cards().values())


def test_planning_takes_no_memory_and_no_gpu() -> None:
    """A plan of a 25 GiB model takes below 2 GiB beside torch itself, and leaves CUDA uninitialized."""
    # Not getrusage: its peak counts the parent's from before this program was started.
    peak = "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]);"
    code = (
        f"import re, torch; from pathlib import Path; {peak} from nearlossless.cases.files import load_case;"
        f" from nearlossless.memory.plan import plan; plan(load_case(Path({str(Path(__file__).parents[3])!r},"
        f" 'baselines/sd35-large')), 'inductor-fp8'); {peak} print(torch.cuda.is_initialized())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    torch_kib, peak_kib, initialized = done.stdout.split()[-3:]
    assert int(peak_kib) - int(torch_kib) < 2 * 1024**2
    assert initialized == "False"


@pytest.mark.parametrize(("memory_gib", "warns"), [(28.6, False), (28.4, True)])
def test_gates_warn_where_the_estimate_exceeds_the_card(
    large: Case, memory_gib: float, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU gate says the estimate, and warns where the card has less; it never fails."""
    monkeypatch.setattr(estimating, "gpu_gib", lambda: memory_gib)
    recipe = large.recipes["inductor-fp8"]
    subject = Subject(
        case=large, case_folder=Path(), recipe_name="inductor-fp8", recipe=recipe, device="cuda", is_named=True
    )
    lines: list[str] = []
    found = estimate_peaks(subject, Progress(lines.append))
    assert found == (plan(large).peak_gib, plan(large, "inductor-fp8").peak_gib)
    assert [line.startswith("warning: ") for line in lines] == [warns]


def test_case_that_cannot_be_estimated_is_measured_all_the_same(large: Case) -> None:
    """Without configuration files a GPU gate says so and goes on."""
    subject = Subject(
        case=large.model_copy(update={"name": "mine"}),
        case_folder=Path(),
        recipe_name="inductor",
        recipe=large.recipes["inductor"],
        device="cuda",
        is_named=True,
    )
    lines: list[str] = []
    assert estimate_peaks(subject, Progress(lines.append)) is None
    assert "no estimate" in lines[0]
