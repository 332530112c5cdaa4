"""How candidates for expected pictures leave a report folder: taken over, or with the run that drew them."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nearlossless.baselines.expected import CANDIDATES, EXPECTED
from nearlossless.links import is_linked


def clear_candidates(report: Path) -> None:
    """
    Remove all candidates, so that nobody accepts a former run's for those of the next.

    What is reached through a link stays, and cannot be accepted.

    Raises:
        OSError: One cannot be removed.
    """
    root = report / CANDIDATES
    found = [path for path in root.glob(f"*/*/{EXPECTED}/*") if not is_linked(path, root)]
    remove_candidates(found, report)


def remove_candidates(files: Iterable[Path], report: Path) -> None:
    """
    Remove files of candidates, and the folders that they leave empty.

    Raises:
        OSError: One cannot be removed.
    """
    for path in files:
        path.unlink()
        for folder in list(path.relative_to(report).parents)[:-1]:  # all but the report folder itself
            with suppress(OSError):  # something else is in it
                (report / folder).rmdir()
