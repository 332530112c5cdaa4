"""A real Ray cluster of two nodes on this machine: workers and nodes die, results stay."""

import json
import os
from collections.abc import Iterator
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


@pytest.fixture
def variables(tmp_path: Path, prompts_file: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two prompts that kill: one always, one once. Nodes inherit this environment."""
    prompts = [json.loads(line)["prompt"] for line in prompts_file.read_text(encoding="utf-8").splitlines()]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))
    monkeypatch.setenv(planted.DEADLY, prompts[2])
    monkeypatch.setenv(planted.DEADLY_ONCE, f"{prompts[7]}|{tmp_path / 'died'}")
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
    identity = RunIdentity(case="c", recipe="r", device="cpu", prompts_sha256="", prompts=TOTAL, settings={}, threads=1)
    prompts = [Prompt(number, number + 1, f"prompt {number}", 0) for number in range(TOTAL)]
    found: dict[int, PromptResult] = {}
    with Store(tmp_path / "results", identity) as store:
        engine.start()
        for drawn in engine.results(iter(prompts), store):
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
