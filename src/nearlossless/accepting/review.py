"""`nearlossless approve`: show what a report would change, then take over what has a reason."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from nearlossless.accepting.approval import ApprovalError, Candidate, approve, find_candidates, only_approval
from nearlossless.accepting.offers import Offer, accept, find_offers
from nearlossless.baselines.candidates import remove_candidates
from nearlossless.baselines.expected import CANDIDATES
from nearlossless.printable import printable
from nearlossless.report.approval import approval_table, compare, write_approval_page

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be taken over of a report, and why."""

    reason: str | None  # None: nothing, it is only shown
    also: bool = False
    only: tuple[str, ...] = ()
    thresholds: bool = False
    tighten: bool = False


def review(report: Path, baselines: Path, wishes: Wishes, say: Say, *, colour: bool = False) -> None:
    """
    Show candidates and offers of a report, then take over what is wished for; candidates that are taken over go.

    Raises:
        ApprovalError: There is nothing to take over, it is not sound, or no reason was given: nothing was written.
        CaseError, RecordError: As `find_candidates` and `find_offers`.
        OSError: Something cannot be read or written.
    """
    if wishes.tighten and not wishes.thresholds:
        raise ApprovalError("--tighten says what else --thresholds writes: give both")
    with only_approval(baselines) if wishes.reason is not None else nullcontext():
        offers = find_offers(report, baselines)
        for offer in offers:
            _show_offer(offer, wishes.reason or "...", lambda text: say(printable(text)))
        is_about_figures = (
            any(offer.can_be_written(tighten=True) for offer in offers) and not (report / CANDIDATES).exists()
        )
        found = [] if is_about_figures else find_candidates(report, baselines, also=wishes.also, only=wishes.only)
        if found:
            _show_candidates(found, report, say, colour=colour)
        if wishes.reason is None:
            raise ApprovalError(
                "nothing was taken over: look at what is shown, then say why it is right: --reason '...'"
            )
        written = approve(found, wishes.reason)
        remove_candidates((file for candidate in found for file in candidate.files), report)
        _accept_offers(offers, baselines, wishes, wishes.reason, say)
    say(f"{len(written)} expected picture(s) taken over into {baselines}")
    if not wishes.thresholds and any(offer.can_be_written(tighten=False) for offer in offers):
        say("no threshold was written; --thresholds writes the lines above into their case files")


def _show_candidates(candidates: list[Candidate], report: Path, say: Say, *, colour: bool) -> None:
    changes = [compare(candidate) for candidate in candidates]
    say(approval_table(changes, colour=colour))
    say(f"old, new and difference: {write_approval_page(changes, report)}")


def _show_offer(offer: Offer, reason: str, say: Say) -> None:
    """Tell what a subject offers, as the lines that would be written."""
    title = offer.subject.title
    if offer.missing:
        say(f"# {title}\n{offer.written_into('', reason, offer.missing).strip()}")
    if offer.tighter:
        lines = offer.written_into("", reason, offer.tighter).strip()
        say(f"# {title}: the last runs allow tighter thresholds, --thresholds --tighten writes them\n{lines}")
    for name in offer.kept:
        if name not in {proposal.name for proposal in offer.tighter}:
            say(f"# {name}: already in force, stays as it is")
    for proposal in offer.left_out:
        say(f"# {proposal.name}: left out, {proposal.basis}")
    if offer.renews and not offer.refused:
        record = "makes this record the one that later runs are held against"
        say(f"# {title}: --thresholds {'accepts the counts of its warm-up' if offer.unjudged else record}")
    if offer.refused:
        say(f"# {title}: nothing can be taken over, {offer.refused}")


def _accept_offers(offers: list[Offer], baselines: Path, wishes: Wishes, reason: str, say: Say) -> None:
    for offer in offers if wishes.thresholds else ():
        chosen = offer.chosen(tighten=wishes.tighten)
        if offer.can_be_written(tighten=wishes.tighten):
            record = accept(offer, baselines, reason, tighten=wishes.tighten)
            say(f"{offer.subject.title}: {len(chosen)} threshold(s) written, record kept in {record}{_staying(offer)}")


def _staying(offer: Offer) -> str:
    if not offer.unjudged:
        return ""
    but = " but for the counts of the warm-up" if offer.subject.warmup is not None else ""
    return f", which stays{but}: this run did not judge {', '.join(offer.unjudged)}"
