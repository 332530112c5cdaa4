"""The training pictures: drawn once in parallel, kept as arrays on disk, one file a picture size."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from nearlossless.miniature.world import draw, scene_at

# Share of the pictures drawn at each (height, width); most at the default size, some at all the others.
SIZE_SHARES = {
    (128, 128): 0.72,
    (64, 64): 0.05,
    (96, 160): 0.05,
    (160, 96): 0.05,
    (192, 192): 0.04,
    (128, 256): 0.03,
    (256, 128): 0.03,
    (256, 256): 0.03,
}
_CHUNK = 200


def _name(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _draw_chunk(path: Path, size: tuple[int, int], seed: int, start: int, stop: int) -> int:
    pictures_BHWC = np.load(path, mmap_mode="r+")
    for index in range(start, stop):
        pictures_BHWC[index] = np.asarray(draw(scene_at(index, seed=seed), *size))
    return stop - start


def draw_pictures(folder: Path, count: int, *, seed: int = 0) -> None:
    """
    Draw about `count` training pictures over all sizes, using every core.

    A size that was drawn whole before is kept, so that an interrupted run goes on where it stood.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, (size, share) in enumerate(SIZE_SHARES.items()):
        path, captions = folder / f"{_name(size)}.npy", folder / f"{_name(size)}.json"
        if captions.exists():
            continue
        size_count, size_seed = max(64, round(count * share)), seed * 1000 + number
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(size_count, *size, 3)).flush()
        with ProcessPoolExecutor(os.cpu_count()) as pool, tqdm(total=size_count, desc=f"draw {_name(size)}") as bar:
            futures = [
                pool.submit(_draw_chunk, path, size, size_seed, start, min(start + _CHUNK, size_count))
                for start in range(0, size_count, _CHUNK)
            ]
            for future in futures:
                bar.update(future.result())
        texts = [scene_at(index, seed=size_seed).caption for index in range(size_count)]
        captions.write_text(json.dumps(texts), encoding="utf-8")


class Pictures:
    """All drawn pictures; on a GPU they are kept in its memory, on a CPU they are read from disk as needed."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        self.captions: dict[tuple[int, int], list[str]] = {}
        self._arrays: dict[tuple[int, int], Tensor] = {}
        for size in SIZE_SHARES:
            self.captions[size] = json.loads((folder / f"{_name(size)}.json").read_text(encoding="utf-8"))
            array = torch.from_numpy(np.load(folder / f"{_name(size)}.npy", mmap_mode="c"))
            self._arrays[size] = array.to(device) if device.type == "cuda" else array

    def batch(self, size: tuple[int, int], indices: Tensor) -> Tensor:
        """Pictures of one size as floats of shape (B, 3, H, W) in [-1, 1]."""
        pixels_BHWC = self._arrays[size][indices.to(self._arrays[size].device)]
        return pixels_BHWC.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1

    def chunks(self, size: tuple[int, int], length: int) -> Iterator[Tensor]:
        """All pictures of one size, in order, as batches of at most `length`."""
        for start in range(0, len(self.captions[size]), length):
            yield self.batch(size, torch.arange(start, min(start + length, len(self.captions[size]))))
