"""Masks drawn in blocks of pixels, where an image is too large to draw them pixel by pixel, in the image's pixels."""

from dataclasses import replace

import numpy as np
import torch
from sam2.utils.amg import is_box_near_crop_edge

from maskgrid.automatic.candidates import CandidateRows
from maskgrid.automatic.generate.proposals import Crop
from maskgrid.masks import rle
from maskgrid.masks.windows import runs_by_column


def enlarged(rows: CandidateRows, crop: Crop) -> CandidateRows:
    """Bring the rows of masks that were measured in ``crop.in_blocks()`` to the image's pixels.

    Scores stay: they are shares of areas.
    """
    (x0, y0, x1, y1), side = crop.box_xyxy, crop.shrink
    corner = np.array([x0, y0, x0, y0], np.int64)
    boxes = rows.box_xyxy.astype(np.int64) * side + corner
    # Right and bottom edges are inclusive, and the last block of a row may be cut off.
    boxes[:, 2:] = np.minimum(boxes[:, 2:] + side - 1, np.array([x1, y1]) - 1)
    height, width = crop.image_size_hw
    near_edge = is_box_near_crop_edge(torch.from_numpy(boxes - corner), list(crop.box_xyxy), [0, 0, width, height])
    counts = np.full(len(rows), None, np.object_)
    area_px = np.zeros(len(rows), np.int64)
    for row, code in enumerate(rows.counts):
        larger = enlarge_code(code, crop.in_blocks().size_hw, side, crop)
        area_px[row] = rle.area_px(larger, crop.image_size_hw)
        if not near_edge[row]:
            counts[row] = larger
    return replace(
        rows,
        point_xy=rows.point_xy + corner[:2].astype(np.float32),
        near_crop_edge=near_edge.numpy(),
        box_xyxy=boxes.astype(np.int32),
        area_px=area_px.astype(np.int32),
        counts=counts,
    )


def enlarge_code(code: bytes, blocks_hw: tuple[int, int], side: int, crop: Crop) -> bytes:
    """The code, in the image, of a mask of blocks of a crop."""
    x0, y0, x1, y1 = crop.box_xyxy
    height, n_across = blocks_hw[0], blocks_hw[1]
    column, first, last = runs_by_column(rle.run_lengths(code), height)
    tops, bottoms = y0 + first * side, np.minimum(y0 + last * side, y1)
    # Each column of blocks becomes as many columns of pixels, all with its runs.
    n_runs = np.bincount(column, minlength=n_across)
    run_starts = np.concatenate([[0], np.cumsum(n_runs)])
    of_column = np.arange(x1 - x0) // side
    times = n_runs[of_column]
    within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    run = np.repeat(run_starts[of_column], times) + within
    down = np.repeat(np.arange(x0, x1, dtype=np.int64) * crop.image_size_hw[0], times)
    edges = np.stack([down + tops[run], down + bottoms[run]], axis=1).reshape(-1)
    # Where a run ends as the next begins, at the end of a column, they are one.
    is_seam = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    edges = np.delete(edges, np.concatenate([2 * is_seam + 1, 2 * is_seam + 2]))
    return rle.code_of_edges(edges, crop.image_size_hw)
