"""Nightly records made from one that is full."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from nearlossless.record import Record

Night = Callable[..., Record]


@pytest.fixture
def night(full_record: Record) -> Night:
    """Makes the record of a night; keywords change its device, its stack, and its latencies by a factor."""

    def make(
        day: int,
        *,
        factor: float = 1.0,
        uuid: str = "GPU-1a2b",
        hardware: str = "NVIDIA H20",
        power_limit_w: float = 500.0,
        stack: dict[str, str] | None = None,
    ) -> Record:
        record = full_record.model_copy(deep=True)
        record.started = (datetime(2026, 1, 1, 3, tzinfo=UTC) + timedelta(days=day)).isoformat(timespec="seconds")
        subject = record.subjects[0]
        assert subject.fingerprint is not None
        timing = subject.fingerprint.timing
        picture = timing.picture.model_copy(update={"hardware": hardware})
        changes = {"picture": picture, "device_uuid": uuid, "power_limit_w": power_limit_w}
        subject.fingerprint = subject.fingerprint.model_copy(
            update={"timing": timing.model_copy(update=changes), "stack": stack or {"torch": "2.13.0"}}
        )
        subject.speeds.compiled_s = [factor * seconds for seconds in subject.speeds.compiled_s]
        return record

    return make
