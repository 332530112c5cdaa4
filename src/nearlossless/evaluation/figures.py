"""What is read out of all results together: figures for quantiles and plots, features for distances, a hash."""

import hashlib
import math
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from nearlossless.evaluation.results import PromptResult
from nearlossless.evaluation.store import Store

QUANTILES: Final = (0.001, 0.01, 0.05, 0.25, 0.5)  # counted from the bad end
# Name, which end is bad, and how it is read of a result.
FIGURES: Final[dict[str, tuple[bool, Callable[[PromptResult], float | None]]]] = {
    "worst-tile SSIM": (True, lambda result: result.scores.worst_tile_ssim if result.scores else None),
    "PSNR, dB": (True, lambda result: result.scores.psnr_db if result.scores else None),
    "colour difference": (False, lambda result: result.scores.worst_tile_colour_difference if result.scores else None),
    "CLIP drop, points": (False, lambda result: result.clip_drop),
    "CLIP, baseline": (True, lambda result: result.baseline_clip),
    "CLIP, recipe": (True, lambda result: result.compiled_clip),
}


def columns(results: Iterable[PromptResult]) -> dict[str, np.ndarray]:
    """Each figure of all results, eight bytes a prompt; NaN where it was not computed."""
    found = {name: array("d") for name in FIGURES}
    for result in results:
        for name, (_, read) in FIGURES.items():
            value = read(result)
            found[name].append(math.nan if value is None else value)
    return {name: np.frombuffer(values) for name, values in found.items()}


def quantiles(found: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """
    The figure that so large a share of the prompts does not reach, or exceeds: `{"1 %": 0.97}`.

    A share of less than one prompt is left out: the single worst is chance.
    """
    told: dict[str, dict[str, float]] = {}
    for name, values in found.items():
        known = values[~np.isnan(values)]
        if not len(known):
            continue
        low_is_bad = FIGURES[name][0]
        told[name] = {
            f"{100 * share:g} %": float(
                np.quantile(known, share if low_is_bad else 1 - share, method="lower" if low_is_bad else "higher")
            )
            for share in QUANTILES
            if share * len(known) >= 1
        }
    return told


@contextmanager
def features_of(store: Store, judged: int) -> Iterator[dict[str, "RowsOnDisk"]]:
    """
    The features of the prompts judged, by column, in files that are gone with this block.

    Prompts without features have no row. A column that nobody computed has none, of no numbers.
    """
    with tempfile.TemporaryDirectory(dir=store.folder, prefix=".features-") as folder:
        files = {name: (Path(folder) / name).open("wb") for name in _COLUMNS}
        sizes = dict.fromkeys(_COLUMNS, 0)
        for result in islice(store.finished(with_features=True), judged):
            for name, file in files.items():
                content = getattr(result, name)
                if content is not None:
                    sizes[name] = len(content) // 2
                    file.write(content)
        for file in files.values():
            file.close()
        yield {name: RowsOnDisk(Path(folder) / name, size) for name, size in sizes.items()}


_COLUMNS = ("baseline_features", "compiled_features", "baseline_network", "compiled_network")


class RowsOnDisk:
    """Rows of a file, read when they are asked for: pages of a map would count as memory, sixteen for each row."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        count = path.stat().st_size // (2 * size) if size else 0
        self.shape = (count, size)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """A copy of the rows with these places, by a slice without a step or by an array of numbers."""
        count, size = self.shape
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(count)
            wanted = max(0, stop - start)
            found = np.fromfile(self._path, dtype="<f2", count=wanted * size, offset=2 * size * start)
            return found.reshape(wanted, size)
        found = np.empty((len(rows), size), dtype="<f2")
        with self._path.open("rb") as file:
            for place, row in enumerate(rows):
                file.seek(2 * size * int(row))
                file.readinto(memoryview(found[place]).cast("B"))
        return found


def results_sha256(results: Iterable[PromptResult]) -> str:
    """Of every value of every result, in the order given."""
    digest = hashlib.sha256()
    for result in results:
        values = [getattr(result, name) for name in result.__slots__ if name != "scores"]
        digest.update(repr((values, result.scores)).encode())
    return digest.hexdigest()
