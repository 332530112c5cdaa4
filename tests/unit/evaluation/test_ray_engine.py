"""A real Ray cluster of two nodes on this machine: workers and nodes die, results stay."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import evaluation_backends as planted

from nearlossless.progress import Progress

pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")
pytest.importorskip("ray")
from nearlossless.backends import BackendUnavailable
from nearlossless.evaluation.command import Options, _engine, _subject, run
from nearlossless.evaluation.preparing import Wanted, prepare
from nearlossless.evaluation.results import PromptResult
from nearlossless.evaluation.store import Store, results_in

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


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


def by_prompt(folder: Path) -> dict[str, PromptResult]:
    """Every result, by its prompt."""
    found = list(results_in(folder, with_features=True))
    assert len({result.prompt for result in found}) == len(found)
    return {result.prompt: result for result in found}


def test_workers_die_and_every_prompt_counts_once(
    cluster: Any, variables: dict[str, str], baselines: Path, prompts_file: Path, tmp_path: Path
) -> None:
    """One prompt kills twice and is named, one kills once and is drawn; all others equal those of one process."""
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
    assert sum("a worker died" in line for line in told) == 3
    assert many.pace.workers == 2


def test_node_is_lost_and_no_more_than_its_prompt_is_repeated(
    cluster: Any, baselines: Path, prompts_file: Path, tmp_path: Path
) -> None:
    """With one of two nodes gone in the middle, the other draws what is left; nothing comes twice."""
    told: list[str] = []
    options = Options(
        case="tiny",
        baselines=baselines,
        prompts=str(prompts_file),
        recipe="same",
        results=tmp_path / "ray",
        engine="ray",
        address=cluster.address,
        threads=1,
    )
    prepared = prepare(Wanted(subject=_subject(options), folder=tmp_path / "ray", prompts=options.prompts, threads=1))
    engine = _engine(options, prepared.wanted, Progress(told.append))
    numbers = []
    with Store(tmp_path / "ray", prepared.identity) as store:
        engine.start()
        for drawn in engine.results(iter(prepared.prompts.prompts), store):
            numbers.append(drawn.result.number)
            if len(numbers) == 3:
                cluster.remove_node(cluster.second, allow_graceful=False)
        engine.close()
    assert sorted(numbers) == list(range(12))
    assert sum("a worker died" in line for line in told) <= 1


def test_cluster_without_room_is_no_worker(cluster: Any, baselines: Path, prompts_file: Path, tmp_path: Path) -> None:
    """More threads than any node has: told at once, nothing is written but the folder."""
    options: dict[str, Any] = {"case": "tiny", "baselines": baselines, "prompts": str(prompts_file), "recipe": "same"}
    with pytest.raises(BackendUnavailable, match="no worker available: one needs 3 CPU, the cluster has 2 CPU"):
        run(
            Options(**options, results=tmp_path / "ray", engine="ray", address=cluster.address, threads=3),
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
