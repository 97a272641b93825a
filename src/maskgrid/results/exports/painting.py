"""One mask a pixel: masks that overlap, painted into one picture of numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskgrid.config.exports import Order
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.results.exports.source import mask_of, score_of

Labels = NDArray[np.uint32]  # (H, W); 0 for no mask, else the mask's place in its image, from 1


def paint_labels(entries: Sequence[Entry], size_hw: tuple[int, int], order: Order) -> Labels:
    """Give each pixel the number of one mask: its place among ``entries``, from 1; 0 where there is none.

    Of masks with the same size or score, the first in the file wins.
    """
    flat = np.zeros(size_hw[0] * size_hw[1], np.uint32)  # down the columns, as the runs go
    for place in reversed(_winners_first(entries, order)):
        counts, _ = mask_of(entries[place])
        ends = np.cumsum(rle.run_lengths(counts)).tolist()
        for start, end in zip(ends[0::2], ends[1::2], strict=False):
            flat[start:end] = place + 1
    return np.ascontiguousarray(flat.reshape(size_hw[1], size_hw[0]).T)


def visible_px(labels: Labels, n_masks: int) -> list[int]:
    """Pixels of each mask in the picture."""
    counts: list[int] = np.bincount(labels.reshape(-1), minlength=n_masks + 1)[1:].tolist()
    return counts


def _winners_first(entries: Sequence[Entry], order: Order) -> list[int]:
    keys = {
        "smallest_first": lambda place: entries[place]["area"],
        "largest_first": lambda place: -entries[place]["area"],
        "best_score_first": lambda place: -score_of(entries[place]),
    }
    return sorted(range(len(entries)), key=keys[order])
