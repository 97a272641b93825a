"""Candidates: the masks that a pass proposed for an image and that clear the floor."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.passes import Pass, Recording


@dataclass(frozen=True, slots=True)
class CandidateRows:
    """Candidates of one image and one pass, a row for each mask at each recorded ``mask_threshold``.

    All arrays have n rows, ordered by ``candidate_id`` and then by ``mask_threshold``.

    Attributes:
        candidate_id: int32; (crop x points + point) x masks per point + mask: what was asked, not what was kept, so
            that it does not depend on the floor.
        crop_index: int16, which crop of the layer, in sam2's order.
        point_xy: float32 (n, 2), the prompt in image pixels.
        predicted_iou: float32.
        mask_threshold: float64, the level at which the mask is drawn.
        stability_scores: float32 (n, offsets), one column for each recorded offset.
        near_crop_edge: bool; the mask's box touches a crop's edge inside the image, and sam2 drops it.
        box_xyxy: int32 (n, 4), sam2's box in image pixels, right and bottom edge inclusive.
        area_px: int32, pixels of the mask.
        counts: COCO's compressed run-length code of the mask in the image; None near a crop's edge.
    """

    candidate_id: NDArray[np.int32]
    crop_index: NDArray[np.int16]
    point_xy: NDArray[np.float32]
    predicted_iou: NDArray[np.float32]
    mask_threshold: NDArray[np.float64]
    stability_scores: NDArray[np.float32]
    near_crop_edge: NDArray[np.bool_]
    box_xyxy: NDArray[np.int32]
    area_px: NDArray[np.int32]
    counts: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.candidate_id)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """The rows at these positions, or where the mask is true."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def empty(cls, n_offsets: int) -> Self:
        """No rows."""
        return cls(
            np.empty(0, np.int32),
            np.empty(0, np.int16),
            np.empty((0, 2), np.float32),
            np.empty(0, np.float32),
            np.empty(0, np.float64),
            np.empty((0, n_offsets), np.float32),
            np.empty(0, np.bool_),
            np.empty((0, 4), np.int32),
            np.empty(0, np.int32),
            np.empty(0, np.object_),
        )

    @classmethod
    def concatenate(cls, parts: list[Self], n_offsets: int) -> Self:
        """All rows of the parts, in order."""
        if not parts:
            return cls.empty(n_offsets)
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class Candidates:
    """All that a pass of the network found out about one image.

    Attributes:
        pass_: the pass.
        recording: the floor and the levels.
        size_hw: the image's height and width in pixels.
        crop_boxes_xyxy: int32 (crops, 4), the layer's crops in image pixels.
        proposed_iou: float32, the predicted IoU of every mask that the network proposed, sorted: what a threshold
            drops can be counted whatever the floor was.
        rows: the candidates.
        dtype: the network's arithmetic, such as ``bfloat16``; scores are numbers of it, and compared in it.
    """

    pass_: Pass
    recording: Recording
    size_hw: tuple[int, int]
    crop_boxes_xyxy: NDArray[np.int32]
    proposed_iou: NDArray[np.float32]
    rows: CandidateRows
    dtype: str = "float32"
