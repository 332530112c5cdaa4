"""The records of all shards of a run, put together into one."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nearlossless.baselines.candidates import clear_candidates
from nearlossless.collector import collector_paused
from nearlossless.links import is_linked
from nearlossless.record import RECORD_FILE, Record, read_record, write_record
from nearlossless.verdicts import EXIT_REGRESSION, EXIT_UNDECIDED, exit_code


class MergeError(Exception):
    """Records that are no parts of one run; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A shard's record, and the report folder whose pictures it names; None where it lies without them."""

    source: Path
    record: Record
    folder: Path | None


def read_parts(sources: Sequence[Path]) -> list[Part]:
    """
    Read records from report folders or files.

    Raises:
        RecordError: One is missing, damaged or of another schema; names the file.
    """
    parts = []
    for source in sources:
        path = source / RECORD_FILE if source.is_dir() else source
        folder = path.parent if path.name == RECORD_FILE else None
        parts.append(Part(source=source, record=read_record(path), folder=folder))
    return parts


def merge(parts: Sequence[Part]) -> Record:
    """
    One record of all shards, as the run would have written it on one host; what is missing stands in `lacks`.

    Its exit status is the worst of the parts' own, of all verdicts, and of what is missing.

    Raises:
        MergeError: Nothing to merge, no shards, shards of different runs, commits or versions, or one of them twice.
    """
    _check(parts)
    shards = {part.record.shard.number: part.record for part in parts if part.record.shard is not None}
    of = next(record.shard.of for record in shards.values() if record.shard is not None)
    ordered = [shards[number] for number in sorted(shards)]
    subjects = [subject for record in ordered for subject in record.subjects]
    lacks = [f"shard {number}/{of} is missing" for number in range(1, of + 1) if number not in shards]
    lacks += [lack for record in ordered for lack in record.lacks]
    codes = [record.exit_status for record in ordered if record.exit_status is not None]
    codes.append(exit_code([verdict.outcome for subject in subjects for verdict in subject.verdicts]))
    first = min(ordered, key=lambda record: record.started)
    return first.model_copy(
        update={
            "command": "; ".join(dict.fromkeys(record.command for record in ordered)),
            "subjects": sorted(subjects, key=lambda subject: subject.case),
            "shard": None,
            "exit_status": worst([*codes, EXIT_UNDECIDED if lacks else 0]),
            "lacks": lacks,
        }
    )


def worst(codes: Sequence[int]) -> int:
    """Of exit codes: a regression or failed test first, then runs that broke off, then missing evidence."""
    if EXIT_REGRESSION in codes:
        return EXIT_REGRESSION
    return next((code for code in codes if code not in {0, EXIT_UNDECIDED}), max(codes))


def _check(parts: Sequence[Part]) -> None:
    if not parts:
        raise MergeError("no record to merge")
    _check_software(parts)
    seen: dict[int, Path] = {}
    subjects: dict[str, Path] = {}
    for part in parts:
        shard, first = part.record.shard, parts[0].record.shard
        if shard is None or first is None:
            name = part.source if shard is None else parts[0].source
            raise MergeError(f"{name}: is no shard's record; runs with --shard K/N write them")
        if (shard.of, shard.selection) != (first.of, first.selection):
            raise MergeError(f"{part.source} (shard {shard}) is of another run than {parts[0].source} (shard {first})")
        if shard.number in seen:
            raise MergeError(f"shard {shard} is there twice: {seen[shard.number]} and {part.source}")
        seen[shard.number] = part.source
        for subject in part.record.subjects:
            if subject.title in subjects:
                raise MergeError(f"{subject.title} is in two shards: {subjects[subject.title]} and {part.source}")
            subjects[subject.title] = part.source


def _check_software(parts: Sequence[Part]) -> None:
    """Shards of one run start when their hosts do, but from one commit, which not every host can tell."""
    versions = [(part, part.record.nearlossless_version) for part in parts]
    commits = [(part, part.record.commit) for part in parts if part.record.commit is not None]
    for what, found in (("nearlossless", versions), ("commit", commits)):
        for part, value in found:
            first, expected = found[0]
            if value != expected:
                raise MergeError(
                    f"{part.source} ({what} {value}) is of another run than {first.source} ({what} {expected})"
                )


def merge_reports(sources: Sequence[Path], folder: Path) -> Record:
    """
    Merge shards' report folders or records, and write record and pictures into a folder of their own.

    Raises:
        RecordError: See `read_parts`.
        MergeError: See `merge` and `copy_pictures`; no record was written.
        OSError: Something cannot be read or written.
    """
    with collector_paused():  # from the first record read to the last one written
        parts = read_parts(sources)
        merged = merge(parts)
        copy_pictures(parts, folder)
        write_record(merged, folder)
    return merged


def copy_pictures(parts: Sequence[Part], folder: Path) -> None:
    """
    Copy pictures and candidates into the merged report's folder; links are left where they are.

    Candidates of a former merge go: they are none of these shards'.

    Raises:
        MergeError: Two shards have another file of the same name, or the folder is one of theirs.
        OSError: Something cannot be read or written.
    """
    copies: dict[Path, Path] = {}
    for part in parts:
        if part.folder is None:
            continue
        if part.folder.resolve() == folder.resolve():
            raise MergeError(f"{folder}: is the report folder of shard {part.record.shard}; name another")
        for path in _pictures(part.folder):
            target = folder / path.relative_to(part.folder)
            if target in copies and copies[target].read_bytes() != path.read_bytes():
                raise MergeError(f"{copies[target]} and {path} differ, and would be one file")
            copies[target] = path
    clear_candidates(folder)
    for target, path in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _pictures(report: Path) -> Iterator[Path]:
    """The files in a report's folders; those beside them are the reports, which are written anew."""
    for folder in sorted(report.iterdir()):
        if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
            yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not is_linked(path, folder))
