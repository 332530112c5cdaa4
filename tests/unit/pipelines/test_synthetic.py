"""Synthetic weights: architectures of the published sizes, built with the right buffers and never with foreign code."""

import gc
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers

from nearlossless.cases.case import Case, CaseError
from nearlossless.pipelines.libraries import quiet_libraries
from nearlossless.pipelines.loading import build_baseline, weights_name
from nearlossless.pipelines.synthetic import ARCHITECTURES, architecture_names, build_synthetic

DOCS = Path(__file__).parents[3] / "docs" / "full-size-models.md"
GIB = 1024**3
T5, CLIP_L, CLIP_L_PROJECTED, CLIP_G = 4_762_310_656, 123_060_480, 123_650_304, 694_659_840
VAE_16, VAE_SDXL = 83_819_683, 83_653_863  # without and with quant convolutions
SD3_ENCODERS = {"text_encoder": CLIP_L_PROJECTED, "text_encoder_2": CLIP_G, "text_encoder_3": T5}
PARAMETERS = {
    "flux1-dev": {"text_encoder": CLIP_L, "text_encoder_2": T5, "transformer": 11_901_408_320, "vae": VAE_16},
    "sd35-large": {**SD3_ENCODERS, "transformer": 8_056_627_520, "vae": VAE_16},
    "sd35-medium": {**SD3_ENCODERS, "transformer": 2_243_171_520, "vae": VAE_16},
    "sdxl": {"text_encoder": CLIP_L, "text_encoder_2": CLIP_G, "unet": 2_567_463_684, "vae": VAE_SDXL},
}
FAMILIES = sorted(PARAMETERS)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Shrunken = dict[str, Path]
MakeCase = Callable[..., Case]


def modules(pipeline: Any) -> dict[str, torch.nn.Module]:
    """A pipeline's models by name."""
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def build_as_usual(folder: Path, name: str) -> torch.nn.Module:
    """A component as its own library builds it from its configuration, on the default device, weights and all."""
    library, class_name = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))[name]
    content = json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
    cls = getattr(diffusers if library == "diffusers" else transformers, class_name)
    module: torch.nn.Module = (
        cls.from_config(content) if library == "diffusers" else cls(cls.config_class.from_dict(content))
    )
    return module


def count(architecture: str) -> dict[str, int]:
    """Parameters of each component, built on the meta device."""
    folder = ARCHITECTURES / architecture
    with torch.device("meta"):
        built = {path.parent.name: build_as_usual(folder, path.parent.name) for path in folder.glob("*/config.json")}
    return {name: sum(parameter.numel() for parameter in module.parameters()) for name, module in built.items()}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_parameters_are_counted_exactly(architecture: str) -> None:
    """Each shipped component has exactly the parameters of the published model."""
    assert count(architecture) == PARAMETERS[architecture]


def test_every_architecture_is_counted() -> None:
    """No architecture ships without its published counts beside it."""
    assert architecture_names() == FAMILIES


@pytest.mark.parametrize("architecture", FAMILIES)
def test_documented_sizes_are_those_of_the_architectures(architecture: str) -> None:
    """The table in the docs gives each architecture's counts, its GiB in bf16, and their sum."""
    counts = PARAMETERS[architecture]
    rows = re.findall(
        rf"^\| `{re.escape(architecture)}` \| (.+?) \|\s+([\d,]+) \|\s+([\d.]+) \|$", DOCS.read_text(), re.MULTILINE
    )
    expected = [(f"`{name}`", f"{number:,}", f"{2 * number / GIB:.3f}") for name, number in counts.items()]
    total = sum(counts.values())
    assert sorted(rows) == sorted([*expected, ("all", f"{total:,}", f"{2 * total / GIB:.3f}")])


@pytest.mark.parametrize("architecture", FAMILIES)
def test_buffers_are_those_of_a_model_built_as_usual(
    architecture: str, shrunken: Shrunken, synthetic_case: MakeCase
) -> None:
    """Position tables, ids and other buffers hold what the model's own code computes, persistent or not."""
    folder = shrunken[architecture]
    for name, module in modules(build_synthetic(synthetic_case(folder), "cpu")).items():
        usual = dict(build_as_usual(folder, name).named_buffers())
        obtained = dict(module.named_buffers())
        assert obtained.keys() == usual.keys()
        assert all(torch.equal(obtained[key], usual[key]) for key in usual)


def test_position_table_is_among_the_buffers(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """The comparison of buffers has something to compare: SD3's table of positions, which is not constant."""
    transformer = build_synthetic(synthetic_case(shrunken["sd35-large"]), "cpu").transformer
    assert transformer.pos_embed.pos_embed.std() > 0.1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", FAMILIES)
def test_dtypes_and_modes_are_those_of_loaded_weights(
    architecture: str, dtype: str, shrunken: Shrunken, synthetic_case: MakeCase, tmp_path: Path
) -> None:
    """Saved and loaded as trained weights are, every tensor comes back with the same dtype and the same bits."""
    built = build_synthetic(synthetic_case(shrunken[architecture], dtype), "cpu")
    with quiet_libraries():
        built.save_pretrained(tmp_path, safe_serialization=True)
        loaded = diffusers.DiffusionPipeline.from_pretrained(tmp_path, torch_dtype=DTYPES[dtype], local_files_only=True)
    for name, module in modules(loaded).items():
        own = modules(built)[name]
        assert own.training == module.training
        for kind in ("named_parameters", "named_buffers"):
            obtained, expected = dict(getattr(own, kind)()), dict(getattr(module, kind)())
            assert {key: value.dtype for key, value in obtained.items()} == {k: v.dtype for k, v in expected.items()}
            assert all(torch.equal(obtained[key], expected[key]) for key in expected)


def test_same_seed_gives_the_same_bits(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """Two builds on one device are equal bit for bit, and two components are not one another's copy."""
    case = synthetic_case(shrunken["sd35-large"])
    first, second = (build_synthetic(case, "cpu") for _ in range(2))
    for name, module in modules(first).items():
        others = modules(second)[name].state_dict()
        assert all(torch.equal(value, others[key]) for key, value in module.state_dict().items())
    matrices = [
        part.text_model if hasattr(part, "text_model") else part for part in (first.text_encoder, first.text_encoder_2)
    ]
    assert not torch.equal(*(next(matrix.parameters()) for matrix in matrices))


@pytest.mark.parametrize("architecture", FAMILIES)
def test_no_weight_is_constant_or_wild(architecture: str, shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """Every weight varies, norms lie about 1, biases about 0, and no matrix is larger than its inputs allow."""
    for module in modules(build_synthetic(synthetic_case(shrunken[architecture]), "cpu")).values():
        for name, weight in module.named_parameters():
            values = weight.detach().float()
            assert values.isfinite().all(), name
            assert values.numel() < 3 or values.std() > 1e-3, name
            if values.dim() == 1:
                assert (values.mean() - (0 if name.endswith("bias") else 1)).abs() < 0.05, name
            else:
                assert values.std() < 1.2, name


def test_t5_queries_make_up_for_its_unscaled_attention(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """T5's queries are smaller than its keys by sqrt(d_kv), here 4, so that its logits are of unit order."""
    attention = build_synthetic(synthetic_case(shrunken["sd35-large"]), "cpu").text_encoder_3.encoder.block[0].layer[0]
    ratio = attention.SelfAttention.k.weight.std() / attention.SelfAttention.q.weight.std()
    assert ratio.item() == pytest.approx(4.0, rel=0.1)


def test_tied_weights_stay_tied(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """T5's embedding is one tensor under two names, as in every loaded T5."""
    encoder = build_synthetic(synthetic_case(shrunken["sd35-large"]), "cpu").text_encoder_3
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


def test_largest_component_comes_first_and_alone(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """Components are told one by one, largest first, while those that follow hold no memory yet."""
    case, seen, sizes = synthetic_case(shrunken["flux1-dev"]), list[str](), list[int]()

    def halve(name: str, module: torch.nn.Module) -> None:
        assert all(parameter.device.type == "cpu" for parameter in module.parameters())
        seen.append(name)
        sizes.append(sum(parameter.numel() for parameter in module.parameters()))
        module.half()

    pipeline = build_synthetic(case, "cpu", on_component=halve)
    assert sorted(seen) == ["text_encoder", "text_encoder_2", "transformer", "vae"]
    assert sizes == sorted(sizes, reverse=True)
    assert {next(part.parameters()).dtype for part in modules(pipeline).values()} == {torch.float16}


def weights_in_memory() -> int:
    """How many numbers all parameters of this process hold."""
    gc.collect()
    alive = [thing for thing in gc.get_objects() if isinstance(thing, torch.nn.Parameter)]
    return sum(parameter.numel() for parameter in alive if parameter.device.type != "meta")


def test_no_component_takes_memory_before_its_turn(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """When a component is told, it and those before it are all the weights there are."""
    before, built = weights_in_memory(), list[int]()

    def check(name: str, module: torch.nn.Module) -> None:
        built.append(sum(parameter.numel() for parameter in module.parameters()))
        assert weights_in_memory() - before == sum(built), name

    build_synthetic(synthetic_case(shrunken["sdxl"]), "cpu", on_component=check)
    assert len(built) == 4


def lengths(pipeline: Any) -> dict[str, tuple[str, int]]:
    """Kind and length of each tokenizer."""
    found = {name: part for name, part in pipeline.components.items() if name.startswith("tokenizer")}
    return {name: (type(part).__name__[:2], part.model_max_length) for name, part in found.items()}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_tokenizers_are_of_the_right_kind_and_length(
    architecture: str, shrunken: Shrunken, synthetic_case: MakeCase
) -> None:
    """Each encoder reads its own kind of tokens, 77 for a CLIP and up to 512 for a T5."""
    clip, t5 = ("CL", 77), ("T5", 512)
    expected = {
        "flux1-dev": {"tokenizer": clip, "tokenizer_2": t5},
        "sdxl": {"tokenizer": clip, "tokenizer_2": clip},
    }.get(architecture, {"tokenizer": clip, "tokenizer_2": clip, "tokenizer_3": t5})
    assert lengths(build_synthetic(synthetic_case(shrunken[architecture]), "cpu")) == expected


def test_text_is_as_long_as_the_real_one(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """SD3 conditions on 77 CLIP and 256 T5 tokens, FLUX on 512."""
    sd3 = build_synthetic(synthetic_case(shrunken["sd35-large"]), "cpu")
    assert sd3.encode_prompt("blue ring", None, None, max_sequence_length=256)[0].shape[1] == 77 + 256
    flux = build_synthetic(synthetic_case(shrunken["flux1-dev"]), "cpu")
    assert flux.encode_prompt("blue ring", None, max_sequence_length=512)[0].shape[1] == 512


def test_clip_pools_at_the_end_of_the_prompt(shrunken: Shrunken, synthetic_case: MakeCase) -> None:
    """The pooled embedding knows the whole prompt: it differs where only the last word does."""
    pipeline = build_synthetic(synthetic_case(shrunken["sd35-large"]), "cpu")
    tokens = pipeline.tokenizer(["blue ring", "blue star"], padding="max_length", return_tensors="pt").input_ids
    last, pooled = tokens.argmax(dim=-1), pipeline.text_encoder(tokens).text_embeds
    assert (tokens[torch.arange(2), last] == pipeline.tokenizer.eos_token_id).all()
    assert (last > 1).all()
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-3)


def edit(folder: Path, file: str, **changes: Any) -> None:
    """Change keys of one JSON file."""
    content = json.loads((folder / file).read_text(encoding="utf-8"))
    (folder / file).write_text(json.dumps({**content, **changes}), encoding="utf-8")


@pytest.fixture
def own_folder(shrunken: Shrunken, tmp_path: Path) -> Path:
    """A copy of the shrunken SD3.5-Large that a test may spoil."""
    return Path(shutil.copytree(shrunken["sd35-large"], tmp_path / "own"))


def test_name_follows_the_configuration(own_folder: Path, synthetic_case: MakeCase) -> None:
    """Weights are named after their source and a hash that any change of a configuration changes."""
    case = synthetic_case(own_folder)
    before = weights_name(case)
    assert re.fullmatch(rf"synthetic:{re.escape(str(own_folder))}@[0-9a-f]{{12}}", before)
    assert weights_name(case) == before
    edit(own_folder, "transformer/config.json", num_layers=4)
    assert weights_name(case) != before


def test_unknown_architecture_lists_the_known(synthetic_case: MakeCase) -> None:
    """A source that is neither shipped nor a folder is answered with what there is."""
    with pytest.raises(CaseError, match=r"flux1-dev, sd35-large, sd35-medium, sdxl.*'\.\./sdxl' is neither"):
        build_baseline(synthetic_case("../sdxl"), "cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transformer": ["os", "PathLike"]}, r"names os\.PathLike"),
        ({"transformer": ["stable_diffusion", "StableDiffusionSafetyChecker"]}, "names stable_diffusion"),
        ({"transformer": ["diffusers", "DiffusionPipeline"]}, "ModelMixin, PreTrainedModel"),
        ({"transformer": ["transformers", "pipeline"]}, "names transformers.pipeline"),
        ({"scheduler": ["diffusers", "AutoencoderKL"]}, "SchedulerMixin"),
        ({"_class_name": "os.system"}, "DiffusionPipeline"),
        ({"_class_name": ["my_pipeline", "Mine"]}, "DiffusionPipeline"),
        ({"tokenizer": ["transformers", "GemmaTokenizer"]}, "no stand-in for GemmaTokenizer"),
        ({"vae": ["diffusers", "SD3Transformer2DModel"]}, "does not describe a SD3Transformer2DModel"),
        ({"extra": ["diffusers", "AutoencoderKL"]}, r"extra.config\.json"),
        ({"../vae": ["diffusers", "AutoencoderKL"]}, r"'\.\./vae' = .* is not a component"),
        ({"transformer": ["diffusers"]}, "is not a component"),
    ],
)
def test_only_classes_of_the_two_libraries_are_built(
    own_folder: Path, synthetic_case: MakeCase, changes: dict[str, Any], message: str
) -> None:
    """A file that names anything but a model, scheduler or pipeline of diffusers or transformers is refused."""
    edit(own_folder, "model_index.json", **changes)
    with pytest.raises(CaseError, match=message):
        build_baseline(synthetic_case(own_folder), "cpu")


@pytest.mark.parametrize("file", ["model_index.json", "transformer/config.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("content", [None, "[1]", "{"])
def test_unreadable_configuration_is_told(
    own_folder: Path, synthetic_case: MakeCase, file: str, content: str | None
) -> None:
    """A configuration that is missing or is no JSON object is an error of the case that names it."""
    (own_folder / file).unlink() if content is None else (own_folder / file).write_text(content)
    with pytest.raises(CaseError, match=re.escape(file if content else Path(file).name)):
        build_baseline(synthetic_case(own_folder), "cpu")


@pytest.mark.parametrize("file", ["transformer/config.json", "text_encoder_3/config.json"])
def test_configuration_of_another_class_is_told(own_folder: Path, synthetic_case: MakeCase, file: str) -> None:
    """A configuration that is not of the class that the index names is refused, not filled with defaults."""
    (own_folder / file).write_text("{}")
    with pytest.raises(CaseError, match=f"{re.escape(file)}: does not describe"):
        build_baseline(synthetic_case(own_folder), "cpu")


def test_attention_kernels_are_not_fetched(own_folder: Path, synthetic_case: MakeCase) -> None:
    """A configuration cannot name a kernel from the hub for transformers to download and run."""
    edit(own_folder, "text_encoder_3/config.json", _attn_implementation="someone/kernel", attn_implementation="a/b")
    encoder = build_baseline(synthetic_case(own_folder), "cpu").text_encoder_3
    assert encoder.config._attn_implementation in {"sdpa", "eager"}


def test_small_vocabulary_is_told(own_folder: Path, synthetic_case: MakeCase) -> None:
    """An encoder that could not look up a token's id is refused when it is built, not when it draws."""
    edit(own_folder, "text_encoder/config.json", vocab_size=100)
    with pytest.raises(CaseError, match="an encoder of 100 words is too small"):
        build_baseline(synthetic_case(own_folder), "cpu")
