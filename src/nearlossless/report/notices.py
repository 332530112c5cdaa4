"""What makes a run red beside its verdicts."""

from nearlossless.record import Record
from nearlossless.verdicts import exit_code


def notices(record: Record) -> list[str]:
    """What was to be in a record and is not; else why its run did not end as the verdicts alone would have it."""
    if record.lacks:
        return record.lacks
    code = exit_code([verdict.outcome for subject in record.subjects for verdict in subject.verdicts])
    if record.exit_status is None or record.exit_status == code:
        return []
    return [
        f"the run ended with exit code {record.exit_status}, by its verdicts alone {code}: its log says what failed"
    ]


def part_of_a_run(record: Record) -> str:
    """That this is one shard; empty where it is the whole run."""
    return f"shard {record.shard}: only a part of the run" if record.shard is not None else ""
