"""One mask a pixel: masks that overlap, painted into one picture of numbers."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from maskgrid.config.exports import Order
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.windows import decode_rows
from maskgrid.results.exports.source import mask_of, score_of

# A larger image is painted in strips of about so many pixels.
_MOST_AT_ONCE_PX, _STRIP_PX = 100_000_000, 1 << 23

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


def is_large(size_hw: tuple[int, int]) -> bool:
    """Whether an image is painted in strips."""
    return size_hw[0] * size_hw[1] > _MOST_AT_ONCE_PX


def label_strips(entries: Sequence[Entry], size_hw: tuple[int, int], order: Order) -> Iterator[Labels]:
    """The same picture from top to bottom: whole, or in strips if it is large."""
    height, width = size_hw
    if not is_large(size_hw):
        yield paint_labels(entries, size_hw, order)
        return
    winners_last = _winners_first(entries, order)[::-1]
    codes = [mask_of(entries[place])[0] for place in winners_last]
    boxes = rle.true_boxes_xyxy(codes, size_hw)
    n_rows = max(1, _STRIP_PX // width)
    for top in range(0, height, n_rows):
        bottom = min(top + n_rows, height)
        labels = np.zeros((bottom - top, width), np.uint32)
        for number in np.flatnonzero((boxes[:, 1] < bottom) & (boxes[:, 3] > top)).tolist():
            part, (_, left) = decode_rows(codes[number], size_hw, (top, bottom))
            labels[:, left : left + part.shape[1]][part] = winners_last[number] + 1
        yield labels


def visible_px(labels: Labels, n_masks: int) -> NDArray[np.int64]:
    """Pixels of each mask in the picture, or in a strip of it: int64 (n_masks,)."""
    return np.bincount(labels.reshape(-1), minlength=n_masks + 1)[1:].astype(np.int64)


def _winners_first(entries: Sequence[Entry], order: Order) -> list[int]:
    keys = {
        "smallest_first": lambda place: entries[place]["area"],
        "largest_first": lambda place: -entries[place]["area"],
        "best_score_first": lambda place: -score_of(entries[place]),
    }
    return sorted(range(len(entries)), key=keys[order])
