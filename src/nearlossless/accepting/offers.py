"""Accept a record: its figures become the thresholds that were missing, and the record itself is kept."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nearlossless.accepting.accepted import accepted_path
from nearlossless.accepting.approval import ApprovalError
from nearlossless.accepting.proposals import Proposal, proposals, tighter
from nearlossless.atomic import write_all
from nearlossless.cases.case import Case
from nearlossless.cases.edits import EditError, with_thresholds
from nearlossless.cases.files import CASE_FILE, find_case, parse_case
from nearlossless.cases.thresholds import Thresholds
from nearlossless.environment import Fingerprint
from nearlossless.fields import Device
from nearlossless.gates.shapes import WARMUP
from nearlossless.record import RECORD_FILE, Record, RecordError, now, read_record
from nearlossless.record.subject import SubjectRecord
from nearlossless.record.verdicts import VerdictRecord
from nearlossless.speed.slowdown import max_latency_slowdown
from nearlossless.verdicts import Outcome

_GPU_NAME = re.compile(r"^(?!cpu|cuda$)[A-Za-z0-9][A-Za-z0-9 ._()/+-]{1,99}$")
_CPU_NAME = re.compile(r"^cpu-[a-z0-9_]{1,40}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one subject of a record offers; nothing of it is written yet."""

    subject: SubjectRecord
    record: Record
    case: Case
    hardware: str
    dtype: str
    missing: list[Proposal]  # of thresholds that are not in force yet, with values
    kept: list[str]  # thresholds that were measured too, and stay as they are
    left_out: list[Proposal]  # not in force, and not to be had from this record
    tighter: list[Proposal]  # in force, and looser than this record and the kept one need
    renews: bool = False  # whether later records are held against this one: for its latencies, or its warm-up's counts
    refused: str = ""  # why none of it may be written
    unjudged: tuple[str, ...] = ()  # gates that the record accepted before judged and this one did not: that one stays

    def chosen(self, *, tighten: bool) -> list[Proposal]:
        """What would be written: nothing of a refused offer, and tighter values only when asked for."""
        if self.refused:
            return []
        return [*self.missing, *(self.tighter if tighten else [])]

    def can_be_written(self, *, tighten: bool) -> bool:
        """Whether there is anything to write: thresholds, or the record alone."""
        return bool(self.chosen(tighten=tighten)) or (self.renews and not self.refused)

    def written_into(self, text: str, reason: str, chosen: list[Proposal]) -> str:
        """The text of a case file with the chosen thresholds in it; an empty text gives their lines alone."""
        values = {p.name: (p.value, p.basis) for p in chosen if p.value is not None}
        replaced = [proposal.name for proposal in self.tighter]
        because = f"{now()[:10]}: {reason}"
        return with_thresholds(text, self.hardware, self.subject.recipe, values, because=because, replaced=replaced)


def find_offers(report: Path, baselines: Path) -> list[Offer]:
    """
    What each subject of a report's record offers, checked like an untrusted file against the cases here.

    Raises:
        ApprovalError: The record names a recipe, device, backend or hardware that cannot be the case's.
        RecordError: The record is damaged or has another schema.
        CaseError: A case of the record does not exist here.
    """
    path = report / RECORD_FILE
    if not path.exists():
        return []
    if path.is_symlink():
        raise ApprovalError(f"{path}: is a link")
    record = read_record(path)
    titles = [subject.title for subject in record.subjects]
    if len(set(titles)) != len(titles):
        raise ApprovalError(f"{path}: holds a subject twice")
    return list(_offers(record, baselines))


def _offers(record: Record, baselines: Path) -> Iterator[Offer]:
    for subject in record.subjects:
        case = find_case(baselines, subject.case)  # the name of a known case cannot leave the folder
        is_trial = subject.recipe not in case.recipes and subject.recipe == subject.backend.replace(":", ".")
        if is_trial or subject.fingerprint is None:  # a backend of the command line has no thresholds of its own
            continue
        device, hardware = _checked_device(subject, case), _checked_hardware(subject, subject.fingerprint, case)
        in_force = case.thresholds_for(subject.recipe, device, hardware)
        if subject.baseline_does_not_fit != case.baseline_does_not_fit(device, hardware):
            raise ApprovalError(f"{subject.title}: the case has since changed whether its baseline fits {hardware}")
        dtype = subject.fingerprint.picture.dtype
        found = proposals(subject, case.sampling)
        open_ones = [proposal for proposal in found if in_force.value(proposal.name) is None]
        known = {Outcome.REGRESSION, Outcome.WAIVED}
        regressed = [
            f"{v.gate} ended in {v.outcome}"
            for v in subject.verdicts
            if v.outcome in known and not _is_of_warmup_alone(v)
        ]
        accepted = _accepted(accepted_path(baselines / case.name, subject.recipe, hardware, dtype))
        former = _kept(accepted, subject, record)
        unjudged = _unjudged(former, subject)
        yield Offer(
            subject=subject,
            record=record,
            case=case,
            hardware=hardware,
            dtype=dtype,
            missing=[proposal for proposal in open_ones if proposal.value is not None],
            kept=[proposal.name for proposal in found if proposal not in open_ones],
            left_out=[proposal for proposal in open_ones if proposal.value is None],
            tighter=tighter(
                proposals(former, case.sampling) if former is not None else [],
                found,
                {proposal.name: in_force.value(proposal.name) for proposal in found},
            ),
            renews=_has_new_warmup(subject) or (_limits_slowdowns(in_force, subject) and not unjudged),
            refused=", ".join(regressed),
            unjudged=unjudged,
        )


def _is_of_warmup_alone(gone: VerdictRecord) -> bool:
    """Whether nothing but the counts of the warm-up regressed: these are accepted as they are, with a reason."""
    return {check.name for check in gone.checks if check.outcome == Outcome.REGRESSION} == {WARMUP}


def _limits_slowdowns(in_force: Thresholds, subject: SubjectRecord) -> bool:
    """Whether later runs may be only so much slower than this one, which timed something."""
    return max_latency_slowdown(in_force) is not None and bool(subject.speeds.compiled_s)


def _has_new_warmup(subject: SubjectRecord) -> bool:
    return subject.warmup is not None and subject.warmup.counts != subject.warmup.accepted


def _accepted(path: Path) -> Record | None:
    """The record that was accepted before; None without one."""
    if not path.exists():
        return None
    try:
        return read_record(path)
    except RecordError:  # of an earlier version: nothing to tighten by, and no reason to refuse an approval
        return None


def _kept(accepted: Record | None, subject: SubjectRecord, record: Record) -> SubjectRecord | None:
    """The subject as an earlier run measured it; None without one."""
    if accepted is None or accepted.started == record.started:
        return None
    return next((each for each in accepted.subjects if each.title == subject.title), None)


def _unjudged(former: SubjectRecord | None, subject: SubjectRecord) -> tuple[str, ...]:
    """Gates that were judged before and not now."""
    judged = {verdict.gate for verdict in subject.verdicts}
    return tuple(dict.fromkeys(v.gate for v in former.verdicts if v.gate not in judged)) if former else ()


def _renewed(offer: Offer, path: Path) -> Record:
    """
    The record to be kept, with the warm-up's counts accepted before, for other versions too, and this run's.

    A run of some gates takes nothing from a record of more: its samples of the others would be lost.
    """
    accepted = _accepted(path)
    counts = {k: v for each in (accepted.subjects if accepted else ()) for k, v in each.accepted_warmups.items()}
    if (warmup := offer.subject.warmup) is not None:
        counts[warmup.versions] = warmup.counts
    record, subject = offer.record, offer.subject
    if accepted is not None and offer.unjudged:
        record, subject = accepted, next(each for each in accepted.subjects if each.title == subject.title)
    return record.model_copy(update={"subjects": [subject.model_copy(update={"accepted_warmups": counts})]})


def _checked_device(subject: SubjectRecord, case: Case) -> Device:
    recipe = case.recipes.get(subject.recipe)
    if recipe is None or recipe.backend != subject.backend:
        raise ApprovalError(f"{subject.title}: case '{case.name}' has no such recipe with backend '{subject.backend}'")
    for device in case.devices:
        if device == subject.device and (recipe.devices is None or device in recipe.devices):
            return device
    raise ApprovalError(f"{subject.title}: the case and its recipe do not run on this device")


def _checked_hardware(subject: SubjectRecord, fingerprint: Fingerprint, case: Case) -> str:
    picture = fingerprint.picture
    pattern = _GPU_NAME if subject.device == "cuda" else _CPU_NAME
    if not pattern.fullmatch(picture.hardware):
        raise ApprovalError(f"{subject.title}: {picture.hardware!r} is no name of hardware for {subject.device}")
    if picture.dtype not in case.model.dtype.values():
        raise ApprovalError(f"{subject.title}: was measured in {picture.dtype}, which the case does not use")
    return picture.hardware


def accept(offer: Offer, baselines: Path, reason: str, *, tighten: bool = False) -> Path:
    """
    Write an offer's thresholds into its case file and its record beside them, both or neither.

    The new file must load, and say nothing else that the old one did not, before it replaces it. Where no threshold
    is to be written, the record alone replaces the one accepted before; that one stays if it judged more gates.

    Returns:
        The path of the kept record.

    Raises:
        ApprovalError: No reason, a subject that regressed, or a case file that cannot take the lines.
    """
    if not reason.strip():
        raise ApprovalError("a reason is needed: it is kept beside the thresholds")
    if offer.refused:
        raise ApprovalError(f"{offer.subject.title}: {offer.refused}; its figures are no thresholds")
    chosen, folder = offer.chosen(tighten=tighten), baselines / offer.case.name
    record_path = accepted_path(folder, offer.subject.recipe, offer.hardware, offer.dtype)
    files = {record_path: (_renewed(offer, record_path).model_dump_json(indent=1) + "\n").encode("utf-8")}
    if chosen:
        files[folder / CASE_FILE] = _with_chosen(offer, chosen, folder / CASE_FILE, reason).encode("utf-8")
    write_all(files)
    return record_path


def _with_chosen(offer: Offer, chosen: list[Proposal], path: Path, reason: str) -> str:
    former = path.read_bytes().decode("utf-8")
    try:
        text = offer.written_into(former, reason, chosen)
        changed = parse_case(offer.case.name, tomllib.loads(text), path)
    except (EditError, tomllib.TOMLDecodeError) as error:
        raise ApprovalError(f"{path}: {error}") from None
    _check_only_thresholds_changed(offer, chosen, parse_case(offer.case.name, tomllib.loads(former), path), changed)
    return text


def _check_only_thresholds_changed(offer: Offer, chosen: list[Proposal], former: Case, changed: Case) -> None:
    before, after = former.model_dump(exclude_unset=True), changed.model_dump(exclude_unset=True)
    recipes = before.setdefault("overrides", {}).setdefault(offer.hardware, {}).setdefault("recipes", {})
    table = recipes.setdefault(offer.subject.recipe, {})
    added = changed.overrides[offer.hardware].recipes[offer.subject.recipe].because
    table.setdefault("because", added)
    for proposal in chosen:
        band, _, name = proposal.name.rpartition(".")
        (table.setdefault(band, {}) if band else table)[name] = proposal.value
    if before != after:
        raise ApprovalError(f"case '{offer.case.name}': the lines cannot be added safely; add them by hand")
