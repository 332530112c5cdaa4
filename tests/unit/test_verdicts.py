"""Verdicts: figures and thresholds in, one of five outcomes out."""

import math

import pytest

from nearlossless.sequential import Interval
from nearlossless.verdicts import (
    EXIT_REGRESSION,
    EXIT_UNDECIDED,
    MOST_TOLD,
    Outcome,
    at_least,
    at_most,
    exit_code,
    found,
    interval_at_least,
    interval_at_most,
    stopped,
    verdict,
)

ABOVE, BELOW = math.nextafter(1.5, 2), math.nextafter(1.5, 1)
NO_FIGURES = [None, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize(
    ("obtained", "outcome"), [(1.5, Outcome.PASS), (ABOVE, Outcome.PASS), (BELOW, Outcome.REGRESSION)]
)
def test_at_least_turns_at_the_threshold(obtained: float, outcome: Outcome) -> None:
    """A floor is met at the threshold itself and missed just below it."""
    assert at_least("figure", obtained, 1.5).outcome is outcome


@pytest.mark.parametrize(
    ("obtained", "outcome"), [(1.5, Outcome.PASS), (BELOW, Outcome.PASS), (ABOVE, Outcome.REGRESSION)]
)
def test_at_most_turns_at_the_threshold(obtained: float, outcome: Outcome) -> None:
    """A ceiling is kept at the threshold itself and broken just above it."""
    assert at_most("figure", obtained, 1.5).outcome is outcome


@pytest.mark.parametrize("obtained", NO_FIGURES)
def test_at_least_never_passes_without_a_figure(obtained: float | None) -> None:
    """A missing, NaN or infinite figure cannot be compared with a floor."""
    assert at_least("figure", obtained, 1.5).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize("obtained", NO_FIGURES)
def test_at_most_never_passes_without_a_figure(obtained: float | None) -> None:
    """A missing, NaN or infinite figure cannot be compared with a ceiling."""
    assert at_most("figure", obtained, 1.5).outcome is Outcome.NOT_COMPARABLE


def test_at_least_without_threshold_is_not_comparable() -> None:
    """A floor that nobody has measured yet makes no figure green."""
    assert at_least("figure", 2.0, None).outcome is Outcome.NOT_COMPARABLE


def test_at_most_without_threshold_is_not_comparable() -> None:
    """A ceiling that nobody has measured yet makes no figure green."""
    assert at_most("figure", 0.0, None).outcome is Outcome.NOT_COMPARABLE


def test_at_most_holds_a_threshold_of_zero() -> None:
    """A ceiling of zero is a threshold like any other, not an absent one."""
    assert at_most("compiles", 1, 0).outcome is Outcome.REGRESSION


def test_nan_threshold_is_never_green() -> None:
    """A threshold that is NaN lets nothing pass, neither as floor nor as ceiling."""
    assert Outcome.PASS not in {at_least("figure", 1.0, math.nan).outcome, at_most("figure", 1.0, math.nan).outcome}


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (1.5, 1.6, Outcome.PASS),
        (ABOVE, 1.6, Outcome.PASS),
        (BELOW, 1.6, Outcome.INCONCLUSIVE),
        (1.4, 1.5, Outcome.INCONCLUSIVE),
        (1.4, BELOW, Outcome.REGRESSION),
        (0.0, math.inf, Outcome.INCONCLUSIVE),
        (1.5, 1.5, Outcome.PASS),
    ],
)
def test_interval_turns_at_both_its_ends(low: float, high: float, outcome: Outcome) -> None:
    """The whole interval decides: on one side of the threshold, on the other, or across it."""
    assert interval_at_least("speedup", 1.5, Interval(low, high), 1.5).outcome is outcome


@pytest.mark.parametrize("obtained", NO_FIGURES)
def test_interval_never_passes_without_a_figure(obtained: float | None) -> None:
    """A missing, NaN or infinite figure is not rescued by its interval."""
    assert interval_at_least("speedup", obtained, Interval(2, 3), 1.5).outcome is Outcome.NOT_COMPARABLE


def test_interval_without_threshold_is_not_comparable() -> None:
    """An interval without a threshold decides nothing."""
    assert interval_at_least("speedup", 2.0, Interval(1.9, 2.1), None).outcome is Outcome.NOT_COMPARABLE


def test_interval_of_nan_is_never_green() -> None:
    """An interval whose ends are NaN is no evidence."""
    check = interval_at_least("speedup", 2.0, Interval(math.nan, math.nan), 1.5)
    assert check.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [
        ([Outcome.PASS, Outcome.PASS], Outcome.PASS),
        ([Outcome.PASS, Outcome.INCONCLUSIVE], Outcome.INCONCLUSIVE),
        ([Outcome.INCONCLUSIVE, Outcome.NOT_COMPARABLE], Outcome.NOT_COMPARABLE),
        ([Outcome.REGRESSION, Outcome.NOT_COMPARABLE, Outcome.PASS], Outcome.REGRESSION),
        ([Outcome.NOT_APPLICABLE, Outcome.PASS], Outcome.PASS),
    ],
)
def test_worst_check_decides(outcomes: list[Outcome], worst: Outcome) -> None:
    """The outcome of several checks is the worst of theirs."""
    assert verdict("quality", [found("check", outcome, "note") for outcome in outcomes]).outcome is worst


def test_no_check_is_not_comparable() -> None:
    """A gate that checked nothing is not green."""
    assert verdict("quality", []).outcome is Outcome.NOT_COMPARABLE


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_pass_is_green(outcome: Outcome) -> None:
    """No outcome but PASS counts as a pass."""
    assert stopped("speedup", outcome, "reason").is_pass == (outcome is Outcome.PASS)


def test_reason_starts_with_what_is_furthest_off() -> None:
    """Of several failed checks the reason names the one furthest beyond its threshold first."""
    judged = verdict("quality", [at_most("near", 1.1, 1.0), at_most("far", 9.0, 1.0), at_least("middle", 0.5, 1.0)])
    assert judged.reason.startswith("far:")


def test_reason_of_a_pass_starts_with_the_tightest_check() -> None:
    """Of several passed checks the reason names the one with the least headroom first."""
    judged = verdict("memory", [at_most("loose", 0.1, 1.0), at_most("tight", 0.99, 1.0)])
    assert judged.reason.startswith("tight:")


def test_reason_is_cut_but_the_checks_are_kept() -> None:
    """A reason spells out a few checks and counts the rest; the verdict keeps all."""
    judged = verdict("quality", [at_least(f"picture {i}", 0.1, 0.9) for i in range(MOST_TOLD + 4)])
    assert "and 4 more REGRESSION" in judged.reason
    assert len(judged.checks) == MOST_TOLD + 4


def test_reason_leaves_out_checks_that_did_not_decide() -> None:
    """A reason tells why, so a passed check has no place in that of a regression."""
    judged = verdict("quality", [at_least("good", 1.0, 0.9), at_least("bad", 0.1, 0.9)])
    assert "good" not in judged.reason


def test_check_tells_obtained_required_unit_note_and_path() -> None:
    """One line of a check holds all that is needed to understand it."""
    text = str(at_most("steady peak", 2.0, 1.5, unit="GiB", note="allocated", path="a.png"))
    assert text == "steady peak: obtained 2 GiB, required <= 1.5 GiB (allocated) [a.png]"


def test_check_tells_its_interval() -> None:
    """A check that was judged by an interval shows it."""
    text = str(interval_at_least("speedup", 1.5, Interval(1.4, 1.6), 1.2, unit="x"))
    assert text == "speedup: obtained 1.5 x [1.4, 1.6], required >= 1.2 x"


def test_check_without_figure_says_nothing_was_obtained() -> None:
    """A missing figure and an absent threshold are put into words."""
    assert str(at_least("SSIM", None, None)) == "SSIM: obtained nothing, required >= not yet measured"


def test_found_tells_its_note_and_path() -> None:
    """A check without figures is its name, its note and its file."""
    assert str(found("picture", Outcome.REGRESSION, "black", path="a.png")) == "picture: black [a.png]"


def test_verdict_reads_as_one_line() -> None:
    """As text a verdict is outcome, gate and reason."""
    assert str(stopped("memory", Outcome.NOT_COMPARABLE, "no record")) == "NOT_COMPARABLE memory: no record"


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        ([Outcome.PASS, Outcome.NOT_APPLICABLE], 0),
        ([Outcome.PASS, Outcome.INCONCLUSIVE], EXIT_UNDECIDED),
        ([Outcome.NOT_COMPARABLE], EXIT_UNDECIDED),
        ([Outcome.NOT_COMPARABLE, Outcome.REGRESSION], EXIT_REGRESSION),
    ],
)
def test_exit_code_tells_regression_from_missing_evidence(outcomes: list[Outcome], code: int) -> None:
    """A regression and missing evidence end a run with different codes, and only green ends with 0."""
    assert exit_code(outcomes) == code


def test_exit_codes_differ() -> None:
    """The three ways a run can end have three codes."""
    assert len({0, EXIT_REGRESSION, EXIT_UNDECIDED}) == 3


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (1.4, 1.5, Outcome.PASS),
        (1.4, BELOW, Outcome.PASS),
        (1.4, ABOVE, Outcome.INCONCLUSIVE),
        (1.5, 1.6, Outcome.INCONCLUSIVE),
        (ABOVE, 1.6, Outcome.REGRESSION),
        (-math.inf, math.inf, Outcome.INCONCLUSIVE),
    ],
)
def test_interval_at_most_turns_with_its_ends(low: float, high: float, outcome: Outcome) -> None:
    """A ceiling is kept by an interval that nowhere exceeds it, and broken by one that lies wholly above."""
    check = interval_at_most("figure", 1.5, Interval(low, high), 1.5)
    assert (check.outcome, check.comparison) == (outcome, "<=")


@pytest.mark.parametrize(("obtained", "threshold"), [(None, 1.5), (math.nan, 1.5), (1.0, None)])
def test_interval_at_most_needs_figure_and_threshold(obtained: float | None, threshold: float | None) -> None:
    """Without a figure or a ceiling an interval cannot be judged."""
    check = interval_at_most("figure", obtained, Interval(0.9, 1.1), threshold)
    assert check.outcome is Outcome.NOT_COMPARABLE


def test_not_applicable_is_neutral_beside_a_pass_and_told() -> None:
    """A passed check makes the gate green beside one that does not apply, whose reason is told."""
    judged = verdict("memory", [found("ratio", Outcome.NOT_APPLICABLE, "does not fit"), at_most("peak", 1.0, 1.5)])
    assert judged.outcome is Outcome.PASS
    assert judged.reason.splitlines()[-1] == "ratio: not applicable, does not fit"


@pytest.mark.parametrize("other", [Outcome.REGRESSION, Outcome.INCONCLUSIVE, Outcome.NOT_COMPARABLE])
def test_not_applicable_hides_nothing(other: Outcome) -> None:
    """A check that does not apply leaves every other outcome as it is."""
    checks = [found("ratio", Outcome.NOT_APPLICABLE, "does not fit"), found("peak", other, "note")]
    assert verdict("memory", checks).outcome is other


def test_gate_of_which_nothing_applies_is_not_green() -> None:
    """Where only checks that do not apply are left, so is the gate, and it is no PASS."""
    judged = verdict("memory", [found("ratio", Outcome.NOT_APPLICABLE, "does not fit")])
    assert (judged.outcome, judged.is_pass) == (Outcome.NOT_APPLICABLE, False)
    assert "does not fit" in judged.reason
