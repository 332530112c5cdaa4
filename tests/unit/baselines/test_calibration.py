"""Calibrate: what benign changes do to a case's pictures, kept beside them and proposed as bands."""

import dataclasses
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.scores import scores
from typer.testing import CliRunner

from nearlossless.backends import BackendError, BackendUnavailable
from nearlossless.baselines.calibration import (
    AGAIN,
    REPEATS,
    calibrate,
    measure_noise,
    noise_settings,
    proposed_band,
    proposed_lines,
    stored_noise,
)
from nearlossless.baselines.noise import Movement, NoiseFloor, noise_path, read_noise, write_noise
from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.files import CASE_FILE, load_case
from nearlossless.cases.recipes import Recipe
from nearlossless.cli import app
from nearlossless.environment import Fingerprint, PictureIdentity, TimingIdentity
from nearlossless.gates.bands import band_checks
from nearlossless.measuring import BaselineError, benign, drawer
from nearlossless.measuring.benign import Benign, benign_changes
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import Request, batches
from nearlossless.progress import Progress
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import Outcome

CASE = """
[model]
source = "miniature"
dtype = { cpu = "float32" }

[generation]
prompts = ["blue ring on a plain yellow background", "orange star on green stripes"]
seeds = [20]
height = 64
width = 64
steps = 2
guidance_scale = 3.5
max_sequence_length = 16
sizes = [[64, 64]]

[recipes.inductor]
backend = "inductor"

[thresholds]
live.min_ssim = 0.999
"""


@pytest.fixture
def baselines(tmp_path: Path) -> Path:
    """A folder with one case: two tiny pictures in two steps."""
    folder = tmp_path / "baselines" / "tiny"
    folder.mkdir(parents=True)
    (folder / CASE_FILE).write_text(CASE, encoding="utf-8")
    return folder.parent


@pytest.fixture
def case(baselines: Path) -> Case:
    """That case."""
    return load_case(baselines / "tiny")


@pytest.fixture(scope="module")
def pipeline(tiny_case: Case) -> Any:
    """The miniature."""
    return build_baseline(tiny_case, "cpu")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a C++ compiler, where calibrating takes a second."""
    monkeypatch.setenv("CXX", "no-such-compiler")


def failing(error: BaseException) -> Callable[[Sequence[Request]], list[Image.Image]]:
    """A change that cannot be drawn."""

    def drawn(_batch: Sequence[Request]) -> list[Image.Image]:
        raise error

    return drawn


class Modes:
    """A pipeline that draws by another guidance at some of its calls."""

    def __init__(self, pipeline: Any, extra: Iterator[float]) -> None:
        self._pipeline, self._extra = pipeline, extra

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, **options: Any) -> Any:
        """The inner pipeline's call, its guidance moved."""
        return self._pipeline(**options | {"guidance_scale": options["guidance_scale"] + next(self._extra)})


def cycle_of(*extra: float) -> Iterator[float]:
    """The same again and again."""
    while True:
        yield from extra


def measured(pipeline: Any, case: Case, *changes: Benign) -> tuple[dict[str, Movement], list[int]]:
    """Movements by name, and the counts of different pictures."""
    movements, distinct = measure_noise(pipeline, case, changes, Progress(lambda _: None))
    return {movement.change: movement for movement in movements}, distinct


def test_repeats_of_a_deterministic_pipeline_are_one_picture(pipeline: Any, case: Case) -> None:
    """Drawn again and again, each picture is the same to the bit, and its movement none."""
    movements, distinct = measured(pipeline, case)
    assert distinct == [1, 1]
    assert [score.max_difference for score in movements[AGAIN].scores] == [0, 0]


def test_bistable_pipeline_is_found(pipeline: Any, case: Case) -> None:
    """A planted second mode is counted as one, and the floor holds how far it is from the first."""
    movements, distinct = measured(Modes(pipeline, cycle_of(0.0, 0.0, 2.0)), case)
    assert distinct == [2, 2]
    assert all(1 < count < REPEATS for count in distinct)
    assert min(score.worst_tile_ssim for score in movements[AGAIN].scores) < 0.999


def test_pipeline_that_never_repeats_is_no_jump(pipeline: Any, case: Case) -> None:
    """Another picture each time is chance, and all of its pictures are in the floor."""
    movements, distinct = measured(Modes(pipeline, (float(number) for number in range(10))), case)
    assert distinct == [REPEATS, REPEATS]
    assert len(movements[AGAIN].scores) == 2 * (REPEATS - 1)


def test_each_change_moves_every_picture(pipeline: Any, case: Case) -> None:
    """A change has one score a picture, beside the live one, in any case of several batches."""
    moved = Benign("guidance", drawer(Modes(pipeline, cycle_of(2.0)), case))
    movements, _ = measured(pipeline, case, Benign("none", drawer(pipeline, case)), moved)
    assert [score.max_difference for score in movements["none"].scores] == [0, 0]
    assert len(movements["guidance"].scores) == 2
    assert all(score.worst_tile_ssim < 0.999 for score in movements["guidance"].scores)


@pytest.mark.parametrize("error", [BackendError("no such kernel"), BackendUnavailable("no compiler")])
def test_impossible_change_is_recorded_as_a_problem(pipeline: Any, case: Case, error: Exception) -> None:
    """What this machine cannot do keeps its reason and no scores, and the others are measured all the same."""
    movements, _ = measured(
        pipeline, case, Benign("impossible", failing(error)), Benign("possible", drawer(pipeline, case))
    )
    assert movements["impossible"] == Movement(change="impossible", problem=str(error))
    assert len(movements["possible"].scores) == 2


def test_change_that_fails_later_keeps_no_scores(pipeline: Any, case: Case) -> None:
    """A change of which only the first batch could be drawn is none that was measured, and is not tried again."""
    calls = []

    def once(batch: Sequence[Request]) -> list[Image.Image]:
        calls.append(batch)
        if len(calls) > 1:
            raise BackendError("out of memory")
        return drawer(pipeline, case)(batch)

    movements, _ = measured(pipeline, case, Benign("large", once))
    assert movements["large"] == Movement(change="large", problem="out of memory")
    assert len(calls) == 2


def test_change_that_breaks_the_picture_is_not_benign(pipeline: Any, case: Case) -> None:
    """A kernel that draws black is a defect of this machine and must not become its noise floor."""
    black = Benign("overflow", lambda batch: [Image.new("RGB", (64, 64)) for _ in batch])
    small = Benign("small", lambda batch: [picture.resize((32, 32)) for picture in drawer(pipeline, case)(batch)])
    movements, _ = measured(pipeline, case, black, small)
    assert "black" in str(movements["overflow"].problem)
    assert "32x32 instead of 64x64" in str(movements["small"].problem)
    assert movements["overflow"].scores == movements["small"].scores == []


def test_baseline_that_does_not_draw_is_an_error(case: Case) -> None:
    """A baseline that fails leaves nothing to calibrate."""

    def broken(**_: Any) -> None:
        raise RuntimeError("planted")

    with pytest.raises(BaselineError, match="planted"):
        measured(broken, case)


def test_progress_is_a_line_a_batch(pipeline: Any, case: Case) -> None:
    """Logs show each batch once; what is drawn within it is told by the heartbeat alone."""
    lines: list[str] = []
    changes = [Benign(name, drawer(pipeline, case)) for name in ("one", "two")]
    measure_noise(pipeline, case, changes, Progress(lines.append))
    assert lines == ["noise floor: batch 1 of 2", "noise floor: batch 2 of 2"]


def test_baseline_is_what_it_was(pipeline: Any, case: Case, tmp_path: Path, no_compiler: None) -> None:
    """After all changes the baseline draws the bits that it drew before."""
    request = batches(case.generation)[0][0]
    before = draw(pipeline, case.generation, request).tobytes()
    measured(pipeline, case, *benign_changes(pipeline, case, "cpu", tmp_path))
    assert draw(pipeline, case.generation, request).tobytes() == before


def test_calibrating_writes_what_a_run_reads(baselines: Path, silent: Progress, no_compiler: None) -> None:
    """The file lies with the hardware's pictures; without a compiler compilation is not possible here, and no error."""
    path, floor = calibrate(baselines, "tiny", "cpu", silent)
    assert path == noise_path(baselines / "tiny", floor.identity)
    assert read_noise(path) == floor
    assert (floor.pictures, floor.repeats, floor.distinct) == (2, REPEATS, [1, 1])
    problems = {movement.change: movement.problem for movement in floor.movements if movement.problem is not None}
    assert set(problems) == {"torch.compile, empty cache", "torch.compile, primed cache"}
    assert "no-such-compiler" in str(problems["torch.compile, empty cache"])
    assert all(len(movement.scores) == 2 for movement in floor.movements if movement.problem is None)
    assert sorted(each.name for each in path.parent.iterdir()) == ["noise.json"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(BackendError("no such kernel"), BaselineError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["nothing possible", "interrupted"],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_calibration_that_measured_nothing_leaves_the_files_alone(
    baselines: Path,
    silent: Progress,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
    is_new: bool,
) -> None:
    """Without a change that could be made, or interrupted, nothing is written, and a former floor stays as it was."""
    former = [] if is_new else [baselines / "tiny" / "cpu-avx2-float32" / "noise.json"]
    for path in former:
        path.parent.mkdir()
        path.write_text("former", encoding="utf-8")
    before = sorted(baselines.rglob("*"))
    monkeypatch.setattr(benign, "benign_changes", lambda *_: [Benign("planted", failing(error))])
    monkeypatch.setattr("nearlossless.environment.hardware_name", lambda _device: "cpu-avx2")
    with pytest.raises(raised):
        calibrate(baselines, "tiny", "cpu", silent)
    assert sorted(baselines.rglob("*")) == before
    assert all(path.read_text(encoding="utf-8") == "former" for path in former)


def test_command_prints_table_path_and_bands(baselines: Path, no_compiler: None) -> None:
    """`nearlossless calibrate` shows each change, says where the floor lies, and what a case file could say."""
    result = CliRunner().invoke(app, ["calibrate", "--case", "tiny", "--baselines", str(baselines), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    (path,) = baselines.rglob("noise.json")
    for part in ("second in a batch", "not possible here", "the same to the bit", f"noise floor: {path}"):
        assert part in result.output
    lines = result.output.partition("for case.toml:\n")[2].splitlines()
    text = (baselines / "tiny" / CASE_FILE).read_text(encoding="utf-8")
    (baselines / "tiny" / CASE_FILE).write_text("\n".join([text, *lines]), encoding="utf-8")
    (override,) = load_case(baselines / "tiny").overrides.values()
    assert override.thresholds.live == override.thresholds.stored
    assert override.thresholds.live.min_ssim == 0.99


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--case", "none"], "no case 'none'"), (["--case", "tiny", "--device", "cuda"], "does not run on 'cuda'")],
)
def test_command_names_what_it_cannot_calibrate(baselines: Path, options: list[str], told: str) -> None:
    """An unknown case or device is an error in words, and no traceback."""
    result = CliRunner().invoke(app, ["calibrate", *options, "--baselines", str(baselines)])
    assert result.exit_code not in (0, None)
    assert told in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.fixture
def tiny_subject(case: Case, baselines: Path, make_subject: Callable[..., Subject]) -> Subject:
    """The tiny case, with its folder."""
    return dataclasses.replace(make_subject(case, Recipe(backend="inductor")), case_folder=baselines / "tiny")


@pytest.fixture
def fingerprint(identity: PictureIdentity) -> Fingerprint:
    """Where the pictures are drawn."""
    timing = TimingIdentity(picture=identity, device_uuid=None, power_limit_w=None, cpu="a processor", threads=2)
    return Fingerprint(timing=timing, stack={"torch": "2.13.0"})


@pytest.fixture
def floor(case: Case, identity: PictureIdentity) -> NoiseFloor:
    """A noise floor of the tiny case."""
    return NoiseFloor(
        created="2026-01-01T00:00:00+00:00",
        identity=identity,
        stack={"torch": "2.4.0"},
        settings=noise_settings(case),
        pictures=2,
        repeats=5,
        distinct=[1, 1],
        movements=[Movement(change="1 thread", scores=[scores(0.97), scores(0.99)])],
    )


def test_stored_noise_is_the_worst_of_the_file(
    tiny_subject: Subject, fingerprint: Fingerprint, floor: NoiseFloor
) -> None:
    """A run reads what was calibrated for its case, hardware and settings, by whatever version of the stack."""
    write_noise(noise_path(tiny_subject.case_folder, floor.identity), floor)
    assert stored_noise(tiny_subject, fingerprint) == floor.worst


def test_nothing_stored_is_no_noise_floor(tiny_subject: Subject, fingerprint: Fingerprint) -> None:
    """A case that nobody calibrated here has none, and neither has a run without fingerprint."""
    assert stored_noise(tiny_subject, fingerprint) is None
    assert stored_noise(tiny_subject, None) is None


@pytest.mark.parametrize("field", ["weights", "scheduler", "attention", "matmul_precision"])
def test_noise_of_another_identity_is_none(
    tiny_subject: Subject, fingerprint: Fingerprint, floor: NoiseFloor, field: str
) -> None:
    """A floor that lies in the right folder and was measured of something else excuses nothing."""
    other = floor.model_copy(update={"identity": floor.identity.model_copy(update={field: "another"})})
    write_noise(noise_path(tiny_subject.case_folder, floor.identity), other)
    assert stored_noise(tiny_subject, fingerprint) is None


@pytest.mark.parametrize("field", ["height", "width", "steps", "guidance_scale"])
def test_noise_of_other_settings_is_none(
    tiny_subject: Subject, fingerprint: Fingerprint, floor: NoiseFloor, field: str
) -> None:
    """More steps or a larger picture move further, and by how much nobody has measured."""
    write_noise(noise_path(tiny_subject.case_folder, floor.identity), floor)
    generation = tiny_subject.case.generation
    changed = generation.model_copy(update={field: getattr(generation, field) * 2})
    case = tiny_subject.case.model_copy(update={"generation": changed})
    assert stored_noise(dataclasses.replace(tiny_subject, case=case), fingerprint) is None


@pytest.mark.parametrize(
    "content", [b"", b'{"schema_version": 1}', b"\xff", b"{" * (1 << 25)], ids=["empty", "cut", "binary", "large"]
)
def test_damaged_noise_file_says_what_to_do(tiny_subject: Subject, fingerprint: Fingerprint, content: bytes) -> None:
    """A file that is cut, foreign or too large ends the gate with its name and the command that makes it anew."""
    path = noise_path(tiny_subject.case_folder, fingerprint.picture)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(CaseError, match=r"noise\.json.*run nearlossless calibrate again"):
        stored_noise(tiny_subject, fingerprint)


MOVED: list[dict[str, Any]] = [
    {},
    {"worst_tile_ssim": 0.97, "p99_difference": 3, "max_difference": 9},
    {"worst_tile_ssim": -0.2, "p99_difference": 255, "max_difference": 255, "channel_shift": (200.123456, 0.0, -9.0)},
    {"worst_tile_ssim": 1.0000000000000002, "worst_tile_colour_difference": 0.0123456},
]


@pytest.mark.parametrize("moved", MOVED)
def test_proposed_bands_load_and_pass_what_was_measured(
    baselines: Path, floor: NoiseFloor, moved: dict[str, Any]
) -> None:
    """The lines are TOML that the case accepts, looser ones with their reason, and no measured score is beyond them."""
    found = (
        [scores(**moved)] if moved.get("worst_tile_ssim", 1.0) > 0 else [scores(**moved | {"worst_tile_ssim": 0.01})]
    )
    floor = floor.model_copy(update={"movements": [Movement(change="x", scores=[scores(**moved)])]})
    path = baselines / "tiny" / CASE_FILE
    path.write_text("\n".join([CASE, *proposed_lines(floor)]), encoding="utf-8")
    thresholds = load_case(baselines / "tiny").overrides["cpu-avx2"].thresholds
    checks = [check for band in (thresholds.live, thresholds.stored) for check in band_checks("x", found[0], band)]
    assert {check.outcome for check in checks} == {Outcome.PASS}
    assert len(checks) == 8
    assert thresholds.live.pictures == 2


def test_proposed_bands_leave_room_for_rounding(floor: NoiseFloor) -> None:
    """Where nothing moved the band still admits the last digit of the next version of a library."""
    still = floor.model_copy(update={"movements": [Movement(change="x", scores=[scores()])]})
    assert proposed_band(still).model_dump(exclude_none=True) == {
        "min_ssim": 0.99,
        "max_p99_difference": 2.0,
        "max_channel_shift": 0.5,
        "max_colour_difference": 0.005,
        "pictures": 2,
    }


def test_proposed_lines_are_a_table_of_the_hardware(floor: NoiseFloor) -> None:
    """The table is that of the calibrated hardware, and its reason says of what it comes."""
    (table,) = tomllib.loads("\n".join(proposed_lines(floor)))["overrides"].items()
    assert table[0] == "cpu-avx2"
    assert table[1]["thresholds"]["because"] == (
        "nearlossless calibrate, 2026-01-01: worst tile 0.97000 of 2 pictures under benign changes"
    )
