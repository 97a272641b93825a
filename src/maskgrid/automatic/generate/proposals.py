"""Crops of an image and the masks proposed in them, measured at every recorded level: the rows that a replay reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.utils.amg import (
    batch_iterator,
    batched_mask_to_box,
    calculate_stability_score,
    generate_crop_boxes,
    is_box_near_crop_edge,
    uncrop_points,
)
from torch import Tensor

from maskgrid.automatic.candidates import CandidateRows
from maskgrid.dataset.pixels.windows import Picture, shrink_of, shrunk
from maskgrid.masks.rle import encode_windows
from maskgrid.network.predictor import Extent
from maskgrid.plan.passes import Pass, Recording
from maskgrid.plan.tiles import tile_boxes


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop of an image: its position in the layer and its box (x0, y0, x1, y1) in image pixels.

    Attributes:
        shrink: side in pixels of the blocks in which it is seen and its masks are drawn; 1 unless it is too large.
    """

    index: int
    box_xyxy: tuple[int, int, int, int]
    image_size_hw: tuple[int, int]
    shrink: int = 1

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the crop."""
        x0, y0, x1, y1 = self.box_xyxy
        return y1 - y0, x1 - x0

    @property
    def is_empty(self) -> bool:
        """Whether it has no pixels, as in layers of a tiny image; sam2 fails on these."""
        return 0 in self.size_hw

    def cut(self, picture: Picture) -> NDArray[np.uint8]:
        """The crop as it is seen: uint8 (h, w, 3)."""
        return shrunk(picture, self.box_xyxy, self.shrink)

    def of_picture(self, picture: Picture) -> Self:
        """The crop as it is seen in a picture: in blocks, if the picture and the crop are too large to be held."""
        if picture.shrink == 1:
            return self
        return replace(self, shrink=shrink_of(self.size_hw))

    def in_blocks(self) -> "Crop":
        """The crop as an image of its own, of which each block is a pixel."""
        height, width = (-(-side // self.shrink) for side in self.size_hw)
        return Crop(self.index, (0, 0, width, height), (height, width))


def crops_of(picture: Picture, pass_: Pass) -> list[Crop]:
    """List a pass's crops of a picture, as they are seen."""
    return [crop.of_picture(picture) for crop in layer_crops(picture.size_hw, pass_)]


def layer_crops(size_hw: tuple[int, ...], pass_: Pass) -> Iterator[Crop]:
    """The crops of the pass's layer, as sam2 places them, or its tiles."""
    if pass_.tile_px is not None:
        for index, box in enumerate(tile_boxes(size_hw, *pass_.tile_px)):
            yield Crop(index, box, (int(size_hw[0]), int(size_hw[1])))
        return
    boxes, layers = generate_crop_boxes(size_hw, pass_.layer, pass_.overlap_ratio or 0.0)
    of_layer = [box for box, layer in zip(boxes, layers, strict=True) if layer == pass_.layer]
    for index, (x0, y0, x1, y1) in enumerate(of_layer):
        yield Crop(index, (x0, y0, max(x0, x1), max(y0, y1)), (int(size_hw[0]), int(size_hw[1])))


@dataclass(frozen=True, slots=True)
class Proposals:
    """The decoder's masks for one batch of prompts, n of them, at its own resolution.

    Attributes:
        logits: float32 (n, h, w).
        predicted_iou: (n,), in the network's arithmetic.
        point_xy: float32 (n, 2), prompts in pixels of the crop; on the CPU, like the ids.
        candidate_id: int64 (n,).
    """

    logits: Tensor
    predicted_iou: Tensor
    point_xy: Tensor
    candidate_id: Tensor

    def keep(self, mask: Tensor) -> "Proposals":
        """The proposals where the mask is true."""
        rows = mask.nonzero()[:, 0]  # indexing by rows, so that a GPU syncs only once
        here = rows.cpu()
        return Proposals(self.logits[rows], self.predicted_iou[rows], self.point_xy[here], self.candidate_id[here])

    def copied(self) -> "Proposals":
        """The proposals with logits and scores of their own."""
        return Proposals(self.logits.clone(), self.predicted_iou.clone(), self.point_xy, self.candidate_id)

    def chunks(self, size: int) -> Iterator["Proposals"]:
        """The proposals in parts of at most ``size``."""
        for part in batch_iterator(size, self.logits, self.predicted_iou, self.point_xy, self.candidate_id):
            yield Proposals(*part)


def measure(proposals: Proposals, logits: Tensor, extent: Extent, crop: Crop, recording: Recording) -> CandidateRows:
    """Measure full-resolution logits of a crop at every recorded level, and keep masks that reach the floor.

    Args:
        proposals: n proposals.
        logits: float32 (n, H, W), the proposals' logits in the extent.
        extent: part of the crop; outside it no logit reaches the lowest level.
        crop: the crop.
        recording: the levels and the floor.
    """
    x0, y0, _, _ = extent.box_xyxy
    levels = [
        _draw_level(proposals, logits, (y0, x0), threshold, crop, recording) for threshold in recording.mask_thresholds
    ]
    return sorted_by_id(levels, len(recording.stability_score_offsets))


def _draw_level(
    proposals: Proposals,
    logits: Tensor,
    corner_yx: tuple[int, int],
    mask_threshold: float,
    crop: Crop,
    recording: Recording,
) -> CandidateRows:
    stability = torch.stack(
        [calculate_stability_score(logits, mask_threshold, offset) for offset in recording.stability_score_offsets],
        1,
    )
    masks = logits > mask_threshold
    # An empty mask has no stability (sam2: 0 / 0) and no box; it is dropped whatever the thresholds.
    keep = masks.flatten(1).any(1)
    if recording.stability_score_thresh > 0.0:
        keep &= (stability >= recording.stability_score_thresh).any(1)
    if not bool(keep.all()):
        proposals, stability, masks = proposals.keep(keep), stability[keep], masks[keep]
    (height, width), (y, x) = crop.image_size_hw, corner_yx
    boxes = batched_mask_to_box(masks) + torch.tensor([x, y, x, y], device=masks.device)
    near_edge = is_box_near_crop_edge(boxes, list(crop.box_xyxy), [0, 0, width, height]).cpu()
    x0, y0, _, _ = crop.box_xyxy
    wanted = (~near_edge).nonzero()[:, 0].tolist()
    return rows_of(
        proposals.candidate_id,
        proposals.point_xy,
        crop,
        mask_threshold,
        predicted_iou=proposals.predicted_iou.float().cpu().numpy(),
        stability_scores=stability.float().cpu().numpy(),
        boxes_xyxy=boxes.cpu(),
        area_px=masks.sum((1, 2), dtype=torch.int64).cpu().numpy(),
        near_edge=near_edge.numpy(),
        codes=encode_windows(masks[wanted], (y0 + y, x0 + x), crop.image_size_hw),
    )


def rows_of(
    candidate_id: Tensor,
    point_xy: Tensor,
    crop: Crop,
    mask_threshold: float,
    *,
    predicted_iou: NDArray[np.float32],
    stability_scores: NDArray[np.float32],
    boxes_xyxy: Tensor,
    area_px: NDArray[np.integer[Any]],
    near_edge: NDArray[np.bool_],
    codes: list[bytes],
) -> CandidateRows:
    """The rows of n masks of a crop, measured at one level.

    Args:
        candidate_id: int64 (n,), on the CPU, like the other tensors.
        point_xy: float32 (n, 2), prompts in pixels of the crop.
        crop: the crop.
        mask_threshold: the level.
        predicted_iou: (n,).
        stability_scores: (n, offsets).
        boxes_xyxy: (n, 4), sam2's boxes in pixels of the crop.
        area_px: (n,).
        near_edge: (n,), whether sam2 drops the mask, as its box touches the crop's edge.
        codes: run-length codes in the image of the other masks, in order.
    """
    x0, y0, _, _ = crop.box_xyxy
    counts = np.full(len(candidate_id), None, np.object_)
    for row, code in zip(np.flatnonzero(~near_edge), codes, strict=True):
        counts[row] = code
    return CandidateRows(
        candidate_id=candidate_id.numpy().astype(np.int32),
        crop_index=np.full(len(candidate_id), crop.index, np.int16),
        point_xy=uncrop_points(point_xy, list(crop.box_xyxy)).numpy(),
        predicted_iou=predicted_iou,
        mask_threshold=np.full(len(candidate_id), mask_threshold, np.float64),
        stability_scores=stability_scores,
        near_crop_edge=near_edge,
        box_xyxy=boxes_xyxy.numpy().astype(np.int32) + np.array([x0, y0, x0, y0], np.int32),
        area_px=area_px.astype(np.int32),
        counts=counts,
    )


def sorted_by_id(levels: list[CandidateRows], n_offsets: int) -> CandidateRows:
    """The rows of all levels, by candidate and level."""
    rows = CandidateRows.concatenate(levels, n_offsets)
    return rows.take(np.lexsort((rows.mask_threshold, rows.candidate_id))) if len(levels) > 1 else rows
