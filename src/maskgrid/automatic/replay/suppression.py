"""torchvision's ``batched_nms`` in NumPy, with the same float32 arithmetic: the replay need not wait for torch."""

import numpy as np
from numpy.typing import NDArray

# Boxes to compare with each other at once.
_BLOCK = 128
# From more than so many boxes on a CPU, torchvision sorts what it keeps once more, by a sort that is not stable.
_MOST_SORTED_ONCE = 1000


def kept_by_nms(box_xyxy: NDArray[np.float32], scores: NDArray[np.float32], iou_threshold: float) -> NDArray[np.int64]:
    """The positions that non-maximum suppression keeps, best score first; of equal scores the first.

    Args:
        box_xyxy: float32 (n, 4).
        scores: float32 (n,).
        iou_threshold: a box is dropped if its IoU with a better one that is kept is above this.

    Returns:
        int64 (k,), as ``torchvision.ops.boxes.batched_nms`` returns them for boxes of one class on a CPU.
    """
    left = np.argsort(-scores, kind="stable").astype(np.int64)
    kept = [left[:0]]
    while len(left):
        block, rest = left[:_BLOCK], left[_BLOCK:]
        best = block[_best_in_block(_overlaps(box_xyxy[block], box_xyxy[block], iou_threshold))]
        kept.append(best)
        drops = np.zeros(len(rest), np.bool_)
        near = np.flatnonzero(_meets(box_xyxy[best], box_xyxy[rest]))
        drops[near] = _overlaps(box_xyxy[best], box_xyxy[rest[near]], iou_threshold).any(axis=0)
        left = rest[~drops]
    positions = np.concatenate(kept)
    return positions if len(scores) <= _MOST_SORTED_ONCE else _sorted_again(positions, scores)


def _best_in_block(overlaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of some boxes stay, best first, by which of them overlap: bool (n, n)."""
    stays = np.ones(len(overlaps), np.bool_)
    overlaps = np.triu(overlaps, 1)
    for row in np.flatnonzero(overlaps.any(axis=1)):
        if stays[row]:
            stays &= ~overlaps[row]
    return stays


def _meets(some_xyxy: NDArray[np.float32], others_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each other box meets the box around some: bool (n,); of tiles, few do."""
    low, high = some_xyxy[:, :2].min(axis=0), some_xyxy[:, 2:].max(axis=0)
    meets: NDArray[np.bool_] = ((others_xyxy[:, :2] < high) & (others_xyxy[:, 2:] > low)).all(axis=1)
    return meets


def _overlaps(
    first_xyxy: NDArray[np.float32], second_xyxy: NDArray[np.float32], iou_threshold: float
) -> NDArray[np.bool_]:
    """Whether the IoU of each two boxes is above the threshold: bool (n, m)."""
    left, top, right, bottom = first_xyxy.T[:, :, None]
    left2, top2, right2, bottom2 = second_xyxy.T[:, None]
    zero = np.float32(0)
    width = np.maximum(zero, np.minimum(right, right2) - np.maximum(left, left2))
    height = np.maximum(zero, np.minimum(bottom, bottom2) - np.maximum(top, top2))
    shared = width * height
    area, area2 = (right - left) * (bottom - top), (right2 - left2) * (bottom2 - top2)
    with np.errstate(invalid="ignore"):  # two boxes without area
        iou = shared / (area + area2 - shared)
    # A Python float would be rounded to float32; torchvision compares as float64.
    above: NDArray[np.bool_] = iou > np.float64(iou_threshold)
    return above


def _sorted_again(positions: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Many boxes in the order in which torchvision returns them: only torch knows it where scores are equal."""
    positions = np.sort(positions)
    if len(np.unique(scores[positions])) == len(positions):
        return positions[np.argsort(-scores[positions])]
    import torch

    order: NDArray[np.int64] = torch.from_numpy(scores[positions]).sort(descending=True)[1].numpy()
    return positions[order]
