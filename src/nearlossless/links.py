"""Whether a file lies where its path says: what a link stands for may be anything."""

from pathlib import Path


def is_linked(path: Path, root: Path) -> bool:
    """Whether a file, or a folder on the way to it from `root` on, is a symbolic link."""
    return any(each.is_symlink() for each in (path, *path.parents) if each.is_relative_to(root))
