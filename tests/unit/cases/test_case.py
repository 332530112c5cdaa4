"""Case files: what they may say, what they may not, and which threshold is in force."""

import json
from pathlib import Path

import pytest

from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.files import case_names, find_case, load_case
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Band, Thresholds

MINIMAL = """
[model]
source = "miniature"
dtype = { cpu = "float32", cuda = "bfloat16" }

[generation]
prompts = ["blue ring"]
seeds = [20]
height = 128
width = 128
steps = 2
guidance_scale = 3.5
sizes = [[128, 64]]

[recipes.inductor]
backend = "inductor"
"""


def write_case(baselines: Path, text: str, name: str = "small") -> Path:
    """A folder with this case file."""
    folder = baselines / name
    folder.mkdir(parents=True)
    (folder / "case.toml").write_text(text, encoding="utf-8")
    return folder


def error_of(folder: Path) -> str:
    """What loading a case says when it fails."""
    with pytest.raises(CaseError) as caught:
        load_case(folder)
    return str(caught.value)


def test_minimal_case_loads(tmp_path: Path) -> None:
    """A case needs a model, what to draw and one recipe; its name is its folder's."""
    case = load_case(write_case(tmp_path, MINIMAL))
    assert (case.name, case.devices, case.default) == ("small", ("cpu", "cuda"), True)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("[model]", "colour = 'red'\n[model]", "colour"),
        ('source = "miniature"', 'source = "miniature"\ntrust_remote_code = true', "model.trust_remote_code"),
        ("seeds = [20]", "seeds = [20]\nseed = 20", "generation.seed"),
        ('backend = "inductor"', 'backend = "inductor"\nbakend = "x"', "recipes.inductor.bakend"),
        ("[recipes.inductor]", "[thresholds]\nmin_sped = 1.0\n[recipes.inductor]", "thresholds.min_sped"),
    ],
)
def test_unknown_key_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    """A key that does not belong is an error that names file and key and says so."""
    folder = write_case(tmp_path, MINIMAL.replace(old, new))
    message = error_of(folder)
    assert str(folder / "case.toml") in message
    assert f"{key}: unknown key" in message


def test_unknown_key_lists_what_is_allowed(tmp_path: Path) -> None:
    """The error about an unknown key lists the keys that belong there."""
    message = error_of(write_case(tmp_path, MINIMAL.replace("seeds =", "sedes =")))
    assert "allowed here:" in message
    assert "seeds" in message


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("height = 128", "height = 100", "generation"),
        ("height = 128", "height = 0", "generation"),
        ("height = 128", "height = -128", "generation"),
        ("height = 128", "height = 8192", "generation"),
        ("sizes = [[128, 64]]", "sizes = [[128, 65]]", "generation"),
        ("sizes = [[128, 64]]", "sizes = []", "generation.sizes"),
        ("sizes = [[128, 64]]", "sizes = [[128]]", "generation.sizes"),
        ("steps = 2", "steps = 0", "generation.steps"),
        ("seeds = [20]", "seeds = [-1]", "generation.seeds"),
        ("seeds = [20]", "seeds = []", "generation.seeds"),
        ('prompts = ["blue ring"]', 'prompts = [""]', "generation.prompts"),
        ('prompts = ["blue ring"]', 'prompts = "blue ring"', "generation.prompts"),
        ('backend = "inductor"', 'backend = "fast"', "recipes.inductor.backend"),
        ('backend = "inductor"', 'backend = "os; rm:x"', "recipes.inductor.backend"),
        ('backend = "inductor"', 'backend = "a.b:c:d"', "recipes.inductor.backend"),
        ('cpu = "float32"', 'cpu = "int4"', "model.dtype.cpu"),
        ('cpu = "float32"', 'tpu = "float32"', "model.dtype.tpu"),
        ('{ cpu = "float32", cuda = "bfloat16" }', "{}", "model.dtype"),
        ('source = "miniature"', "", "model.source"),
    ],
)
def test_bad_value_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    """A value that is not allowed is an error that names file and key."""
    folder = write_case(tmp_path, MINIMAL.replace(old, new))
    message = error_of(folder)
    assert str(folder / "case.toml") in message
    assert f"\n  {key}" in message


@pytest.mark.parametrize(("side", "is_allowed"), [(16, True), (4096, True), (15, False), (4112, False)])
def test_sides_turn_at_their_limits(tmp_path: Path, side: int, is_allowed: bool) -> None:
    """Sides go from 16 to 4096 pixels."""
    folder = write_case(tmp_path, MINIMAL.replace("height = 128", f"height = {side}"))
    if is_allowed:
        assert load_case(folder).generation.height == side
    else:
        assert f"128x{side}" in error_of(folder)


@pytest.mark.parametrize(
    "line",
    [
        "min_speedup = nan",
        "min_speedup = inf",
        "min_speedup = 0.0",
        "min_speedup = -1.0",
        "max_memory_ratio = nan",
        "live.min_ssim = 1.01",
        "live.min_ssim = nan",
        "stored.min_ssim = nan",
        "max_clip_drop = nan",
        "max_clip_drop = inf",
        "max_cold_start_s = inf",
        "max_compiles_after_warmup = -1",
    ],
)
def test_threshold_that_means_nothing_is_refused(tmp_path: Path, line: str) -> None:
    """A threshold that is NaN, infinite or out of its range is an error at loading, not a verdict later."""
    message = error_of(write_case(tmp_path, f"{MINIMAL}\n[thresholds]\n{line}\n"))
    assert f"thresholds.{line.split(maxsplit=1)[0]}" in message


@pytest.mark.parametrize(
    "line", ["alpha = nan", "alpha = 0.0", "alpha = 1e-13", "clip = nan", "budget_s = inf", "min_pairs = 2"]
)
def test_sampling_that_cannot_decide_is_refused(tmp_path: Path, line: str) -> None:
    """Sampling settings that could never lead to a verdict are an error at loading."""
    message = error_of(write_case(tmp_path, f"{MINIMAL}\n[sampling]\n{line}\n"))
    assert f"sampling.{line.split(maxsplit=1)[0]}" in message


CUDA_ONLY = ('dtype = { cpu = "float32", cuda = "bfloat16" }', 'dtype = { cuda = "bfloat16" }')


def with_model_line(line: str, *, cuda_only: bool = False) -> str:
    """The minimal case with another line in its model table."""
    text = MINIMAL.replace(*CUDA_ONLY) if cuda_only else MINIMAL
    return text.replace('source = "miniature"', f'source = "miniature"\n{line}')


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offload_needs_a_case_without_cpu(tmp_path: Path, offload: str) -> None:
    """Offload is refused where the case names the CPU, and loads where it names only CUDA."""
    line = f'offload = "{offload}"'
    assert "needs a GPU" in error_of(write_case(tmp_path, with_model_line(line)))
    case = load_case(write_case(tmp_path, with_model_line(line, cuda_only=True), "gpu"))
    assert case.model.offload == offload


@pytest.mark.parametrize(("batch_size", "is_allowed"), [(1, False), (2, True)])
def test_slicing_needs_a_batch(tmp_path: Path, batch_size: int, is_allowed: bool) -> None:
    """Decoding a batch picture by picture means nothing for one picture."""
    text = with_model_line("vae_slicing = true").replace("seeds = [20]", f"seeds = [20, 21]\nbatch_size = {batch_size}")
    folder = write_case(tmp_path, text)
    if is_allowed:
        assert load_case(folder).model.vae_slicing
    else:
        assert "generation.batch_size" in error_of(folder)


@pytest.mark.parametrize(("offload", "is_allowed"), [("model", True), ("sequential", False)])
def test_quantization_needs_weights_on_their_modules(tmp_path: Path, offload: str, is_allowed: bool) -> None:
    """A recipe cannot quantize weights that sequential offload took off their modules."""
    text = with_model_line(f'offload = "{offload}"', cuda_only=True)
    folder = write_case(tmp_path, text + '[recipes.inductor.quantization]\ntransformer = "int8"\n')
    if is_allowed:
        assert load_case(folder).model.offload == offload
    else:
        assert "offload = 'model'" in error_of(folder)


@pytest.mark.parametrize("is_quantized", [False, True])
def test_loras_and_quantization_are_refused_together(tmp_path: Path, is_quantized: bool) -> None:
    """PEFT cannot swap what is quantized: a case has LoRAs or quantized recipes, not both."""
    quantized = '[recipes.inductor.quantization]\ntransformer = "int8"\n' if is_quantized else ""
    folder = write_case(tmp_path, with_model_line('loras = [{ file = "a.safetensors" }]', cuda_only=True) + quantized)
    if is_quantized:
        assert "without LoRAs" in error_of(folder)
    else:
        assert load_case(folder).model.loras


@pytest.mark.parametrize(("batch_size", "is_allowed"), [(1, True), (3, True), (6, True), (4, False), (12, False)])
def test_batch_size_divides_the_pictures(tmp_path: Path, batch_size: int, is_allowed: bool) -> None:
    """The case's pictures are whole batches."""
    text = MINIMAL.replace("seeds = [20]", f"seeds = [1, 2, 3, 4, 5, 6]\nbatch_size = {batch_size}")
    folder = write_case(tmp_path, text)
    if is_allowed:
        assert load_case(folder).generation.batch_size == batch_size
    else:
        assert "does not divide 6 pictures" in error_of(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('loras = [{ file = "a.bin" }]', "model.loras.0.file"),
        ('loras = [{ file = "a.safetensors", scale = 0.0 }]', "does nothing"),
        ('loras = [{ file = "a.safetensors", scale = nan }]', "model.loras.0.scale"),
        ('loras = [{ file = "a.safetensors" }, { file = "a.safetensors", scale = 1.0 }]', "twice"),
    ],
)
def test_lora_that_means_nothing_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """A LoRA is a safetensors file with a scale that has an effect, and each is another than the others."""
    assert message in error_of(write_case(tmp_path, with_model_line(line)))


def test_options_combine(tmp_path: Path) -> None:
    """Offload, tiling, slicing, LoRAs, batches and guidance off may stand in one case."""
    lines = (
        'offload = "model"\nvae_tiling = true\nvae_slicing = true\n'
        'loras = [{ file = "a.safetensors" }, { file = "a.safetensors", scale = -0.5 }]'
    )
    text = with_model_line(lines, cuda_only=True).replace("seeds = [20]", "seeds = [20, 21]\nbatch_size = 2")
    case = load_case(write_case(tmp_path, text.replace("guidance_scale = 3.5", "guidance_scale = 0.0")))
    assert (len(case.model.loras), case.generation.guidance_scale) == (2, 0.0)


def test_fewer_pairs_at_most_than_at_least_is_refused(tmp_path: Path) -> None:
    """A largest number of pairs below the smallest would make every verdict INCONCLUSIVE, so it is an error."""
    message = error_of(write_case(tmp_path, f"{MINIMAL}\n[sampling]\nmin_pairs = 10\nmax_pairs = 5\n"))
    assert "sampling" in message


def test_user_backend_is_allowed(tmp_path: Path) -> None:
    """A user's backend is named as module and function."""
    case = load_case(write_case(tmp_path, MINIMAL.replace('"inductor"', '"my.package:fast"')))
    assert not case.recipes["inductor"].is_built_in


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A folder without a case file is an error that names the file."""
    assert str(tmp_path / "gone" / "case.toml") in error_of(tmp_path / "gone")


@pytest.mark.parametrize("content", [b"[model\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_what_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    """A file that is not TOML is an error that names the file."""
    folder = write_case(tmp_path, "")
    (folder / "case.toml").write_bytes(content)
    message = error_of(folder)
    assert str(folder / "case.toml") in message
    assert "not valid TOML" in message


def test_name_in_the_file_is_refused(tmp_path: Path) -> None:
    """A case has its folder's name and no other."""
    assert "remove the key 'name'" in error_of(write_case(tmp_path, 'name = "other"\n' + MINIMAL))


def test_override_of_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    """An override for a recipe that does not exist would never apply, so it is an error that names it."""
    folder = write_case(tmp_path, f"{MINIMAL}\n[overrides.cpu.recipes.inducter]\nmin_speedup = 1.0\n")
    message = error_of(folder)
    assert str(folder / "case.toml") in message
    assert "inducter" in message


def test_not_applicable_needs_a_reason(tmp_path: Path) -> None:
    """A gate is declared away only with a reason of some length."""
    message = error_of(write_case(tmp_path, f'{MINIMAL}\n[recipes.inductor.not_applicable]\nshapes = "no"\n'))
    assert "recipes.inductor.not_applicable.shapes" in message


def test_parity_can_be_declared_away_beside_gates(tmp_path: Path) -> None:
    """Besides gates, step parity alone may be declared away, with a reason as they are."""
    reason = "reuses the features of former steps"
    case = load_case(write_case(tmp_path, f'{MINIMAL}\n[recipes.inductor.not_applicable]\nparity = "{reason}"\n'))
    assert case.recipes["inductor"].not_applicable == {"parity": reason}


LAYERS = {
    "case": "[thresholds]\nmin_speedup = 1.1\n",
    "recipe": "[recipes.inductor.thresholds]\nmin_speedup = 1.2\n",
    "device": "[overrides.cuda.thresholds]\nmin_speedup = 1.3\n",
    "device and recipe": "[overrides.cuda.recipes.inductor]\nmin_speedup = 1.4\n",
    "hardware": '[overrides."NVIDIA H20".thresholds]\nmin_speedup = 1.5\n',
    "hardware and recipe": '[overrides."NVIDIA H20".recipes.inductor]\nmin_speedup = 1.6\n',
}


@pytest.mark.parametrize("count", range(1, len(LAYERS) + 1))
def test_later_layer_wins(tmp_path: Path, count: int) -> None:
    """Thresholds are layered: case, recipe, device, hardware; the most special one is in force."""
    text = MINIMAL + "\n".join(list(LAYERS.values())[:count])
    thresholds = load_case(write_case(tmp_path, text)).thresholds_for("inductor", "cuda", "NVIDIA H20")
    assert thresholds.min_speedup == pytest.approx(1 + count / 10)


def test_layers_for_others_do_not_apply(tmp_path: Path) -> None:
    """What is set for one device, GPU or recipe leaves the others alone."""
    case = load_case(write_case(tmp_path, MINIMAL + "\n".join(LAYERS.values())))
    assert case.thresholds_for("inductor", "cpu", "cpu-avx2").min_speedup == 1.2
    assert case.thresholds_for("inductor", "cuda", "NVIDIA H100").min_speedup == 1.4


def test_unnamed_recipe_gets_no_recipe_thresholds(tmp_path: Path) -> None:
    """A backend from the command line is held against the case's own thresholds, those of device and GPU included."""
    case = load_case(write_case(tmp_path, MINIMAL + "\n".join(LAYERS.values())))
    assert case.thresholds_for(None, "cpu", "cpu-avx2").min_speedup == 1.1
    assert case.thresholds_for(None, "cuda", "NVIDIA H20").min_speedup == 1.5


def test_layer_leaves_what_it_does_not_set() -> None:
    """A layer replaces what it sets itself and nothing else, not even by its defaults."""
    merged = Thresholds(max_compiles_after_warmup=3, min_speedup=1.1).overridden_by(Thresholds(min_speedup=1.2))
    assert (merged.max_compiles_after_warmup, merged.min_speedup) == (3, 1.2)


def test_band_is_overridden_figure_by_figure() -> None:
    """A more special band replaces the figures that it names and leaves the others."""
    general = Thresholds(live=Band(min_ssim=0.9, max_difference=30.0), stored=Band(min_ssim=0.8))
    merged = general.overridden_by(Thresholds(live=Band(min_ssim=0.5)))
    assert merged == Thresholds(live=Band(min_ssim=0.5, max_difference=30.0), stored=Band(min_ssim=0.8))


def test_nothing_changes_after_loading(miniature_case: Case) -> None:
    """A loaded case is frozen: no gate can loosen its own threshold."""
    with pytest.raises(ValueError, match="frozen"):
        miniature_case.thresholds.min_speedup = 0.1  # type: ignore[misc]


def test_unknown_case_lists_the_known_ones(tmp_path: Path) -> None:
    """A name that does not exist is answered with the names that do."""
    write_case(tmp_path, MINIMAL)
    with pytest.raises(CaseError, match=r"no case 'other'.*small"):
        find_case(tmp_path, "other")


@pytest.mark.parametrize("name", ["../small", "/etc", "small/../small", "."])
def test_case_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    """A case is found by its plain name only, never by a path."""
    write_case(tmp_path / "baselines", MINIMAL)
    with pytest.raises(CaseError, match="no case"):
        find_case(tmp_path / "baselines", name)


def test_folder_without_cases_is_an_error(tmp_path: Path) -> None:
    """An empty baselines folder is named in the error."""
    with pytest.raises(CaseError, match="no case here"):
        case_names(tmp_path)


def test_shipped_cases_are_these(shipped_baselines: Path) -> None:
    """The repository ships these cases, and each loads."""
    assert [find_case(shipped_baselines, name).name for name in case_names(shipped_baselines)] == [
        "flux1-dev",
        "miniature",
        "sd35-large",
        "sd35-large-synthetic",
        "sd35-medium",
        "sdxl",
    ]


def test_miniature_runs_by_default_on_both_devices(miniature_case: Case) -> None:
    """The miniature needs no option and runs on CPU and CUDA."""
    assert miniature_case.default
    assert set(miniature_case.devices) == {"cpu", "cuda"}


def test_large_case_draws_as_the_published_benchmark(shipped_baselines: Path) -> None:
    """The large case has prompt, seed, steps and guidance of OneDiff's script, in bf16 on CUDA only."""
    case = find_case(shipped_baselines, "sd35-large")
    generation = case.generation
    assert generation.prompts == ("evening sunset scenery blue sky nature, glass bottle with a galaxy in it.",)
    assert (generation.seeds, generation.steps, generation.guidance_scale) == ((20,), 28, 3.5)
    assert (generation.height, generation.width, dict(case.model.dtype)) == (1024, 1024, {"cuda": "bfloat16"})


def test_large_case_has_the_benchmark_sizes(shipped_baselines: Path) -> None:
    """The large case cycles all 49 pairs of the script's seven sides."""
    sides = (1536, 1024, 768, 720, 576, 512, 256)
    sizes = find_case(shipped_baselines, "sd35-large").generation.sizes
    assert len(sizes) == 49
    assert set(sizes) == {(height, width) for height in sides for width in sides}


def test_large_case_pins_its_weights_and_runs_only_by_name(shipped_baselines: Path) -> None:
    """Gated weights are pinned to a commit, and nobody downloads them by accident."""
    case = find_case(shipped_baselines, "sd35-large")
    assert case.model.revision is not None
    assert len(case.model.revision) == 40
    assert not case.default


NO_BASELINE = {
    "device": '[overrides.cuda]\nbaseline_does_not_fit = "too large for any GPU"\n',
    "hardware": '[overrides."NVIDIA H20"]\nbaseline_does_not_fit = "too large for this one"\n',
}


def test_baseline_that_does_not_fit_is_told_for_its_hardware(tmp_path: Path) -> None:
    """The reason holds on the hardware that it names; the hardware's goes before the device's."""
    case = load_case(write_case(tmp_path, MINIMAL + "".join(NO_BASELINE.values())))
    assert case.baseline_does_not_fit("cuda", "NVIDIA H20") == "too large for this one"
    assert case.baseline_does_not_fit("cuda", "NVIDIA H100") == "too large for any GPU"
    assert case.baseline_does_not_fit("cpu", "cpu-avx2") is None


def test_baseline_that_does_not_fit_needs_a_reason(tmp_path: Path) -> None:
    """A baseline is declared away only with a reason of some length."""
    text = '[overrides.cuda]\nbaseline_does_not_fit = "no"\n'
    assert "baseline_does_not_fit" in error_of(write_case(tmp_path, MINIMAL + text))


def test_large_baseline_does_not_fit_the_published_small_gpu(shipped_baselines: Path) -> None:
    """The 24 GiB of an RTX 4090 do not hold the large baseline; an H20 does."""
    case = find_case(shipped_baselines, "sd35-large")
    assert "28.525 GiB" in str(case.baseline_does_not_fit("cuda", "NVIDIA GeForce RTX 4090"))
    assert case.baseline_does_not_fit("cuda", "NVIDIA H20") is None


@pytest.mark.parametrize(("quantization", "ratio"), [({}, 1.5), ({"transformer": "int8"}, None)])
def test_recipe_that_only_compiles_is_held_to_rounding(
    miniature_case: Case, quantization: dict[str, str], ratio: float | None
) -> None:
    """Without a ceiling of its own pure compilation has one, and what quantizes is not yet measured."""
    recipe = Recipe.model_validate({"backend": "inductor", "quantization": quantization})
    case = miniature_case.model_copy(update={"recipes": {"mine": recipe}, "overrides": {}})
    assert case.thresholds_for("mine", "cuda", "NVIDIA H20").max_parity_ratio == ratio


def test_named_parity_ceiling_stands(miniature_case: Case) -> None:
    """A ceiling that a table names is not replaced, and a backend of the command line only compiles."""
    named = miniature_case.model_copy(update={"thresholds": Thresholds(max_parity_ratio=1.2), "overrides": {}})
    assert named.thresholds_for("inductor", "cpu", "cpu-avx2").max_parity_ratio == 1.2
    bare = miniature_case.model_copy(update={"overrides": {}})
    assert bare.thresholds_for(None, "cpu", "cpu-avx2").max_parity_ratio == 1.5


def test_what_a_table_leaves_open_is_not_written() -> None:
    """A table comes back as it was: no default of it, nor of a band inside, is written as if somebody had set it."""
    table = Thresholds(min_speedup=1.5, live=Band(min_ssim=0.9), max_residue_mib=64.0)
    written = table.model_dump_json()
    assert json.loads(written) == {"min_speedup": 1.5, "live": {"min_ssim": 0.9}, "max_residue_mib": 64.0}
    read = Thresholds.model_validate_json(written)
    assert read == table
    assert read.model_fields_set == {"min_speedup", "live", "max_residue_mib"}
    assert read.live.model_fields_set == {"min_ssim"}
