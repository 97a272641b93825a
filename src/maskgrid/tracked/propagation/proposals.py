"""Automatic masks of a frame, and which of them are objects that nobody follows yet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.masks import rle


@dataclass(frozen=True, slots=True)
class Proposal:
    """An automatic mask: COCO's compressed counts, and the IoU that the network predicts for it."""

    counts: bytes
    predicted_iou: float
    area_px: int


def propose(generator: MaskGenerator, pixels: NDArray[np.uint8]) -> list[Proposal]:
    """Generate the masks of a frame, best first."""
    records = generator.replay(generator.candidates(pixels), output_mode="coco_rle")
    found = [
        Proposal(one["segmentation"]["counts"].encode("ascii"), one["predicted_iou"], int(one["area"]))
        for one in records
    ]
    return sorted(found, key=lambda one: (-one.predicted_iou, -one.area_px, one.counts))


def new_objects(
    proposals: Sequence[Proposal], tracked: Sequence[bytes], size_hw: tuple[int, int], options: AutomaticConfig
) -> list[Proposal]:
    """Select the proposals of untracked objects, one per object.

    Args:
        proposals: best first.
        tracked: the masks of tracked objects on the same frame.
        size_hw: the frame's height and width.
        options: the overlap from which two masks are the same object.

    Returns:
        The selected proposals, best first.
    """
    unknown = [one for one in proposals if not _is_one_of(one, tracked, size_hw, options)]
    distinct: list[Proposal] = []
    for one in unknown:
        if rle.pairwise_iou([one.counts], [two.counts for two in distinct], size_hw).max(initial=0) < (
            options.join_iou_thresh
        ):
            distinct.append(one)
    return [one for one in distinct if not _is_part(one, distinct, size_hw, options.join_containment_thresh)]


def _is_one_of(one: Proposal, tracked: Sequence[bytes], size_hw: tuple[int, int], options: AutomaticConfig) -> bool:
    iou = rle.pairwise_iou([one.counts], tracked, size_hw).max(initial=0)
    inside = rle.containment([one.counts], tracked, size_hw).max(initial=0)
    return bool(iou >= options.join_iou_thresh or inside > options.join_containment_thresh)


def _is_part(one: Proposal, others: Sequence[Proposal], size_hw: tuple[int, int], threshold: float) -> bool:
    larger = [other.counts for other in others if other.area_px > one.area_px]
    return bool(rle.containment([one.counts], larger, size_hw).max(initial=0) > threshold)
