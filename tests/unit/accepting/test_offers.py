"""Accepting a record: what it offers, what is refused, and what is written."""

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nearlossless.accepting.approval import ApprovalError
from nearlossless.accepting.offers import Offer, accept, find_offers
from nearlossless.accepting.review import Wishes, review
from nearlossless.cases.case import CaseError
from nearlossless.cases.files import load_case
from nearlossless.cli import app
from nearlossless.gates import GIB
from nearlossless.processes.job import ProcessRun
from nearlossless.record import Record, RecordError, read_record, write_record
from nearlossless.record.shapes import WarmupCounts, WarmupRecord
from nearlossless.record.speed import Speeds
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import CheckRecord, VerdictRecord
from nearlossless.verdicts import Outcome

GPU = "NVIDIA H100 80GB HBM3"
JITTER = [1.0, 1.001, 0.999, 1.0005, 0.9995, 1.0, 1.001, 0.999]


class Desk:
    """A baselines folder with the large case, and a report with a record of it on a GPU that nobody measured yet."""

    def __init__(self, root: Path, shipped: Path, record: Record, process_run: Callable[..., ProcessRun]) -> None:
        self.baselines, self.report = root / "baselines", root / "report"
        self.report.mkdir()
        shutil.copytree(shipped / "sd35-large", self.baselines / "sd35-large")
        self.case_file = self.baselines / "sd35-large" / "case.toml"
        self.former = self.case_file.read_bytes()
        self.record = record
        subject = self.subject
        subject.case, subject.recipe, subject.backend, subject.device = "sd35-large", "inductor", "inductor", "cuda"
        self.measured_on(GPU)
        subject.verdicts = [v for v in subject.verdicts if v.outcome in {"NOT_COMPARABLE", "PASS"}]
        subject.speeds.baseline_s, subject.speeds.compiled_s = (
            [2.0 * factor for factor in JITTER],
            list(reversed(JITTER)),
        )
        subject.baseline_process = process_run(steady_bytes=4 * GIB, kind="allocated")
        subject.cold_process = process_run(steady_bytes=2 * GIB, load_s=2.0, first_call_s=8.0, kind="allocated")
        subject.warm_process = process_run(steady_bytes=2 * GIB, first_call_s=4.0, kind="allocated")
        subject.pictures, subject.sizes = [], []
        self.save()

    @property
    def subject(self) -> SubjectRecord:
        """The only subject."""
        return self.record.subjects[0]

    def measured_on(self, hardware: str, dtype: str = "bfloat16") -> None:
        """Let the record name this hardware."""
        fingerprint = self.subject.fingerprint
        assert fingerprint is not None
        picture = fingerprint.picture.model_copy(update={"hardware": hardware, "dtype": dtype})
        timing = fingerprint.timing.model_copy(update={"picture": picture})
        self.subject.fingerprint = fingerprint.model_copy(update={"timing": timing})

    def save(self) -> None:
        """Write the record into the report."""
        write_record(self.record, self.report)

    def offers(self) -> list[Offer]:
        """What the report offers."""
        return find_offers(self.report, self.baselines)

    def run(self, *options: str) -> tuple[int, str]:
        """Exit code and output of the command line."""
        arguments = ["approve", str(self.report), "--baselines", str(self.baselines), "--reason", "first night"]
        done = CliRunner().invoke(app, [*arguments, *options])
        return done.exit_code, done.output

    def is_untouched(self) -> bool:
        """Whether the baselines folder holds what it held before."""
        files = [path for path in self.baselines.rglob("*") if path.is_file()]
        return files == [self.case_file] and self.case_file.read_bytes() == self.former


@pytest.fixture
def desk(tmp_path: Path, shipped_baselines: Path, full_record: Record, process_run: Callable[..., ProcessRun]) -> Desk:
    """A record that waits."""
    return Desk(tmp_path, shipped_baselines, full_record, process_run)


def test_accepted_thresholds_are_in_force(desk: Desk) -> None:
    """After accepting, the case loads with the record's figures in force on that GPU, and nowhere else."""
    (offer,) = desk.offers()
    accept(offer, desk.baselines, "first night")
    case = load_case(desk.case_file.parent)
    in_force = case.thresholds_for("inductor", "cuda", GPU)
    assert (in_force.max_memory_ratio, in_force.max_peak_gib, in_force.max_cold_start_s) == (0.51, 2.04, 15.0)
    assert case.thresholds_for("inductor", "cuda", "NVIDIA H200").max_peak_gib is None
    assert case.thresholds_for("nexfort", "cuda", GPU).max_peak_gib is None


def test_case_file_keeps_all_that_it_said(desk: Desk) -> None:
    """Every line of the former file is still there, and the reason stands above the new ones."""
    (offer,) = desk.offers()
    accept(offer, desk.baselines, "first night")
    lines = iter(desk.case_file.read_text(encoding="utf-8").splitlines())
    assert all(line in lines for line in desk.former.decode().splitlines())
    assert ": first night" in desk.case_file.read_text(encoding="utf-8")


def test_record_is_kept_beside_the_thresholds(desk: Desk) -> None:
    """The subject's record lies in the hardware's folder, complete and readable."""
    (offer,) = desk.offers()
    path = accept(offer, desk.baselines, "first night")
    assert path == desk.case_file.parent / "nvidia-h100-80gb-hbm3-bfloat16" / "record-inductor.json"
    assert read_record(path).subjects == [desk.subject]


def test_accepting_again_writes_nothing(desk: Desk) -> None:
    """What is in force is kept: a second record offers nothing for it, and an old offer is refused."""
    (offer,) = desk.offers()
    accept(offer, desk.baselines, "first night")
    written = desk.case_file.read_bytes()
    (again,) = desk.offers()
    assert (again.missing, "max_peak_gib" in again.kept) == ([], True)
    with pytest.raises(ApprovalError, match="nothing is overwritten"):
        accept(offer, desk.baselines, "again")
    assert desk.case_file.read_bytes() == written


def test_threshold_in_force_is_kept_although_another_is_missing(desk: Desk) -> None:
    """On the published GPU its own thresholds stay, and only those that it lacks are offered."""
    desk.subject.recipe = desk.subject.backend = "nexfort"
    desk.measured_on("NVIDIA H20")
    desk.save()
    (offer,) = desk.offers()
    starts = {"max_cold_start_s", "max_warm_start_ratio", "max_artifact_start_ratio"}
    assert {proposal.name for proposal in offer.missing} == starts
    kept = {"min_speedup", "max_latency_s", "max_memory_ratio", "max_peak_gib", "max_parity_ratio"}
    assert set(offer.kept) == kept
    accept(offer, desk.baselines, "first night")
    assert load_case(desk.case_file.parent).thresholds_for("nexfort", "cuda", "NVIDIA H20").min_speedup == 1.21


def test_regression_offers_nothing_to_write(desk: Desk) -> None:
    """A record in which another gate regressed can be seen, not accepted."""
    desk.subject.verdicts[0].outcome = Outcome.REGRESSION
    desk.save()
    (offer,) = desk.offers()
    assert offer.chosen(tighten=True) == []
    with pytest.raises(ApprovalError, match="ended in REGRESSION"):
        accept(offer, desk.baselines, "first night")
    code, output = desk.run("--thresholds")
    assert (code, "nothing can be taken over" in output) == (2, True)
    assert desk.is_untouched()


@pytest.mark.parametrize("reason", ["", " \n"])
def test_thresholds_need_a_reason(desk: Desk, reason: str) -> None:
    """Without a reason nothing is written."""
    with pytest.raises(ApprovalError, match="reason"):
        accept(desk.offers()[0], desk.baselines, reason)
    assert desk.is_untouched()


@pytest.mark.parametrize(
    "hardware", ["", "cpu-avx2", "cuda", "../../x", 'NVIDIA"]', "NVIDIA\nH100", "N" * 101, "NVIDIA H100\x1b[31m"]
)
def test_hardware_that_is_no_gpu_is_refused(desk: Desk, hardware: str) -> None:
    """A record on CUDA can only write under the name of a GPU."""
    desk.measured_on(hardware)
    desk.save()
    with pytest.raises(ApprovalError, match="no name of hardware"):
        desk.offers()
    assert desk.is_untouched()


@pytest.mark.parametrize(
    ("field", "value"),
    [("recipe", "../x"), ("recipe", "unknown"), ("backend", "other"), ("device", "cpu"), ("device", "tpu")],
)
def test_record_that_does_not_fit_the_case_is_refused(desk: Desk, field: str, value: str) -> None:
    """Recipe, backend and device must be the case's own."""
    setattr(desk.subject, field, value)
    desk.save()
    with pytest.raises((ApprovalError, RecordError), match=r"recipe|backend|device"):
        desk.offers()


@pytest.mark.parametrize(("name", "error"), [("elsewhere", CaseError), ("../sd35-large", RecordError)])
def test_unknown_case_is_refused(desk: Desk, name: str, error: type[Exception]) -> None:
    """A record of a case that does not exist here, or that leads out of the folder of cases, is refused."""
    desk.subject.case = name
    desk.save()
    with pytest.raises(error, match="case"):
        desk.offers()


def test_another_dtype_is_refused(desk: Desk) -> None:
    """Figures of another precision are not the case's."""
    desk.measured_on(GPU, dtype="float32")
    desk.save()
    with pytest.raises(ApprovalError, match="float32"):
        desk.offers()


def test_subject_that_comes_twice_is_refused(desk: Desk) -> None:
    """A record cannot offer two sets of figures for one recipe."""
    desk.record.subjects.append(desk.subject)
    desk.save()
    with pytest.raises(ApprovalError, match="twice"):
        desk.offers()


def test_claimed_missing_baseline_must_be_the_cases_own(desk: Desk) -> None:
    """Whether the baseline fits is the case's to say, not the record's."""
    desk.subject.baseline_does_not_fit = "because I say so"
    desk.save()
    with pytest.raises(ApprovalError, match="baseline fits"):
        desk.offers()


def test_backend_of_the_command_line_offers_nothing(desk: Desk) -> None:
    """A backend that no recipe names has no thresholds that could be written."""
    desk.subject.recipe, desk.subject.backend = "my.package.fast", "my.package:fast"
    desk.save()
    assert desk.offers() == []


def test_damaged_record_is_refused(desk: Desk) -> None:
    """A record that was cut short is not believed."""
    path = desk.report / "record.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError):
        desk.offers()


def test_link_is_refused(desk: Desk, tmp_path: Path) -> None:
    """A record that is a symbolic link is refused."""
    path = desk.report / "record.json"
    path.rename(tmp_path / "moved.json")
    path.symlink_to(tmp_path / "moved.json")
    with pytest.raises(ApprovalError, match="link"):
        desk.offers()


def test_case_file_that_would_not_load_is_not_written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the new text were no case, the old file stays and no record is kept."""

    def broken(*_: Any, **__: Any) -> str:
        return desk.former.decode() + "\nunknown_key = 1\n"

    (offer,) = desk.offers()
    monkeypatch.setattr("nearlossless.accepting.offers.with_thresholds", broken)
    with pytest.raises((ApprovalError, CaseError)):
        accept(offer, desk.baselines, "first night")
    assert desk.is_untouched()


def test_command_line_shows_and_writes_nothing(desk: Desk) -> None:
    """Without --thresholds the lines are shown as they would be written, and the files stay."""
    code, output = desk.run()
    assert code == 0, output
    shown = output[output.index("[overrides") :].split("\n#  ")[0]
    lines = [line for line in shown.splitlines() if line.startswith(("[", "max_", "min_"))]
    assert tomllib.loads("\n".join(lines))["overrides"][GPU]["recipes"]["inductor"]["max_peak_gib"] == 2.04
    assert "--thresholds writes" in output
    assert desk.is_untouched()


def test_command_line_writes_with_its_option(desk: Desk) -> None:
    """With --thresholds the case file has them."""
    code, output = desk.run("--thresholds")
    assert code == 0, output
    assert load_case(desk.case_file.parent).thresholds_for("inductor", "cuda", GPU).max_peak_gib == 2.04


def test_command_line_says_what_stays(desk: Desk) -> None:
    """A threshold that is in force is named as kept; with nothing to take over, the program ends with an error."""
    desk.run("--thresholds")
    code, output = desk.run("--thresholds")
    assert "max_peak_gib: already in force" in output
    assert code == 2, output


def limit_slowdown(desk: Desk) -> None:
    """Let the case hold every recipe against its accepted record."""
    text = desk.case_file.read_text(encoding="utf-8")
    limited = text.replace("[thresholds]\n", "[thresholds]\nmax_slowdown = 0.01\n", 1)
    desk.case_file.write_text(limited, encoding="utf-8")


def test_record_alone_is_renewed_where_a_slowdown_is_limited(desk: Desk) -> None:
    """With every threshold in force, a later record replaces the accepted one, and the case file stays as it is."""
    limit_slowdown(desk)
    accept(desk.offers()[0], desk.baselines, "first night")
    written = desk.case_file.read_bytes()
    desk.subject.speeds.compiled_s = [0.9 * seconds for seconds in desk.subject.speeds.compiled_s]
    desk.save()
    (again,) = desk.offers()
    assert (again.missing, again.can_be_written(tighten=False)) == ([], True)
    path = accept(again, desk.baselines, "faster since the new kernels")
    assert read_record(path).subjects == [desk.subject]
    assert desk.case_file.read_bytes() == written


def test_record_that_regressed_does_not_replace_the_accepted_one(desk: Desk) -> None:
    """A slower record cannot be accepted over the one that it was held against."""
    limit_slowdown(desk)
    path = accept(desk.offers()[0], desk.baselines, "first night")
    kept = path.read_bytes()
    desk.subject.verdicts[0].outcome = Outcome.REGRESSION
    desk.save()
    with pytest.raises(ApprovalError, match="ended in REGRESSION"):
        accept(desk.offers()[0], desk.baselines, "again")
    assert path.read_bytes() == kept


def test_command_line_tells_that_the_record_is_renewed(desk: Desk) -> None:
    """Before it writes, the program says what later runs will be held against."""
    limit_slowdown(desk)
    desk.run("--thresholds")
    code, output = desk.run("--thresholds")
    assert code == 0, output
    assert "later runs are held against" in output
    assert "0 threshold(s) written, record kept in" in output


def test_reason_stands_in_the_table(desk: Desk) -> None:
    """What is accepted gives its reason as that of its table, with the date."""
    accept(desk.offers()[0], desk.baselines, "first night")
    because = load_case(desk.case_file.parent).overrides[GPU].recipes["inductor"].because
    assert because is not None
    assert because.endswith(": first night")


@pytest.mark.parametrize("outcome", [Outcome.REGRESSION, Outcome.WAIVED])
def test_known_regression_is_no_threshold_either(desk: Desk, outcome: Outcome) -> None:
    """A waived regression is refused as one that is not, and named as what it is."""
    desk.subject.verdicts[0].outcome = outcome
    desk.save()
    with pytest.raises(ApprovalError, match=f"ended in {outcome}"):
        accept(desk.offers()[0], desk.baselines, "first night")
    assert desk.is_untouched()


def test_offers_do_not_steer_the_terminal(desk: Desk) -> None:
    """The name of a gate comes from the report's record: escape codes in it are named."""
    desk.subject.verdicts[0].gate, desk.subject.verdicts[0].outcome = "\x1b[2Jgate", Outcome.REGRESSION
    desk.save()
    told: list[str] = []
    with pytest.raises(ApprovalError, match="no candidates here"):
        review(desk.report, desk.baselines, Wishes(reason=None), told.append)
    assert r"nothing can be taken over, \x1b[2Jgate ended in REGRESSION" in told[-1]
    assert "\x1b" not in "".join(told)


def kept_and_loosened(desk: Desk) -> None:
    """Accept a first record, then let the case ask for far less than it measured."""
    accept(desk.offers()[0], desk.baselines, "first night")
    text = desk.case_file.read_text(encoding="utf-8")
    assert "max_peak_gib = 2.04" in text
    desk.case_file.write_text(text.replace("max_peak_gib = 2.04", "max_peak_gib = 3.0"), encoding="utf-8")
    desk.record.started = "2025-02-02T00:00:00+00:00"
    desk.save()


def peak_in_force(desk: Desk) -> float | None:
    """The ceiling of memory."""
    return load_case(desk.case_file.parent).thresholds_for("inductor", "cuda", GPU).max_peak_gib


def test_tighter_value_is_shown_and_not_written(desk: Desk) -> None:
    """Where two runs leave room the tighter line is printed; nothing is written without --thresholds --tighten."""
    kept_and_loosened(desk)
    for options in ((), ("--thresholds",)):
        code, output = desk.run(*options)
        assert code == 0, output
        assert "max_peak_gib = 2.04 # was 3; two runs: 2, then 2" in output
        assert "--thresholds --tighten" in output
        assert peak_in_force(desk) == 3.0


def test_tighter_value_is_written_when_asked_for(desk: Desk) -> None:
    """With --thresholds --tighten it takes the place of the former value, and nothing else changes."""
    kept_and_loosened(desk)
    before = desk.case_file.read_text(encoding="utf-8").splitlines()
    code, output = desk.run("--thresholds", "--tighten")
    assert code == 0, output
    assert peak_in_force(desk) == 2.04
    after = desk.case_file.read_text(encoding="utf-8").splitlines()
    assert [line for line in before if line not in after] == [line for line in before if "max_peak_gib = 3.0" in line]


def test_tighter_than_a_general_layer_is_written_beside_it(desk: Desk) -> None:
    """A value of a more general layer stays for others; the tighter one goes into the recipe's table on this GPU."""
    accept(desk.offers()[0], desk.baselines, "first night")
    lines = desk.case_file.read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("max_peak_gib = 2.04"))
    desk.case_file.write_text(
        text.replace("\n[thresholds]\n", "\n[thresholds]\nmax_peak_gib = 99.0\n"), encoding="utf-8"
    )
    desk.record.started = "2025-02-02T00:00:00+00:00"
    desk.save()
    assert desk.run("--thresholds", "--tighten")[0] == 0
    case = load_case(desk.case_file.parent)
    assert (peak_in_force(desk), case.thresholds.max_peak_gib) == (2.04, 99.0)


def test_one_run_tightens_nothing(desk: Desk) -> None:
    """The record that was kept is no second run of itself, and a run that regressed tightens nothing."""
    kept_and_loosened(desk)
    desk.record.started = "2025-01-01T00:00:00+00:00"
    desk.save()
    assert desk.offers()[0].tighter == []
    desk.record.started = "2025-02-02T00:00:00+00:00"
    desk.subject.verdicts[0].outcome = Outcome.REGRESSION
    desk.save()
    assert desk.offers()[0].chosen(tighten=True) == []


def counts(**changes: int) -> WarmupCounts:
    """Three graphs without a break."""
    return WarmupCounts(**{"graphs": 3, "graph_breaks": 0, "frames": 3, **changes})


def regressed(*names: str) -> VerdictRecord:
    """A shapes verdict of which these checks regressed."""
    check = {"obtained": 4, "threshold": 3, "comparison": "<=", "unit": "", "note": "", "interval": None, "path": None}
    checks = [CheckRecord(name=name, of="graphs", outcome="REGRESSION", **check) for name in names]
    return VerdictRecord(gate="shapes", outcome="REGRESSION", reason="more", test="test_shapes", checks=checks)


def test_warm_up_counts_are_kept_for_each_version(desk: Desk) -> None:
    """Accepting keeps the counts by versions, beside those that were accepted for others."""
    for versions, found in (("torch 2.4.0", counts()), ("torch 2.13.0", counts(graphs=2))):
        desk.subject.warmup = WarmupRecord(versions=versions, counts=found)
        desk.save()
        (offer,) = desk.offers()
        assert offer.renews
        path = accept(offer, desk.baselines, "first night")
    (kept,) = read_record(path).subjects
    assert kept.accepted_warmups == {"torch 2.4.0": counts(), "torch 2.13.0": counts(graphs=2)}


def test_warm_up_that_is_accepted_renews_nothing(desk: Desk) -> None:
    """Counts that are the accepted ones give no reason to replace the record."""
    desk.subject.warmup = WarmupRecord(versions="torch 2.13.0", counts=counts(), accepted=counts())
    desk.save()
    assert not desk.offers()[0].renews


@pytest.mark.parametrize(("names", "is_refused"), [(("warm-up",), False), (("warm-up", "live SSIM"), True)])
def test_more_in_the_warm_up_can_be_accepted_alone(desk: Desk, names: tuple[str, ...], is_refused: bool) -> None:
    """Counts that grew are accepted with a reason, unless something else of the gate regressed, too."""
    desk.subject.verdicts = [regressed(*names)]
    desk.save()
    assert bool(desk.offers()[0].refused) is is_refused


def test_run_of_some_gates_leaves_the_record_of_more(desk: Desk) -> None:
    """Thresholds of a partial run are written, and the samples of the gates that it left out stay accepted."""
    desk.subject.verdicts = [verdict(gate) for gate in ("memory", "speedup")]
    desk.save()
    path = accept(desk.offers()[0], desk.baselines, "first night")
    before = read_record(path)
    desk.record.started = "2025-01-02T00:00:00+00:00"
    desk.subject.verdicts, desk.subject.speeds = [verdict("memory")], Speeds()
    desk.subject.warmup = WarmupRecord(versions="torch 2.13.0", counts=counts())
    desk.save()
    (offer,) = desk.offers()
    assert offer.unjudged == ("speedup",)
    _, output = desk.run("--thresholds")
    assert "--thresholds accepts the counts of its warm-up" in output
    stays = "which stays but for the counts of the warm-up: this run did not judge speedup"
    assert f"record kept in {path}, {stays}" in output
    kept = read_record(path)
    assert (kept.started, kept.subjects[0].speeds) == (before.started, before.subjects[0].speeds)
    assert kept.subjects[0].accepted_warmups == {"torch 2.13.0": counts()}


def verdict(gate: str) -> VerdictRecord:
    """A gate that passed."""
    return VerdictRecord(gate=gate, outcome="PASS", reason="", test=f"test_{gate}")
