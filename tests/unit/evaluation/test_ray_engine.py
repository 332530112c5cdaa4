"""A real Ray cluster of two nodes on this machine: workers and nodes die, results stay."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests import evaluation_backends as planted
from tests.light_worker import DEADLY, DEADLY_AT_START, DEADLY_ONCE, LightWorker

from nearlossless.backends import BackendUnavailable
from nearlossless.evaluation.identity import RunIdentity
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import PromptResult, Status
from nearlossless.progress import Progress

pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")
pytest.importorskip("ray")
from nearlossless.evaluation import ray_engine
from nearlossless.evaluation.command import Options, run
from nearlossless.evaluation.ray_engine import RayEngine
from nearlossless.evaluation.store import Store, results_in

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
TOTAL = 40
IDENTITY = RunIdentity(case="c", recipe="r", device="cpu", prompts_sha256="", prompts=TOTAL, settings={}, threads=1)
PROMPTS = [Prompt(number, number + 1, f"prompt {number}", 0) for number in range(TOTAL)]


@pytest.fixture
def variables(tmp_path: Path, prompts_file: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two prompts that kill, one always, one once, and one that stops its worker. Nodes inherit this environment."""
    prompts = [json.loads(line)["prompt"] for line in prompts_file.read_text(encoding="utf-8").splitlines()]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    monkeypatch.setenv(planted.DEADLY, prompts[2])
    monkeypatch.setenv(planted.DEADLY_ONCE, f"{prompts[7]}|{tmp_path / 'died'}")
    monkeypatch.setenv(planted.STOPPED_ONCE, f"{prompts[4]}|{tmp_path / 'stopped'}")
    return {"always": prompts[2], "once": prompts[7]}


@pytest.fixture
def cluster(variables: dict[str, str]) -> Iterator[Any]:
    """Two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.second = nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


class FolderJob:
    """What light workers take: a folder in place of a job."""

    threads, device = 1, "cpu"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def model_dump_json(self) -> str:
        """As a job travels."""
        return str(self._folder)


def light_engine(cluster: Any, folder: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> RayEngine:
    """An engine whose workers draw nothing, on both nodes."""
    monkeypatch.setattr(ray_engine, "Worker", LightWorker)
    job: Any = FolderJob(folder)
    return RayEngine(job, address=cluster.address, workers=None, limit_s=60, progress=Progress(told.append))


def starts(folder: Path, number: int) -> int:
    """How often a prompt was begun."""
    return len((folder / f"{number}.starts").read_text(encoding="utf-8").splitlines())


def deaths(told: list[str]) -> int:
    """How many were told; a heartbeat says the last line again, with the seconds since."""
    return sum("a worker died" in line and line.endswith("starts it again") for line in told)


def test_deaths_of_workers_and_of_a_node_lose_and_repeat_nothing_else(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt that kills twice is set aside, one that kills once is drawn; a node lost repeats one prompt at most."""
    told: list[str] = []
    engine = light_engine(cluster, tmp_path, told, monkeypatch)
    found: dict[int, PromptResult] = {}
    with Store(tmp_path / "results", IDENTITY) as store:
        engine.start()
        for drawn in engine.results(iter(PROMPTS), store):
            assert drawn.result.number not in found
            found[drawn.result.number] = drawn.result
            if len(found) == TOTAL // 2:
                cluster.remove_node(cluster.second, allow_graceful=False)
        engine.close()
    assert sorted(found) == list(range(TOTAL))
    assert [number for number, result in found.items() if result.status is not Status.DRAWN] == [DEADLY]
    assert found[DEADLY].status is Status.SET_ASIDE
    assert (starts(tmp_path, DEADLY), starts(tmp_path, DEADLY_ONCE)) == (2, 2)
    repeated = [n for n in range(TOTAL) if n not in (DEADLY, DEADLY_ONCE) and starts(tmp_path, n) > 1]
    assert len(repeated) <= 1
    assert 3 <= deaths(told) <= 4


def test_without_an_address_no_cluster_is_joined(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that runs here already may be ended by whoever began it; workers of an own cluster give way to nothing."""
    import ray

    engine = light_engine(cluster, tmp_path, [], monkeypatch)
    engine._address, engine._wanted = None, 1
    with closing(engine):
        assert engine.start().stack == {"niceness": str(os.nice(0))}
        assert ray.get_runtime_context().gcs_address != cluster.address


def draw_missing(engine: RayEngine, folder: Path, *, stop_at: int = 0) -> set[int]:
    """Draw what the folder lacks, stopped as the command is after so many results; what it has then."""
    with Store(folder, IDENTITY) as store, suppress(KeyboardInterrupt), closing(engine):
        engine.start()
        for drawn in engine.results((p for p in PROMPTS if not store.is_finished(p.number)), store):
            store.add(drawn)
            if store.count == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
    return {result.number for result in results_in(folder)}


@pytest.fixture
def command_handler(cluster: Any) -> Iterator[None]:
    """As in the command, SIGTERM is KeyboardInterrupt; a node of Ray's takes it for itself when it starts."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, former)


@pytest.mark.usefixtures("command_handler")
def test_stopped_run_goes_on_where_it_was(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing finished is lost or drawn again, and of the rest only what was in flight, one prompt a worker."""
    before = draw_missing(light_engine(cluster, tmp_path, [], monkeypatch), tmp_path / "results", stop_at=TOTAL // 2)
    assert len(before) == TOTAL // 2
    after = draw_missing(light_engine(cluster, tmp_path, [], monkeypatch), tmp_path / "results")
    assert after == set(range(TOTAL))
    repeated = [n for n in range(TOTAL) if n not in (DEADLY, DEADLY_ONCE) and starts(tmp_path, n) > 1]
    assert len(repeated) <= 2
    assert not before & set(repeated)


def test_worker_that_cannot_build_ends_the_run(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that dies again and again before its first prompt is waited for as long as a start may take.

    That more are wanted than there is room for is told.
    """
    (tmp_path / DEADLY_AT_START).touch()
    told: list[str] = []
    engine = light_engine(cluster, tmp_path, told, monkeypatch)
    engine._limit_s, engine._wanted = 5, 3
    with pytest.raises(BackendUnavailable, match="none was ready within 5 s"):
        engine.start()
    engine.close()
    assert any("there is room for 2 now" in line for line in told)


def by_prompt(folder: Path) -> dict[str, PromptResult]:
    """Every result, by its prompt."""
    found = list(results_in(folder, with_features=True))
    assert len({result.prompt for result in found}) == len(found)
    return {result.prompt: result for result in found}


def test_two_workers_that_die_draw_what_one_process_draws(
    cluster: Any, variables: dict[str, str], baselines: Path, prompts_file: Path, tmp_path: Path
) -> None:
    """Real pipelines: the prompt that kills is named, and every other result is the same to the bit."""
    told: list[str] = []
    options: dict[str, Any] = {"case": "tiny", "baselines": baselines, "prompts": str(prompts_file), "threads": 1}
    alone, _ = run(Options(**options, recipe="same", results=tmp_path / "local"), Progress(told.append))
    many, _ = run(
        Options(**options, recipe="deadly", results=tmp_path / "ray", engine="ray", address=cluster.address),
        Progress(told.append),
    )
    assert (alone.verdict.outcome, many.verdict.outcome) == ("PASS", "NOT_COMPARABLE")
    assert [prompt.prompt for prompt in many.set_aside] == [variables["always"]]
    assert variables["always"] in many.verdict.reason
    assert (tmp_path / "died").exists()
    local, remote = by_prompt(tmp_path / "local"), by_prompt(tmp_path / "ray")
    assert local.keys() == remote.keys()
    del local[variables["always"]], remote[variables["always"]]
    assert local == remote
    assert deaths(told) == 3
    assert many.pace.workers == 2


def test_worker_told_to_end_is_no_failure_of_the_recipe(
    cluster: Any, baselines: Path, prompts_file: Path, tmp_path: Path
) -> None:
    """SIGTERM in the middle of a prompt, as `ray stop` sends it to a node's workers: it is drawn by another worker."""
    told: list[str] = []
    options: dict[str, Any] = {"case": "tiny", "baselines": baselines, "prompts": str(prompts_file), "threads": 1}
    record, _ = run(
        Options(**options, recipe="stopped", results=tmp_path / "ray", engine="ray", address=cluster.address),
        Progress(told.append),
    )
    assert (tmp_path / "stopped").exists()
    assert {result.status for result in by_prompt(tmp_path / "ray").values()} == {Status.DRAWN}
    assert (record.verdict.outcome, deaths(told)) == ("PASS", 1)


def test_cluster_without_room_is_no_worker(cluster: Any, baselines: Path, prompts_file: Path, tmp_path: Path) -> None:
    """More threads than either node has: told at once, though both together had them."""
    options: dict[str, Any] = {"case": "tiny", "baselines": baselines, "prompts": str(prompts_file), "recipe": "same"}
    with pytest.raises(BackendUnavailable, match=r"no worker available: one needs 2 CPU, .* have 1 CPU; 1 CPU"):
        run(
            Options(**options, results=tmp_path / "ray", engine="ray", address=cluster.address, threads=2),
            Progress(lambda _: None),
        )


def test_cluster_that_is_not_there_is_told(baselines: Path, prompts_file: Path, tmp_path: Path) -> None:
    """An address where nobody answers."""
    options: dict[str, Any] = {"case": "tiny", "baselines": baselines, "prompts": str(prompts_file), "recipe": "same"}
    with pytest.raises(BackendUnavailable, match="no Ray cluster can be joined"):
        run(
            Options(**options, results=tmp_path / "ray", engine="ray", address="127.0.0.1:1", threads=1),
            Progress(lambda _: None),
        )
