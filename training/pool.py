"""Draw scenes before training and keep them in a file."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgrid.dataset.demo import Style, draw_scene
from maskgrid.io.files import atomic_write


@dataclass(frozen=True, slots=True)
class Pool:
    """Many scenes of one size, their masks packed to bits.

    Attributes:
        images: (n, S, S, 3) uint8.
        bits: (M, S * S / 8) uint8, the masks of all scenes in a row.
        first: (n + 1,) int64; the masks of scene ``i`` are ``bits[first[i]:first[i + 1]]``.
        shortfall: how far the answer to each mask's box falls short, (M,) float32, see :mod:`training.shortfall`;
            None if not measured.
    """

    images: NDArray[np.uint8]
    bits: NDArray[np.uint8]
    first: NDArray[np.int64]
    shortfall: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def masks(self, index: int) -> NDArray[np.bool_]:
        """The masks of one scene, (N, S, S) bool, every whole before its parts."""
        side = self.images.shape[1]
        bits = self.bits[self.first[index] : self.first[index + 1]]
        return np.unpackbits(bits, axis=1).view(np.bool_).reshape(-1, side, side)

    def shortfall_of(self, index: int) -> NDArray[np.float32] | None:
        """The shortfall of one scene's masks, (N,)."""
        return None if self.shortfall is None else self.shortfall[self.first[index] : self.first[index + 1]]


def drawn_pool(path: Path, seeds: range, side_px: int, style: Style, workers: int) -> Pool:
    """Load the pool in ``path``, or draw it and save it there.

    Args:
        path: the file; if it exists, it is assumed to hold these scenes, without a check.
        seeds: one seed per scene.
        side_px: width and height of the scenes.
        style: their difficulty.
        workers: number of processes that draw.
    """
    if not path.exists():
        _save(_draw(seeds, side_px, style, workers), path)
    with np.load(path) as content:
        return Pool(content["images"], content["bits"], content["first"])


def _draw(seeds: range, side_px: int, style: Style, workers: int) -> Pool:
    draw = partial(_draw_one, side_px=side_px, style=style)
    if workers == 1:
        return _pack([draw(seed) for seed in seeds])
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as executor:
        return _pack(list(executor.map(draw, seeds, chunksize=16)))


def _draw_one(seed: int, side_px: int, style: Style) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A scene's image and masks; masks are packed to bits because thousands of scenes are in memory at once."""
    scene = draw_scene(seed, (side_px, side_px), style)
    return scene.image, np.packbits(scene.masks.reshape(-1, side_px * side_px), axis=1)


def _pack(scenes: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Pool:
    scenes = [(image, bits) for image, bits in scenes if len(bits)]
    images, bits = zip(*scenes, strict=True)
    first = np.concatenate([[0], np.cumsum([len(some) for some in bits])]).astype(np.int64)
    return Pool(np.stack(images), np.concatenate(bits), first)


def _save(pool: Pool, path: Path) -> None:
    with atomic_write(path) as stream:
        np.savez(stream, images=pool.images, bits=pool.bits, first=pool.first)
