"""A pass of the network over an image: prompts in, candidates out.

The steps are those of ``SAM2AutomaticMaskGenerator._process_batch``, in an order that costs less and gives the same
masks: scores are filtered before masks are up-sampled, masks are up-sampled a few at a time, and what the sweep's
thresholds will ask for is measured at every recorded level while the logits are there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from sam2.utils.amg import (
    batch_iterator,
    batched_mask_to_box,
    calculate_stability_score,
    generate_crop_boxes,
    is_box_near_crop_edge,
    uncrop_masks,
    uncrop_points,
)
from torch import Tensor

from maskgrid.candidates import CandidateRows, Candidates
from maskgrid.memory import with_less, with_smaller_chunks
from maskgrid.passes import Pass, Recording
from maskgrid.predictor import chunk_px, make_predictor, masks_at_once
from maskgrid.rle import encode_planes


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop of an image: its position in the layer and its box (x0, y0, x1, y1) in image pixels."""

    index: int
    box_xyxy: tuple[int, int, int, int]
    image_size_hw: tuple[int, int]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the crop."""
        x0, y0, x1, y1 = self.box_xyxy
        return y1 - y0, x1 - x0

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop's pixels."""
        x0, y0, x1, y1 = self.box_xyxy
        return image[y0:y1, x0:x1]


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the decoder made of one batch of prompts: n masks at its own resolution.

    Attributes:
        logits: float32 (n, h, w).
        predicted_iou: (n,), in the network's arithmetic.
        point_xy: float32 (n, 2), prompts in pixels of the crop.
        candidate_id: int64 (n,).
    """

    logits: Tensor
    predicted_iou: Tensor
    point_xy: Tensor
    candidate_id: Tensor

    def keep(self, mask: Tensor) -> "Proposals":
        """The proposals where the mask is true."""
        return Proposals(self.logits[mask], self.predicted_iou[mask], self.point_xy[mask], self.candidate_id[mask])

    def chunks(self, size: int) -> Iterator["Proposals"]:
        """The proposals in parts of at most ``size``."""
        for part in batch_iterator(size, self.logits, self.predicted_iou, self.point_xy, self.candidate_id):
            yield Proposals(*part)


class Network:
    """Runs passes of one model over images."""

    def __init__(self, model: SAM2Base) -> None:
        """Wrap a model that is loaded and on its device.

        Args:
            model: sam2's own model object, as from :func:`maskgrid.load_model`.
        """
        self.predictor = make_predictor(model)
        self.chunk_px = chunk_px(self.predictor.device)

    @torch.no_grad()
    def run(
        self, image: NDArray[np.uint8], pass_: Pass, recording: Recording, points_per_batch: int = 64
    ) -> Candidates:
        """Run one pass over one image.

        Args:
            image: uint8 (H, W, 3) RGB.
            pass_: which crops and prompts.
            recording: the floor and the levels to record.
            points_per_batch: prompts that the decoder takes at once. sam2's results can differ in a last bit between
                batch sizes; those here are the ones of the same batch size.

        Where memory runs out, fewer masks are up-sampled at once, which changes no result, and then fewer prompts are
        decoded at once.

        Raises:
            FloatingPointError: the network returned values that are not numbers.
            ImageTooLargeError: the device's memory does not hold one mask of the image.
            MachineError: the device has gone, or its memory does not hold the network's work on one prompt.
        """
        # No more than there is: halving starts where it makes a difference. With m2m it is masks that fill batches.
        most = pass_.n_points * (pass_.n_masks_per_point if pass_.use_m2m else 1)
        return with_less(lambda points: self._run(image, pass_, recording, points), min(points_per_batch, most))

    def _run(self, image: NDArray[np.uint8], pass_: Pass, recording: Recording, points_per_batch: int) -> Candidates:
        crops = list(layer_crops(image.shape[:2], pass_))
        rows: list[CandidateRows] = []
        proposed: list[NDArray[np.float32]] = []
        not_numbers: list[Tensor] = []
        for crop in crops:
            if 0 in crop.size_hw:
                continue  # what the layers of a tiny image can leave over; sam2 fails on it
            self.predictor.set_image(np.ascontiguousarray(crop.cut(image)))
            for proposals in self._proposals(crop, pass_, points_per_batch):
                proposed.append(proposals.predicted_iou.float().cpu().numpy())
                not_numbers.append(proposals.logits.isnan().any())
                rows += self._record(proposals, crop, recording)
        self.predictor.reset_predictor()
        scores = np.sort(np.concatenate(proposed)) if proposed else np.empty(0, np.float32)
        if not np.isfinite(scores).all() or any(map(bool, not_numbers)):
            raise FloatingPointError("the network returned scores or logits that are not numbers")
        return Candidates(
            pass_=pass_,
            recording=recording,
            size_hw=(int(image.shape[0]), int(image.shape[1])),
            crop_boxes_xyxy=np.array([crop.box_xyxy for crop in crops], np.int32).reshape(-1, 4),
            proposed_iou=scores,
            rows=CandidateRows.concatenate(rows, len(recording.stability_score_offsets)),
        )

    def _proposals(self, crop: Crop, pass_: Pass, points_per_batch: int) -> Iterator[Proposals]:
        height, width = crop.size_hw
        grid = pass_.point_grid() * np.array([[width, height]])
        first_id = crop.index * len(grid) * pass_.n_masks_per_point
        for (points,) in batch_iterator(points_per_batch, grid):
            point_xy = torch.as_tensor(points, dtype=torch.float32, device=self.predictor.device)
            logits, predicted_iou, low_res_masks = self._predict(point_xy, crop, pass_.multimask_output)
            n_masks = logits.shape[1]
            point_xy = point_xy.repeat_interleave(n_masks, dim=0)
            logits, predicted_iou = logits.flatten(0, 1), predicted_iou.flatten(0, 1)
            if pass_.use_m2m:
                logits, predicted_iou = self._refine(point_xy, low_res_masks.flatten(0, 1), crop, points_per_batch)
            ids = torch.arange(first_id, first_id + len(logits), device=logits.device)
            first_id += len(logits)
            yield Proposals(logits, predicted_iou, point_xy, ids)

    def _predict(
        self, point_xy: Tensor, crop: Crop, multimask_output: bool, mask_input: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One click a prompt: logits (n, c, h, w), predicted IoU (n, c), clamped logits for a next step."""
        points = self.predictor._transforms.transform_coords(point_xy, normalize=True, orig_hw=crop.size_hw)
        labels = torch.ones(len(points), dtype=torch.int, device=points.device)
        prediction: tuple[Tensor, Tensor, Tensor] = self.predictor._predict(
            points[:, None, :],
            labels[:, None],
            mask_input=mask_input,
            multimask_output=multimask_output,
            return_logits=True,
        )
        return prediction

    def _refine(
        self, point_xy: Tensor, low_res_masks: Tensor, crop: Crop, points_per_batch: int
    ) -> tuple[Tensor, Tensor]:
        """sam2's mask-to-mask step: each proposal again, with its own mask as a prompt beside its point."""
        logits, predicted_iou = [], []
        for points, masks in batch_iterator(points_per_batch, point_xy, low_res_masks):
            refined, iou, _ = self._predict(points, crop, multimask_output=False, mask_input=masks[:, None])
            logits.append(refined[:, 0])
            predicted_iou.append(iou[:, 0])
        return torch.cat(logits), torch.cat(predicted_iou)

    def _record(self, proposals: Proposals, crop: Crop, recording: Recording) -> list[CandidateRows]:
        if recording.pred_iou_thresh > 0.0:
            proposals = proposals.keep(proposals.predicted_iou > recording.pred_iou_thresh)
        rows, self.chunk_px = with_smaller_chunks(
            lambda chunk_px: self._record_chunks(proposals, crop, recording, chunk_px), self.chunk_px, crop.size_hw
        )
        return rows

    def _record_chunks(
        self, proposals: Proposals, crop: Crop, recording: Recording, chunk_px: int
    ) -> list[CandidateRows]:
        return [
            record_chunk(chunk, self.predictor._transforms.upsample(chunk.logits, crop.size_hw), crop, recording)
            for chunk in proposals.chunks(masks_at_once(chunk_px, crop.size_hw))
        ]


def layer_crops(size_hw: tuple[int, ...], pass_: Pass) -> Iterator[Crop]:
    """The crops of the pass's layer, as sam2 lays them."""
    boxes, layers = generate_crop_boxes(size_hw, pass_.layer, pass_.overlap_ratio or 0.0)
    of_layer = [box for box, layer in zip(boxes, layers, strict=True) if layer == pass_.layer]
    for index, (x0, y0, x1, y1) in enumerate(of_layer):
        yield Crop(index, (x0, y0, max(x0, x1), max(y0, y1)), (int(size_hw[0]), int(size_hw[1])))


def record_chunk(proposals: Proposals, logits: Tensor, crop: Crop, recording: Recording) -> CandidateRows:
    """Measure full-resolution logits (n, H, W) of a crop at every recorded level and keep what clears the floor."""
    levels = [_draw_level(proposals, logits, threshold, crop, recording) for threshold in recording.mask_thresholds]
    rows = CandidateRows.concatenate(levels, len(recording.stability_score_offsets))
    return rows.take(np.lexsort((rows.mask_threshold, rows.candidate_id))) if len(levels) > 1 else rows


def _draw_level(
    proposals: Proposals, logits: Tensor, mask_threshold: float, crop: Crop, recording: Recording
) -> CandidateRows:
    stability = torch.stack(
        [calculate_stability_score(logits, mask_threshold, offset) for offset in recording.stability_score_offsets],
        1,
    )
    masks = logits > mask_threshold
    # An empty mask has no stability (sam2: 0 / 0) and no box; it is no mask whatever the thresholds.
    keep = masks.any(2).any(1)
    if recording.stability_score_thresh > 0.0:
        keep &= (stability >= recording.stability_score_thresh).any(1)
    if not bool(keep.all()):
        proposals, stability, masks = proposals.keep(keep), stability[keep], masks[keep]
    return _rows(proposals, stability, masks, mask_threshold, crop)


def _rows(proposals: Proposals, stability: Tensor, masks: Tensor, mask_threshold: float, crop: Crop) -> CandidateRows:
    height, width = crop.image_size_hw
    boxes = batched_mask_to_box(masks)
    near_edge = is_box_near_crop_edge(boxes, list(crop.box_xyxy), [0, 0, width, height])
    counts = np.full(len(masks), None, np.object_)
    inner = ~near_edge
    codes = encode_planes(uncrop_masks(masks[inner], list(crop.box_xyxy), height, width))
    for row, code in zip(np.flatnonzero(inner.cpu().numpy()), codes, strict=True):
        counts[row] = code
    x0, y0, _, _ = crop.box_xyxy
    return CandidateRows(
        candidate_id=proposals.candidate_id.cpu().numpy().astype(np.int32),
        crop_index=np.full(len(masks), crop.index, np.int16),
        point_xy=uncrop_points(proposals.point_xy, list(crop.box_xyxy)).cpu().numpy(),
        predicted_iou=proposals.predicted_iou.float().cpu().numpy(),
        mask_threshold=np.full(len(masks), mask_threshold, np.float64),
        stability_scores=stability.float().cpu().numpy(),
        near_crop_edge=near_edge.cpu().numpy(),
        box_xyxy=boxes.cpu().numpy().astype(np.int32) + np.array([x0, y0, x0, y0], np.int32),
        area_px=masks.sum((1, 2), dtype=torch.int64).cpu().numpy().astype(np.int32),
        counts=counts,
    )
