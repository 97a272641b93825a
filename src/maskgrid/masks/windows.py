"""The part of an image that holds a mask, without the pixels of the rest: images may be larger than memory."""

import numpy as np
from numpy.typing import NDArray

from maskgrid.masks.rle import run_lengths


def decode_window(
    counts: bytes, size_hw: tuple[int, int], margin_px: int = 0
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Decode the part of a mask that holds all its pixels.

    Args:
        counts: the mask's compressed code.
        size_hw: the image's height and width in pixels.
        margin_px: how much of the background around it to keep, as far as the image goes.

    Returns:
        The part, bool (h, w), and its first row and column in the image. An empty mask gives one pixel of background.

    Raises:
        ValueError: the runs do not add up to height x width.
    """
    height, width = size_hw
    runs = run_lengths(counts)
    total, pixels = int(runs.sum()), height * width
    if total != pixels or ((runs < 0) | (runs > pixels)).any():
        raise ValueError(f"run lengths add up to {total} and not to {height} x {width} = {pixels} pixels")
    column, first, last = runs_by_column(runs, height)
    if not len(column):
        return np.zeros((1, 1), np.bool_), (0, 0)
    y0, y1 = max(0, int(first.min()) - margin_px), min(height, int(last.max()) + margin_px)
    x0, x1 = max(0, int(column[0]) - margin_px), min(width, int(column[-1]) + 1 + margin_px)
    return _drawn(column - x0, first - y0, last - y0, (y1 - y0, x1 - x0)), (y0, x0)


def decode_rows(
    counts: bytes, size_hw: tuple[int, int], rows: tuple[int, int]
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Decode the part of a mask that lies in some rows, from the first to before the last.

    Returns:
        The columns that hold its pixels there, bool (h, w), and the part's first row and column in the image; of no
        pixels, w is 0.
    """
    top, bottom = rows
    column, first, last = runs_by_column(run_lengths(counts), size_hw[0])
    inside = (first < bottom) & (last > top)
    column, first, last = column[inside], np.maximum(first[inside], top), np.minimum(last[inside], bottom)
    if not len(column):
        return np.zeros((bottom - top, 0), np.bool_), (top, 0)
    left, right = int(column[0]), int(column[-1]) + 1
    return _drawn(column - left, first - top, last - top, (bottom - top, right - left)), (top, left)


def _drawn(
    column: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64], size_hw: tuple[int, int]
) -> NDArray[np.bool_]:
    """Runs of :func:`runs_by_column` as pixels."""
    # Each run begins and ends at another row of its column, so that no place is counted twice.
    steps = np.zeros((size_hw[1], size_hw[0] + 1), np.int8)
    steps[column, first] = 1
    steps[column, last] -= 1
    inside = np.cumsum(steps, axis=1, dtype=np.int8, out=steps)[:, :-1]
    return np.ascontiguousarray(inside.T).view(np.bool_)


def runs_by_column(
    runs: NDArray[np.int64], height: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The runs of a mask, cut at the ends of columns: int64 columns, first rows, and last rows + 1.

    Runs without pixels are left out, and those that touch in a column are joined.
    """
    ends = np.cumsum(runs)
    starts, stops = ends[0 : len(ends) - 1 : 2], ends[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    begins = np.concatenate([np.ones(min(1, len(starts)), np.bool_), starts[1:] > stops[:-1]])
    starts, stops = starts[begins], stops[np.append(begins[1:], True)[: len(begins)]]
    n_columns = (stops - 1) // height - starts // height + 1
    run = np.repeat(np.arange(len(starts)), n_columns)
    within = np.arange(len(run)) - np.repeat(np.cumsum(n_columns) - n_columns, n_columns)
    column = starts[run] // height + within
    first = np.maximum(starts[run] - column * height, 0)
    last = np.minimum(stops[run] - column * height, height)
    return column, first, last
