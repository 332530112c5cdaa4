"""What several unit tests share: the shipped cases, a drawn picture, and small records made by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.scores import scores
from tests.shrinking import CHANGES, shrink

from nearlossless.cases.case import Case, Generation, Model
from nearlossless.cases.files import load_case
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Thresholds
from nearlossless.effect import Effect
from nearlossless.environment import Fingerprint, PictureIdentity, TimingIdentity
from nearlossless.fields import Device
from nearlossless.memory.leaks import FIRST_LOOK, Rounds
from nearlossless.miniature.world import draw, scene_at
from nearlossless.processes.caches import CacheUse
from nearlossless.processes.job import PhasePeaks, ProcessRun
from nearlossless.progress import Progress
from nearlossless.record import Record
from nearlossless.record.quality import ParityRecord, PictureRecord, StepParity
from nearlossless.record.shapes import SizeRecord
from nearlossless.record.speed import PhaseTimes, Speeds
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import CheckRecord, VerdictRecord
from nearlossless.runs.selection import Subject

BASELINES = Path(__file__).parents[2] / "baselines"


@pytest.fixture(scope="session")
def shipped_baselines() -> Path:
    """The folder of cases that comes with the repository."""
    return BASELINES


@pytest.fixture(scope="session")
def miniature_case() -> Case:
    """The shipped case of the miniature."""
    return load_case(BASELINES / "miniature")


@pytest.fixture(scope="session")
def quick_case(miniature_case: Case) -> Case:
    """The miniature's case in two denoising steps."""
    generation = miniature_case.generation.model_copy(update={"steps": 2})
    return miniature_case.model_copy(update={"generation": generation})


@pytest.fixture(scope="session")
def tiny_case(quick_case: Case) -> Case:
    """The miniature's case in two denoising steps at 64x64, three sizes to cycle."""
    changes = {"height": 64, "width": 64, "sizes": ((64, 64), (96, 64), (64, 96))}
    return quick_case.model_copy(update={"generation": quick_case.generation.model_copy(update=changes)})


def phase_times(**changes: object) -> PhaseTimes:
    """A call of 28 steps: the first takes twice as long as each other one, with `changes` made to it."""
    sound: dict[str, object] = {"text_encoding_s": 0.1, "first_step_s": 0.07, "later_steps": 27, "later_steps_s": 0.945}
    return PhaseTimes.model_validate({**sound, "decoding_s": 0.2, **changes})


# As many rounds as are needed, after none of which anything more lay in memory.
STILL = Rounds(drawn=("64x64", "96x64"), tensor_bytes=[1000] * FIRST_LOOK, host_bytes=[2**20] * FIRST_LOOK)
MakeSubject = Callable[..., Subject]


@pytest.fixture(scope="session")
def make_subject() -> MakeSubject:
    """Makes what gates judge: a case under a recipe on a device."""

    def make(case: Case, recipe: Recipe, device: Device = "cpu") -> Subject:
        return Subject(
            case=case,
            case_folder=BASELINES / case.name,
            recipe_name="unnamed",
            recipe=recipe,
            device=device,
            is_named=False,
        )

    return make


@pytest.fixture(scope="session")
def silent() -> Progress:
    """Progress that nobody reads."""
    return Progress(lambda _text: None)


MakeLora = Callable[..., Path]


@pytest.fixture(scope="session")
def make_lora(tmp_path_factory: pytest.TempPathFactory) -> MakeLora:
    """Writes random LoRAs of the miniature's transformer, without the library that reads them."""

    def make(
        *, rank: int = 4, seed: int = 0, factor: float = 1.0, part: str = "transformer", layers: str = "to_q to_v"
    ) -> Path:
        import torch
        from safetensors.torch import save_file

        generator, width = torch.Generator().manual_seed(seed), 128
        weights = {}
        for block in range(4):
            for layer in layers.split():
                name = f"{part}.transformer_blocks.{block}.attn.{layer}"
                weights[f"{name}.lora_A.weight"] = 0.15 * torch.randn(rank, width, generator=generator)
                weights[f"{name}.lora_B.weight"] = factor * 0.15 * torch.randn(width, rank, generator=generator)
        path = tmp_path_factory.mktemp("lora", numbered=True) / "lora.safetensors"
        save_file(weights, path)
        return path

    return make


@pytest.fixture
def picture() -> Image.Image:
    """One drawn picture of 128x128 pixels, of each test's own: some paint on it."""
    return draw(scene_at(0))


@pytest.fixture(scope="session")
def shrunken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with the configuration files of each shipped architecture, shrunk to what a CPU draws in a second."""
    parent = tmp_path_factory.mktemp("architectures")
    return {architecture: shrink(architecture, parent) for architecture in CHANGES}


@pytest.fixture(scope="session")
def synthetic_case() -> Callable[..., Case]:
    """Makes a case of synthetic weights on the CPU; keywords change what it draws."""

    def make(source: Path | str, dtype: str = "float32", **changes: Any) -> Case:
        drawn: dict[str, Any] = {"prompts": ["blue ring on a plain yellow background"], "seeds": [20], "steps": 2}
        drawn |= {"height": 64, "width": 64, "sizes": [(64, 64)], "guidance_scale": 3.5}
        return Case(
            name="shrunken",
            model=Model.model_validate({"source": str(source), "weights": "synthetic", "dtype": {"cpu": dtype}}),
            generation=Generation(**(drawn | changes)),
            recipes={"inductor": Recipe(backend="inductor")},
        )

    return make


@pytest.fixture
def identity() -> PictureIdentity:
    """The picture identity of a CPU."""
    return PictureIdentity(
        hardware="cpu-avx2",
        dtype="float32",
        weights="miniature",
        scheduler="FlowMatchEulerDiscreteScheduler",
        matmul_precision="highest",
        tf32=False,
        attention="sdpa:math",
    )


@pytest.fixture
def process_run() -> Callable[..., ProcessRun]:
    """Makes what one process measured; arguments replace single figures."""

    def make(
        *,
        steady_bytes: int = 1000,
        load_s: float = 1.0,
        first_call_s: float = 2.0,
        kind: str = "resident",
        caches: dict[str, CacheUse] | None = None,
        **changes: Any,
    ) -> ProcessRun:
        kept: dict[str, Any] = {"rounds": STILL, "residue_bytes": 0}
        return ProcessRun(
            load_s=load_s,
            first_call_s=first_call_s,
            steady_s=[0.5, 0.5],
            peaks=PhasePeaks(
                kind=kind, load_bytes=steady_bytes, first_call_bytes=steady_bytes, steady_bytes=steady_bytes
            ),
            caches=caches or {},
            **kept | changes,
        )

    return make


@pytest.fixture
def full_record(identity: PictureIdentity, process_run: Callable[..., ProcessRun]) -> Record:
    """A record with every kind of outcome, raw samples, pictures and sizes."""
    fingerprint = Fingerprint(
        timing=TimingIdentity(picture=identity, device_uuid=None, power_limit_w=None, cpu="a processor", threads=2),
        stack={"torch": "2.13.0"},
    )
    check = CheckRecord(
        of="",
        name="speedup",
        outcome="INCONCLUSIVE",
        obtained=1.5,
        threshold=1.4,
        comparison=">=",
        unit="x",
        note="5 pairs",
        interval=(0.0, float("inf")),
        path=None,
    )
    outcomes = ("PASS", "REGRESSION", "INCONCLUSIVE", "NOT_COMPARABLE", "NOT_APPLICABLE")
    gates = ("speedup", "memory", "quality", "shapes", "startup")
    verdicts = [
        VerdictRecord(gate=gate, outcome=outcome, reason=f"reason of {outcome}", test=f"test_{gate}", checks=[check])
        for gate, outcome in zip(gates, outcomes, strict=True)
    ]
    subject = SubjectRecord(
        case="miniature",
        recipe="inductor",
        backend="inductor",
        device="cpu",
        thresholds=Thresholds(min_speedup=1.4),
        fingerprint=fingerprint,
        verdicts=verdicts,
        baseline_process=process_run(),
        cold_process=process_run(),
        warm_process=process_run(caches={"graphs": CacheUse(hits=7, bypasses=2)}),
        artifact_process=process_run(load_s=1.5),
        speeds=Speeds(baseline_s=[1.0, 1.1, 1.05], compiled_s=[0.7, 0.71, 0.69], baseline_phases=[phase_times()]),
        pictures=[
            PictureRecord(prompt="blue ring", seed=20, height=128, width=128, live=scores(0.8, mean_ssim=0.9)),
            PictureRecord(prompt="red star", seed=21, height=128, width=128, stored_problem="nothing is stored"),
        ],
        parity=ParityRecord(
            steps=[
                StepParity(step=0, baseline_rms=1e-7, compiled_rms=1.25e-3, ratio=12500.0),
                StepParity(step=27, problem="NaN or Inf at other places than the baseline's: 1 of 8"),
            ],
            reference="float64",
            blocks={
                "pos_embed": StepParity(step=0, ratio=1.0),
                "transformer_blocks.2": StepParity(step=0, ratio=12500.0),
                "proj_out": StepParity(step=0, problem="NaN or Inf at other places than the baseline's: 1 of 8"),
            },
            divergence="at step 1 first diverges in transformer_blocks.2",
        ),
        effect=Effect(
            graphs=3,
            part_calls=8,
            compiled_calls=8,
            quantized_layers={"transformer": 45},
            kernels=("triton_poi_fused_gelu_0",),
        ),
        sizes=[SizeRecord(height=64, width=128, compiles=1, latency_s=0.25, problems=["drew a black picture"])],
    )
    return Record(
        schema_version=1,
        nearlossless_version="0.1.0",
        started="2025-01-01T00:00:00+00:00",
        command="pytest",
        subjects=[subject],
    )
