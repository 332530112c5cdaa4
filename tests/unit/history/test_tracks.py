"""Lining records up: what is comparable with what, and what is left out by name."""

from datetime import UTC, datetime

import pytest
from tests.unit.history.conftest import Night

from nearlossless.environment import Fingerprint
from nearlossless.history.figures import FIGURES
from nearlossless.history.store import Entry
from nearlossless.history.tracks import Track, Wanted, differences, line_up
from nearlossless.record import Record


def entries(*records: Record) -> list[Entry]:
    """Records as the store hands them out."""
    return [
        Entry(name=f"{i}.json", started=datetime(2026, 1, 1 + i, tzinfo=UTC), record=record)
        for i, record in enumerate(records)
    ]


def lengths(tracks: list[Track], *, holds_times: bool) -> dict[str, int]:
    """Number of runs by title."""
    return {track.title: len(track.points) for track in tracks if track.holds_times == holds_times}


def fingerprint(record: Record) -> Fingerprint:
    """Of the only subject."""
    found = record.subjects[0].fingerprint
    assert found is not None
    return found


def test_times_are_kept_apart_by_gpu_and_pictures_by_model(night: Night) -> None:
    """Two GPUs of one model have two tracks of times and share one of pictures and memory."""
    tracks, skipped = line_up(entries(night(0), night(1, uuid="GPU-9"), night(2)), Wanted())
    name = "miniature / inductor / cpu (NVIDIA H20"
    assert lengths(tracks, holds_times=True) == {f"{name}, GPU-1a2b)": 2, f"{name}, GPU-9)": 1}
    assert lengths(tracks, holds_times=False) == {f"{name})": 3}
    assert skipped == []


def test_other_power_limit_is_another_track_and_says_so(night: Night) -> None:
    """What else tells two tracks of one GPU apart stands in their titles."""
    tracks, _ = line_up(entries(night(0), night(1, power_limit_w=400.0)), Wanted())
    assert [title.rpartition(", ")[2] for title in lengths(tracks, holds_times=True)] == [
        "power_limit_w 400.0)",
        "power_limit_w 500.0)",
    ]


def test_upgrades_stay_on_one_track(night: Night) -> None:
    """Another version of torch is what a history is for: it does not begin a new track."""
    tracks, _ = line_up(entries(night(0), night(1, stack={"torch": "2.14.0"})), Wanted())
    assert list(lengths(tracks, holds_times=True).values()) == [2]


def test_recipes_are_kept_apart(night: Night) -> None:
    """Another recipe of the same case is another track."""
    other = night(1)
    other.subjects[0].recipe = "inductor-max"
    tracks, _ = line_up(entries(night(0), other), Wanted())
    assert sorted(lengths(tracks, holds_times=True).values()) == [1, 1]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(), 2),
        (Wanted(case="miniature"), 2),
        (Wanted(case="mini"), 0),
        (Wanted(recipe="inductor"), 2),
        (Wanted(recipe="nexfort"), 0),
        (Wanted(gpu="gpu-9"), 1),
        (Wanted(gpu="h20"), 2),
        (Wanted(gpu="h100"), 0),
    ],
)
def test_wanted_are_chosen(night: Night, wanted: Wanted, count: int) -> None:
    """Case and recipe by their whole names, a GPU by a part of its name or UUID."""
    tracks, _ = line_up(entries(night(0), night(1, uuid="GPU-9")), wanted)
    assert sum(lengths(tracks, holds_times=True).values()) == count


def test_unknown_device_is_left_out_by_name(night: Night) -> None:
    """A subject that does not say on what it ran is on no track, and named."""
    unknown = night(1)
    unknown.subjects[0].fingerprint = None
    tracks, skipped = line_up(entries(night(0), unknown), Wanted())
    assert list(lengths(tracks, holds_times=True).values()) == [1]
    assert ["1.json" in reason and "does not say" in reason for reason in skipped] == [True]


def test_subject_that_stands_there_twice_is_counted_never(night: Night) -> None:
    """A record that holds a subject twice gives none of both, and is named."""
    double = night(0)
    double.subjects *= 2
    tracks, skipped = line_up(entries(double), Wanted())
    assert tracks == []
    assert all("more than once" in reason for reason in skipped)
    assert skipped


def test_unusable_values_are_counted_apart(night: Night) -> None:
    """A run with a latency of zero is no point of the series, and is told as left out."""
    tracks, _ = line_up(entries(night(0), night(1, factor=0.0)), Wanted())
    (track,) = [track for track in tracks if track.holds_times]
    figure = FIGURES["compiled-latency"]
    assert (len(track.usable(figure)), track.unusable(figure)) == (1, 1)


def test_differences_name_packages_drivers_and_variables(night: Night) -> None:
    """Everything of the stack that differs is told, what came and what went, and nothing that stayed."""
    before = fingerprint(night(0, stack={"torch": "2.12.0", "gpu driver": "550.1", "NEXFORT_X": "1", "python": "3.11"}))
    after = fingerprint(night(1, stack={"torch": "2.13.0", "gpu driver": "560.2", "NEXFORT_Y": "0", "python": "3.11"}))
    assert sorted(differences(before, after)) == [
        "NEXFORT_X: 1 -> absent",
        "NEXFORT_Y: absent -> 0",
        "gpu driver: 550.1 -> 560.2",
        "torch: 2.12.0 -> 2.13.0",
    ]


def test_differences_name_device_settings(night: Night) -> None:
    """On a track of pictures the device may change under the same model: that is told, too."""
    found = differences(fingerprint(night(0)), fingerprint(night(1, uuid="GPU-9")))
    assert found == ["device_uuid: GPU-1a2b -> GPU-9"]
