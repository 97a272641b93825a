"""Records the masks of each batch: measures them at every level, and keeps those that reach the floor.

On a CUDA device with Triton, kernels measure masks from the decoder's logits. Elsewhere, and where the kernels would
not give torch's pixels, masks are brought to the image's size a few at a time.
"""

import logging
from dataclasses import dataclass, fields

import numpy as np
from sam2.sam2_image_predictor import SAM2ImagePredictor
from torch import Tensor

from maskgrid.automatic.candidates import CandidateRows
from maskgrid.automatic.generate import device_masks
from maskgrid.automatic.generate.device_masks import MeasuredBatch
from maskgrid.automatic.generate.enlarged import enlarged
from maskgrid.automatic.generate.proposals import Crop, Proposals, measure
from maskgrid.network.decoder import Mode
from maskgrid.network.graphs import Graphs
from maskgrid.network.memory import with_smaller_chunks
from maskgrid.network.predictor import Extent, chunk_px, masks_at_once
from maskgrid.network.workers import in_parts
from maskgrid.plan.passes import Recording

log = logging.getLogger(__name__)

# Runs of a batch's codes for which there is room at first: 16 MB.
_ROOM = 1 << 20


@dataclass(frozen=True, slots=True)
class UnmeasuredBatch:
    """A batch whose masks will be measured by torch."""

    proposals: Proposals
    crop: Crop
    recording: Recording


Begun = UnmeasuredBatch | MeasuredBatch


class Recorder:
    """Turns batches of proposals into rows of candidates, in two steps: one for each of two threads.

    Attributes:
        chunk_px: pixels of full-resolution logits in memory at once, where torch measures.
        has_kernels: whether kernels may measure.
        uses_kernels: whether they have measured the last batch.
    """

    def __init__(self, predictor: SAM2ImagePredictor, mode: Mode, graphs: Graphs) -> None:
        """Record a predictor's masks; in mode ``exact``, kernels are compared with torch at each new size."""
        self.predictor, self.mode, self.graphs = predictor, mode, graphs
        self.chunk_px, self.has_kernels = chunk_px(predictor.device), True
        self.uses_kernels, self._room = False, _ROOM
        self._is_equal: dict[tuple[tuple[int, int], tuple[int, ...]], bool] = {}

    def make_room(self, n_runs: int) -> None:
        """Make room for more runs in a batch."""
        self._room = 2 * n_runs

    def begin(self, proposals: Proposals, crop: Crop, recording: Recording) -> Begun:
        """Give the device its work, without waiting where that is possible. The logits may change afterwards."""
        self.uses_kernels = False
        if self.has_kernels and crop.shrink == 1 and device_masks.can_measure(proposals.logits.device, crop):
            kind = crop.size_hw, tuple(proposals.logits.shape[1:])
            if self.mode == "exact" and kind not in self._is_equal:
                self._compare(kind, proposals, crop, recording)
            if self.mode == "fast" or self._is_equal.get(kind, False):
                self.uses_kernels = True
                return device_masks.begin(proposals, crop, recording, self._room)
        if self.graphs.is_on:
            proposals = proposals.copied()
        return UnmeasuredBatch(proposals, crop, recording)

    def finish(self, batch: Begun) -> list[CandidateRows]:
        """Wait for the device, and return the rows of the masks that reach the floor."""
        if isinstance(batch, MeasuredBatch):
            return [device_masks.finish(batch)]
        proposals, floor = batch.proposals, batch.recording.pred_iou_thresh
        if floor > 0.0:
            proposals = proposals.keep(proposals.predicted_iou > floor)
        return self._by_torch(proposals, batch.crop, batch.recording)

    def _compare(
        self,
        kind: tuple[tuple[int, int], tuple[int, ...]],
        proposals: Proposals,
        crop: Crop,
        recording: Recording,
    ) -> None:
        """Note whether kernels and torch make the same rows of a few masks; nothing, if no mask reaches the floor."""
        reached = proposals.keep(proposals.predicted_iou > recording.pred_iou_thresh)
        if len(reached.logits) == 0:
            return
        some = next(reached.chunks(masks_at_once(self.chunk_px, crop.size_hw)))
        n_offsets = len(recording.stability_score_offsets)
        theirs = CandidateRows.concatenate(self._by_torch(some, crop, recording), n_offsets)
        ours = device_masks.finish(device_masks.begin(some, crop, recording, self._room))
        differing = [
            field.name
            for field in fields(CandidateRows)
            if not np.array_equal(getattr(ours, field.name), getattr(theirs, field.name))
        ]
        if differing:
            log.info(
                "torch measures masks of %d x %d pixels: kernels differ in %s", *crop.size_hw, ", ".join(differing)
            )
        self._is_equal[kind] = not differing

    def _by_torch(self, proposals: Proposals, crop: Crop, recording: Recording) -> list[CandidateRows]:
        """Measure masks by torch, fewer at once from now on if memory runs out."""
        if crop.shrink > 1:
            return [enlarged(rows, crop) for rows in self._by_torch(proposals, crop.in_blocks(), recording)]

        def record(chunk: Proposals) -> CandidateRows:
            extent = _extent(chunk.logits, crop, recording)
            logits = self.predictor._transforms.upsample(chunk.logits, extent)
            return measure(chunk, logits, extent, crop, recording)

        def recorded(chunk_px: int) -> list[CandidateRows]:
            chunks = proposals.chunks(masks_at_once(chunk_px, crop.size_hw))
            return in_parts(record, chunks, proposals.logits.device)

        rows, self.chunk_px = with_smaller_chunks(recorded, self.chunk_px, crop.size_hw)
        return rows


def _extent(logits: Tensor, crop: Crop, recording: Recording) -> Extent:
    """The part of the crop to draw; all of it on a device that would have to sync to find the part."""
    if logits.device.type != "cpu":
        return Extent.whole(crop.size_hw)
    lowest = min(recording.mask_thresholds) - max(recording.stability_score_offsets)
    return Extent.above(logits, lowest, crop.size_hw)
