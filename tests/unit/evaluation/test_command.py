"""The command from end to end in this process: verdict, resume, exit codes, report."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import evaluation_backends

from nearlossless.environment import hardware_name
from nearlossless.processes.environment import child_environment

pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")
from typer.testing import CliRunner

from nearlossless.backends import BackendError
from nearlossless.cli import app
from nearlossless.evaluation import command, evaluating
from nearlossless.evaluation.store import results_in

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(baselines: Path, prompts_file: Path, tmp_path: Path) -> Any:
    """Runs the command on the tiny case; what it printed, its exit code and the record."""

    def call(recipe: str, *options: str, prompts: Path = prompts_file) -> tuple[int, str, dict[str, Any]]:
        folder = tmp_path / "results"
        told = CliRunner().invoke(
            app,
            [
                *("evaluate", "--case", "tiny", "--recipe", recipe, "--baselines", str(baselines)),
                *("--prompts", str(prompts), "--results", str(folder), "--threads", "1", *options),
            ],
        )
        record = folder / "evaluation.json"
        found = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        return told.exit_code, told.output, found

    return call


def test_same_pipelines_pass_and_a_second_call_draws_nothing(run: Any, tmp_path: Path) -> None:
    """Exit code 0, every prompt once; the report stands alone; the results are found again."""
    code, output, record = run("same")
    assert (code, record["verdict"]["outcome"], record["judged"]) == (0, "PASS", 12), output
    assert record["distances"]["cmmd"] == 0
    assert len(record["worst"]) == 10
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert page.count('<figure class="plot"><svg') == 3
    assert all(f'<a href="{prompt["baseline_file"]}" data-kind="baseline">' in page for prompt in record["worst"])
    code, _, again = run("same")
    assert (code, again["pace"]["prompts"]) == (0, 0)
    assert again["results_sha256"] == record["results_sha256"]


def test_evaluation_without_its_page_is_not_finished(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the page cannot be written there is no `evaluation.json` yet, and the next call ends it without drawing."""

    def write_evaluation_page(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(evaluating, "write_evaluation_page", write_evaluation_page)
        code, output, record = run("same")
    assert (code, record) == (2, {})
    assert "disk is full" in output
    code, _, record = run("same")
    assert (code, record["judged"], record["pace"]["prompts"]) == (0, 12, 0)


def test_verdict_on_fewer_prompts_goes_before_more_are_drawn(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off where prompts were missing, a run leaves no former record or page; where none is missing both stay."""

    def draw_missing(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    run("same")
    monkeypatch.setattr(evaluating, "draw_missing", draw_missing)
    code, _, record = run("same")
    assert (code, record["judged"]) == (10, 12)
    assert (tmp_path / "results" / "report.html").exists()
    (tmp_path / "results" / "blocks" / "000000.parquet").unlink()
    code, _, record = run("same")
    assert (code, record) == (10, {})
    assert not (tmp_path / "results" / "report.html").exists()


def test_recipe_that_fails_at_some_prompts_is_a_regression(run: Any) -> None:
    """Exit code 1, and the reason names a prompt and what was raised."""
    code, output, record = run("failing")
    assert (code, record["verdict"]["outcome"]) == (1, "REGRESSION")
    assert "planted: no such kernel" in output
    assert record["off"] >= 1


def test_stopped_run_goes_on_where_it_was(
    run: Any, baselines: Path, prompts_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terminated in the middle it keeps what is finished; the rest is drawn later, to the results of one go."""
    _, _, whole = run("same")
    (tmp_path / "results").rename(tmp_path / "whole")
    command = [sys.executable, "-m", "nearlossless", "evaluate", "--case", "tiny", "--recipe", "same"]
    command += ["--baselines", str(baselines), "--prompts", str(prompts_file), "--threads", "1"]
    with subprocess.Popen(
        [*command, "--results", str(tmp_path / "results")],
        env=child_environment({"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None and len(list(results_in(tmp_path / "results"))) < 2:
            pass
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate()
    assert process.returncode == 10, told
    assert "what is finished is kept" in told
    before = len(list(results_in(tmp_path / "results")))
    assert 2 <= before < 12
    _, _, rest = run("same")
    assert rest["pace"]["prompts"] == 12 - before
    assert rest["results_sha256"] == whole["results_sha256"]


def test_prompt_that_kills_this_process_is_set_aside_at_the_third_start(
    run: Any, baselines: Path, prompts_file: Path, tmp_path: Path
) -> None:
    """Two processes die of it, the third names it, and finishes the others."""
    deadly = json.loads(prompts_file.read_text(encoding="utf-8").splitlines()[4])["prompt"]
    environment = child_environment(
        {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), evaluation_backends.DEADLY: deadly}
    )
    command = [sys.executable, "-m", "nearlossless", "evaluate", "--case", "tiny", "--recipe", "deadly"]
    command += ["--baselines", str(baselines), "--prompts", str(prompts_file), "--threads", "1"]
    command += ["--results", str(tmp_path / "results")]
    codes = [subprocess.run(command, env=environment, capture_output=True, check=False).returncode for _ in range(3)]
    assert codes == [1, 1, 10]
    record = json.loads((tmp_path / "results" / "evaluation.json").read_text(encoding="utf-8"))
    assert [prompt["prompt"] for prompt in record["set_aside"]] == [deadly]
    assert record["judged"] == 12


def test_band_of_this_hardware_that_nothing_computes_is_refused(run: Any, baselines: Path, tmp_path: Path) -> None:
    """Which hardware draws is known once a pipeline is built: exit code 2 then, and no prompt is drawn."""
    with (baselines / "tiny" / "case.toml").open("a", encoding="utf-8") as file:
        file.write(f'[overrides."{hardware_name("cpu")}".thresholds]\nevaluation = {{ max_fid = 1.0 }}\n')
    code, output, _ = run("same")
    assert code == 2
    assert "evaluation.max_fid cannot be judged" in output
    assert not list(results_in(tmp_path / "results"))


def test_changed_prompts_and_other_recipes_are_refused(run: Any, prompts_file: Path) -> None:
    """Exit code 2 before anything is loaded, and the finished results stay."""
    run("same")
    prompts_file.write_text(prompts_file.read_text(encoding="utf-8").replace("a", "b", 1), encoding="utf-8")
    code, output, record = run("same")
    assert (code, record["judged"]) == (2, 12)
    assert "prompts_sha256" in output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--engine", "local", "--workers", "2"), "are for --engine ray"),
        (("--device", "cuda"), "does not run on 'cuda'"),
        (("--reference", "none.safetensors"), "cannot be read as safetensors"),
    ],
)
def test_options_that_fit_nothing_are_refused(run: Any, options: tuple[str, ...], told: str) -> None:
    """Exit code 2, with the reason."""
    code, output, _ = run("same", *options)
    assert code == 2
    assert told in output


def test_backend_does_not_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a backend said as it failed is shown without its escape codes, and is a regression."""

    def failing(*_: object) -> None:
        raise BackendError("\x1b[2Jno such kernel")

    monkeypatch.setattr(command, "run", failing)
    told = CliRunner().invoke(app, ["evaluate", "--recipe", "same"], color=True)
    assert told.exit_code == 1
    assert r"REGRESSION: \x1b[2Jno such kernel" in told.stderr


def test_unknown_recipe_is_named(run: Any) -> None:
    """The message lists those there are."""
    code, output, _ = run("none")
    assert code == 2
    assert "no recipe 'none'" in output
