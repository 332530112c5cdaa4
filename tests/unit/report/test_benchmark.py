"""Latency samples of a record as pytest-benchmark's own file, read by its own commands."""

import builtins
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nearlossless.cli import app
from nearlossless.history.store import append
from nearlossless.record import Record, write_record
from nearlossless.report.benchmark import BenchmarkError, benchmarks, write_benchmark_json


def run(*arguments: object) -> Any:
    """What `nearlossless report` did."""
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def written(record: Record, folder: Path) -> Any:
    """The content of the file for a record."""
    write_benchmark_json(record, folder / "benchmark.json")
    return json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))


def test_samples_are_the_records_in_their_order(full_record: Record, tmp_path: Path) -> None:
    """Both benchmarks hold the raw samples in the order taken, so that equal indices are one pair."""
    found = {each["name"]: each["stats"] for each in written(full_record, tmp_path)["benchmarks"]}
    assert {name: stats["data"] for name, stats in found.items()} == {
        "baseline[miniature-cpu-inductor]": [1.0, 1.1, 1.05],
        "compiled[miniature-cpu-inductor]": [0.7, 0.71, 0.69],
    }
    compiled = found["compiled[miniature-cpu-inductor]"]
    assert compiled["mean"] == pytest.approx(statistics.fmean([0.7, 0.71, 0.69]))
    assert (compiled["rounds"], compiled["iterations"]) == (3, 1)


def test_machine_and_time_are_those_of_the_record(full_record: Record, tmp_path: Path) -> None:
    """The file tells the machine that measured and when, not the one that writes it, and admits what it cannot know."""
    content = written(full_record, tmp_path)
    assert content["datetime"] == full_record.started
    assert content["machine_info"]["cpu"]["brand_raw"] == "a processor"
    assert (content["commit_info"]["id"], content["commit_info"]["dirty"]) == ("unknown", False)


def test_pytest_benchmark_compares_two_records(full_record: Record, tmp_path: Path) -> None:
    """`pytest-benchmark compare` shows both pipelines of two records beside each other."""
    write_benchmark_json(full_record, tmp_path / "old.json")
    full_record.subjects[0].speeds.compiled_s = [1.4, 1.42, 1.38]
    write_benchmark_json(full_record, tmp_path / "new.json")
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "old.json", "new.json", "--columns=median,rounds"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("baseline[", "compiled["))]
    assert sorted((row[0], row[1], row[2]) for row in rows) == [
        ("baseline[miniature-cpu-inductor]", "(new)", "1,050.0000"),
        ("baseline[miniature-cpu-inductor]", "(old)", "1,050.0000"),
        ("compiled[miniature-cpu-inductor]", "(new)", "1,400.0000"),
        ("compiled[miniature-cpu-inductor]", "(old)", "700.0000"),
    ], done.stdout


@pytest.mark.parametrize("sample", [0.0, -1.0, float("nan"), float("inf")])
def test_sample_that_is_no_measurement_is_no_benchmark(full_record: Record, sample: float) -> None:
    """Samples with an impossible one among them are left out, and those of the other side stay."""
    full_record.subjects[0].speeds.compiled_s[1] = sample
    assert [each.name for each in benchmarks(full_record.subjects[0])] == ["baseline[miniature-cpu-inductor]"]


def test_disturbed_pairs_are_counted_and_left_out(full_record: Record) -> None:
    """What the gate set aside is no sample, and how much it was is told."""
    full_record.subjects[0].speeds.set_aside = [None, "throttled", None]
    both = list(benchmarks(full_record.subjects[0]))
    assert [each.stats.data for each in both] == [[1.0, 1.05], [0.7, 0.69]]
    assert both[0].extra_info["set_aside"] == 1


def test_list_of_other_samples_gives_no_benchmark(full_record: Record) -> None:
    """Where it cannot be told which pairs were set aside, there are none."""
    full_record.subjects[0].speeds.set_aside = [None]
    assert list(benchmarks(full_record.subjects[0])) == []


def test_pipeline_without_baseline_is_one_benchmark(full_record: Record) -> None:
    """Where no baseline fits there is no benchmark of one."""
    full_record.subjects[0].speeds.baseline_s = []
    assert [each.name for each in benchmarks(full_record.subjects[0])] == ["compiled[miniature-cpu-inductor]"]


def test_record_without_samples_is_an_error(full_record: Record, tmp_path: Path) -> None:
    """A record whose speed was not measured gives no empty file."""
    full_record.subjects[0].speeds.baseline_s = full_record.subjects[0].speeds.compiled_s = []
    with pytest.raises(BenchmarkError, match="no latency samples"):
        write_benchmark_json(full_record, tmp_path / "benchmark.json")
    assert list(tmp_path.iterdir()) == []


def test_report_command_takes_file_folder_and_kept_record(full_record: Record, tmp_path: Path) -> None:
    """The same file comes of a record, of the folder it lies in, and of its copy in a history."""
    path = write_record(full_record, tmp_path / "report")
    kept = append(full_record, tmp_path / "store")
    for number, source in enumerate((path, path.parent, kept)):
        done = run(source, "--benchmark-json", tmp_path / f"{number}.json")
        assert done.exit_code == 0, done.output
    assert len({(tmp_path / f"{number}.json").read_bytes() for number in range(3)}) == 1


def test_report_command_writes_the_reports_again(full_record: Record, tmp_path: Path) -> None:
    """Summary and page of a kept record are rendered where they are asked for."""
    done = run(append(full_record, tmp_path / "store"), "--report-dir", tmp_path / "again")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["report.html", "summary.md"]


def test_report_command_prints_a_record(full_record: Record, tmp_path: Path) -> None:
    """Where nothing is to be written, the record is printed as its run was, each verdict with its reason."""
    done = run(write_record(full_record, tmp_path))
    assert done.exit_code == 0, done.output
    for subject in full_record.subjects:
        assert f"{subject.title} (" in done.stdout
        assert all(f"{verdict.outcome:<14} {verdict.gate}: " in done.stdout for verdict in subject.verdicts)


def test_report_command_names_a_damaged_record(tmp_path: Path) -> None:
    """A file that is no record is an error that names it."""
    (tmp_path / "record.json").write_text("{}", encoding="utf-8")
    done = run(tmp_path, "--benchmark-json", tmp_path / "benchmark.json")
    assert (done.exit_code, "record.json: is no record" in done.stderr) == (2, True)


def test_without_pytest_benchmark_it_says_what_to_install(
    full_record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pytest-benchmark is not installed, the error names it."""
    original = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pytest_benchmark"):
            raise ModuleNotFoundError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BenchmarkError, match="pip install pytest-benchmark"):
        write_benchmark_json(full_record, tmp_path / "benchmark.json")
