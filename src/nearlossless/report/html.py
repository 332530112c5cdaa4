"""`report.html`: verdicts, tables, plots and pictures on one page; everything in it is escaped."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearlossless.history.store import Entry
from nearlossless.record import Record
from nearlossless.record.quality import PictureRecord, StepParity
from nearlossless.record.subject import SubjectRecord
from nearlossless.report.matrix import matrix, references_of
from nearlossless.report.noise import FLOOR_HEADINGS, floor_rows
from nearlossless.report.notices import notices, part_of_a_run
from nearlossless.report.plots import WITHOUT_MATPLOTLIB, plots
from nearlossless.report.scores import CHAOS, SCORE_HEADINGS, passed_checks, score_rows, summary_line
from nearlossless.report.shapes import REQUEST_HEADINGS, request_rows
from nearlossless.report.since import NO_GREEN, Greens, last_greens, since_green
from nearlossless.report.stacks import STACK_HEADINGS, stack_lines, stack_rows
from nearlossless.report.starts import START_HEADINGS, start_rows
from nearlossless.report.table import HEADINGS
from nearlossless.report.templating import inlined, template
from nearlossless.report.thumbnails import thumbnails
from nearlossless.report.trends import trend
from nearlossless.report.verdict_list import REDNESS, glance, listed, subject_anchor, tally

MOST_PICTURES = 1000  # of a page, each with up to three thumbnails and a table of scores
MOST_PLOTTED = 20  # subjects of a page, the reddest first: each takes half a second and 100 kB
_PARITY = {
    "RMS, baseline": "baseline_rms",
    "RMS, compiled": "compiled_rms",
    "ratio": "ratio",
    "largest, baseline": "baseline_max",
    "largest, compiled": "compiled_max",
    "mean, compiled": "compiled_bias",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a page may tell besides the record: kept records, oldest first, and where the accepted ones lie."""

    history: Sequence[Entry] = field(default_factory=tuple)
    baselines: Path | None = None


NOTHING_KNOWN = Known()


def render_html(record: Record, folder: Path | None = None, known: Known = NOTHING_KNOWN) -> str:
    """
    One page that opens offline.

    Args:
        record: What was measured.
        folder: Of its pictures; thumbnails of them stand in the page, the files are loaded on demand.
        known: For what changed since the last green run, and for figures over time.
    """
    verdicts = listed(record, folder)
    greens = last_greens(record, known.history)
    views = _bounded([_view(record, number, greens, known.baselines) for number in range(len(record.subjects))])
    files = [file for view in views for file in _files(view)]
    page: str = template("report.html.jinja").render(
        inlined=inlined(),
        record=record,
        part=part_of_a_run(record),
        notices=notices(record),
        verdicts=verdicts,
        tally=tally(verdicts),
        matrix=glance(record, verdicts),
        unneeded=[waiver.not_needed for subject in record.subjects for waiver in subject.unneeded_waivers],
        cases=_cases(_with_plots(views, known)),
        thumbnails=thumbnails(folder, files),
        has_pictures=bool(files),
        headings=HEADINGS,
        stack_headings=STACK_HEADINGS,
        start_headings=START_HEADINGS,
        parity_headings=(*_PARITY, "problem"),
        floor_headings=FLOOR_HEADINGS,
        request_headings=REQUEST_HEADINGS,
        score_headings=SCORE_HEADINGS,
        no_green=NO_GREEN,
    )
    return page


def _view(record: Record, number: int, greens: Greens, baselines: Path | None) -> dict[str, Any]:
    subject = record.subjects[number]
    pictures = sorted(subject.pictures, key=_likeness)
    return {
        "record": subject,
        "anchor": subject_anchor(number),
        "hardware": subject.fingerprint.picture.hardware if subject.fingerprint else subject.device,
        "redness": min((REDNESS.index(verdict.outcome) for verdict in subject.verdicts), default=len(REDNESS)),
        "since": since_green(record, subject, greens, baselines),
        "starts": start_rows(subject),
        "parity": [(step.step + 1, *_parity_cells(step)) for step in subject.parity.steps],
        "blocks": [(name, *_parity_cells(block)) for name, block in subject.parity.blocks.items()],
        "stack_rows": [row.cells() for row in stack_rows(subject.stacks)] if subject.stacks else [],
        "stack_lines": stack_lines(subject.stacks) if subject.stacks else [],
        "floor": floor_rows(subject),
        "pictures": pictures,
        "requests": request_rows(subject),
        "swaps": [
            (
                s.lora,
                "-" if s.live_worst_tile_ssim is None else f"{s.live_worst_tile_ssim:.4f}",
                s.compiles,
                ", ".join(s.problems) or "-",
            )
            for s in subject.swaps
        ],
        "fingerprint": _fingerprint(record, subject),
    }


def _bounded(views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `MOST_PICTURES` of all, the reddest recipes' and of each the least alike."""
    room = MOST_PICTURES
    for view in sorted(views, key=lambda view: view["redness"]):
        view["left_out"] = max(0, len(view["pictures"]) - room)
        passed = passed_checks(view["record"])
        view["pictures"] = [_picture(view["record"], picture, passed) for picture in view["pictures"][:room]]
        room -= len(view["pictures"])
    return views


def _with_plots(views: list[dict[str, Any]], known: Known) -> list[dict[str, Any]]:
    """Plots of the reddest subjects; a sentence where there are none."""
    from markupsafe import Markup

    reddest = {view["anchor"] for view in sorted(views, key=lambda view: view["redness"])[:MOST_PLOTTED]}
    for view in views:
        view["plots"], view["plots_problem"] = [], ""
        if view["anchor"] not in reddest:
            view["plots_problem"] = f"Plots are drawn of the {MOST_PLOTTED} reddest recipes only."
            continue
        try:
            found = [*plots(view["record"], view["anchor"]), *trend(view["record"], known.history, view["anchor"])]
        except ModuleNotFoundError:
            view["plots_problem"] = WITHOUT_MATPLOTLIB
            continue
        # matplotlib escapes what stands in an element; the one text of a record that it draws is a block's name.
        view["plots"] = [{"title": p.title, "words": p.words, "svg": Markup(p.svg)} for p in found]  # noqa: S704
    return views


def _cases(views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recipes of one case on one device together, the reddest case first."""
    groups: dict[tuple[str, str, str, int], list[dict[str, Any]]] = {}
    for view in views:
        record = view["record"]
        groups.setdefault((record.case, record.device, view["hardware"], record.batch_size), []).append(view)
    found = []
    for (case, device, hardware, _), members in groups.items():
        subjects = [view["record"] for view in members]
        shown = {"title": f"{case} / {device}", "hardware": hardware, "subjects": members}
        found.append({**shown, "table": matrix(subjects), "published": references_of(subjects)})
    return sorted(found, key=lambda group: min(view["redness"] for view in group["subjects"]))


def _likeness(picture: PictureRecord) -> float:
    anchors = [scores.worst_tile_ssim for scores in (picture.live, picture.stored) if scores is not None]
    return -1.0 if picture.tripwires else min(anchors, default=0.0)


def _files(view: dict[str, Any]) -> list[str]:
    """Of the pictures that are shown."""
    stacks, shown = view["record"].stacks, [each["picture"] for each in view["pictures"]]
    found = [file for p in shown for file in (p.obtained_file, p.baseline_file, p.expected_file)]
    found += [file for p in (stacks.pictures if stacks else []) for file in (p.there_file, p.here_file)]
    return [file for file in found if file]


def _picture(subject: SubjectRecord, picture: PictureRecord, passed: Set[tuple[str, str]]) -> dict[str, Any]:
    rows = score_rows(subject, picture, passed)
    live, stored = picture.live, picture.stored
    tile = live.worst_tile_xywh if live else stored.worst_tile_xywh if stored else None
    lines = [line for line in (picture.stored_choice, picture.stored_problem) if line]
    if picture.stored_foreign:
        lines.append(f"the expected picture is foreign: {', '.join(picture.stored_foreign)}")
    if picture.obtained_clip is not None:
        beside = "" if picture.baseline_clip is None else f" (baseline {picture.baseline_clip:.2f})"
        lines.append(f"CLIP {picture.obtained_clip:.2f}{beside}")
    if any(row.is_chaos for row in rows):
        lines.append(CHAOS)
    return {
        "picture": picture,
        "scores": rows,
        "summary": summary_line(picture) or "Scores",
        "problems": picture.tripwires,
        "lines": lines,
        "is_bad": bool(picture.tripwires) or any(row.live_is_bad or row.stored_is_bad for row in rows),
        "is_comparable": bool(picture.obtained_file and (picture.baseline_file or picture.expected_file)),
        "live_tile": live.worst_tile_xywh if live else None,
        "stored_tile": stored.worst_tile_xywh if stored else None,
        "outlined": {"tile": tile, "width": picture.width, "height": picture.height},
    }


def _parity_cells(parity: StepParity) -> tuple[str, ...]:
    values = [getattr(parity, figure) for figure in _PARITY.values()]
    return (*("-" if value is None else f"{value:.3g}" for value in values), parity.problem or "-")


def _fingerprint(record: Record, subject: SubjectRecord) -> list[tuple[str, Any]]:
    if subject.fingerprint is None:
        return []
    timing = subject.fingerprint.timing
    device = [(name, getattr(timing, name)) for name in ("device_uuid", "power_limit_w", "cpu", "threads")]
    picture = timing.picture.model_dump().items()
    around = [("git commit", record.commit)] if record.commit else []
    return [*picture, *device, *subject.fingerprint.stack.items(), *around, *(record.variables or {}).items()]
