"""Waivers: a known regression is shown as such until a date, and nothing else is waived."""

import json
import tomllib
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from nearlossless.cases.case import Case
from nearlossless.cases.waivers import Waiver, waive
from nearlossless.record import Record
from nearlossless.record.subject import SubjectRecord
from nearlossless.runs.run import Run
from nearlossless.runs.selection import Subject
from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, Check, Outcome, at_least, exit_code, found, stopped
from nearlossless.verdicts import verdict as judged

LAST_DAY, NEXT_DAY = date(2026, 6, 30), date(2026, 7, 1)
REASON = "torch breaks the fused norm"
WAIVER = Waiver(recipe="inductor", gate="quality", check="SSIM", reason=REASON, until=LAST_DAY)
RED, GREEN = at_least("SSIM", 0.5, 0.9, of="a ring", note="small"), at_least("SSIM", 0.95, 0.9)


def waived(*checks: Check, waiver: Waiver = WAIVER, today: date = LAST_DAY, gate: str = "quality") -> Outcome:
    """What becomes of a gate's checks."""
    return waive(judged(gate, checks), [waiver], today).outcome


@pytest.mark.parametrize(
    ("today", "outcome"),
    [(date(2020, 1, 1), Outcome.WAIVED), (LAST_DAY, Outcome.WAIVED), (NEXT_DAY, Outcome.REGRESSION)],
)
def test_waiver_holds_through_its_last_day(today: date, outcome: Outcome) -> None:
    """A covered regression is WAIVED up to and on the last day, and a REGRESSION from the next day on."""
    assert waived(RED, GREEN, today=today) is outcome


def test_reason_and_end_are_told() -> None:
    """The reason of the verdict tells why and until when, after what the check told itself."""
    told = waive(judged("quality", [RED]), [WAIVER], LAST_DAY).reason
    assert f"(small; waived until 2026-06-30: {REASON})" in told


def test_end_of_a_waiver_is_told() -> None:
    """A regression whose waiver is over says so."""
    assert "the waiver ended on 2026-06-30" in waive(judged("quality", [RED]), [WAIVER], NEXT_DAY).reason


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.REGRESSION])
def test_only_a_regression_is_waived(outcome: Outcome) -> None:
    """Whatever is no regression keeps its outcome, alone and beside a waived one."""
    check = found("SSIM", outcome, "note")
    assert waived(check) is outcome
    checks = waive(judged("quality", [RED, check]), [WAIVER], LAST_DAY).checks
    assert [c.outcome for c in checks] == [Outcome.WAIVED, outcome]


@pytest.mark.parametrize(
    ("worse", "outcome"),
    [
        (found("other", Outcome.INCONCLUSIVE, "note"), Outcome.INCONCLUSIVE),
        (found("other", Outcome.NOT_COMPARABLE, "note"), Outcome.NOT_COMPARABLE),
        (found("other", Outcome.REGRESSION, "note"), Outcome.REGRESSION),
        (found("other", Outcome.PASS, "note"), Outcome.WAIVED),
    ],
)
def test_what_is_worse_decides(worse: Check, outcome: Outcome) -> None:
    """Beside a waived check, anything undecided or red that is not covered decides; a pass does not."""
    assert waived(RED, worse) is outcome


def test_other_gate_and_check_are_not_covered() -> None:
    """A waiver covers its own gate and the check of exactly its name."""
    assert waived(RED, gate="shapes") is Outcome.REGRESSION
    assert waived(replace(RED, name="SSIM of it")) is Outcome.REGRESSION


def test_waiver_without_check_covers_its_gate() -> None:
    """Without a name every check is covered, and a gate that a failing backend stopped."""
    whole = WAIVER.model_copy(update={"check": None})
    assert waived(RED, replace(RED, name="other"), waiver=whole) is Outcome.WAIVED
    stop = stopped("quality", Outcome.REGRESSION, "BackendError: no")
    assert waive(stop, [whole], LAST_DAY).outcome is Outcome.WAIVED
    assert waive(stop, [whole], NEXT_DAY).outcome is Outcome.REGRESSION
    assert waive(stop, [WAIVER], LAST_DAY) == stop


def test_longest_of_several_counts() -> None:
    """A waiver that is renewed by a second one holds until the later day, whatever their order."""
    later = WAIVER.model_copy(update={"until": NEXT_DAY})
    for both in ([WAIVER, later], [later, WAIVER]):
        assert waive(judged("quality", [RED]), both, NEXT_DAY).outcome is Outcome.WAIVED


def test_waived_is_neither_pass_nor_failure() -> None:
    """It is not green, and by itself no reason for an exit code; beside others theirs counts."""
    assert not waive(judged("quality", [RED]), [WAIVER], LAST_DAY).is_pass
    assert exit_code([Outcome.WAIVED, Outcome.PASS]) == 0
    assert exit_code([Outcome.WAIVED, Outcome.INCONCLUSIVE]) == EXIT_UNDECIDED
    assert exit_code([Outcome.WAIVED, Outcome.REGRESSION]) == EXIT_REGRESSION


@pytest.mark.parametrize(
    "line",
    [
        'reason = "short"',
        'until = "soon"',
        "until = 20261231",
        "until = 2026-12-31T10:00:00",
        'gate = "beauty"',
        'check = ""',
        'device = "tpu"',
        "forever = true",
    ],
)
def test_malformed_waiver_is_refused(line: str) -> None:
    """A short reason, no date, an unknown gate or device, or another key is an error."""
    content = {"recipe": "inductor", "gate": "quality", "reason": REASON, "until": LAST_DAY}
    Waiver.model_validate(content)
    with pytest.raises(ValidationError):
        Waiver.model_validate(content | tomllib.loads(line))


@pytest.mark.parametrize("change", [{"recipe": "nosuch"}, {"device": "cuda"}])
def test_waiver_must_fit_its_case(tiny_case: Case, change: dict[str, Any]) -> None:
    """A waiver names a recipe of its case, and a device that it runs on."""
    content = tiny_case.model_dump()
    content["model"]["dtype"] = {"cpu": "float32"}
    content["waivers"] = [WAIVER.model_dump()]
    Case.model_validate(content)
    content["waivers"] = [WAIVER.model_dump() | change]
    with pytest.raises(ValidationError, match="waivers name"):
        Case.model_validate(content)


@pytest.fixture
def gated(tiny_case: Case, make_subject: Any) -> Subject:
    """The miniature under inductor, with a waiver for each device and one for another recipe."""
    others = [{"recipe": "inductor-int8"}, {"device": "cuda"}, {"device": "cpu", "gate": "speedup"}]
    waivers = (WAIVER, *(WAIVER.model_copy(update=change) for change in others))
    made: Subject = make_subject(tiny_case.model_copy(update={"waivers": waivers}), tiny_case.recipes["inductor"])
    return replace(made, recipe_name="inductor", is_named=True)


def test_waivers_of_a_subject_are_its_own(gated: Subject) -> None:
    """Only those of its recipe and device are about a subject; a backend of the command line has none."""
    assert [(w.gate, w.device) for w in gated.waivers] == [("quality", None), ("speedup", "cpu")]
    assert replace(gated, is_named=False).waivers == ()


def test_run_records_waived_verdicts(gated: Subject, tmp_path: Any) -> None:
    """A run judges by its own day, and keeps outcome, reason and waivers in the record."""
    for today, outcome in ((LAST_DAY, Outcome.WAIVED), (NEXT_DAY, Outcome.REGRESSION)):
        run = Run(tmp_path, today=today)
        kept = run.conclude(gated, judged("quality", [RED]), "test")
        assert (kept.outcome, kept.checks[0].outcome) == (outcome, outcome)
        again = Record.model_validate_json(run.record().model_dump_json())
        assert again.subjects[0].waivers == gated.waivers


def test_waiver_is_told_as_not_needed_once_its_gate_passes(gated: Subject, tmp_path: Any) -> None:
    """Only a waiver whose gate ran and passed is told as not needed any more."""

    def unneeded(*checks: Check) -> list[str]:
        run = Run(tmp_path, today=LAST_DAY)
        run.conclude(gated, judged("quality", checks), "test")
        record: SubjectRecord = run.subject(gated)
        return [waiver.gate for waiver in record.unneeded_waivers]

    assert unneeded(GREEN) == ["quality"]
    assert unneeded(RED) == []
    assert unneeded(found("SSIM", Outcome.INCONCLUSIVE, "note")) == []
    assert "remove it" in WAIVER.not_needed
    assert "2026-06-30" in WAIVER.not_needed


def test_figures_of_a_waived_run_become_no_thresholds(full_record: Record) -> None:
    """A record with a waived regression does not ask for thresholds."""
    subject = full_record.subjects[0]
    subject.verdicts = subject.verdicts[-2:]
    subject.verdicts[0].checks[0].threshold = None
    assert subject.lacks_thresholds
    subject.verdicts[0].outcome = Outcome.WAIVED
    assert not subject.lacks_thresholds


def test_date_survives_json() -> None:
    """A waiver is read back from a record as it was."""
    assert Waiver.model_validate_json(json.dumps(WAIVER.model_dump(mode="json"))) == WAIVER
