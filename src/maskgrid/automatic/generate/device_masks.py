"""Measure the masks of a batch on a CUDA device from the decoder's logits, without waiting for the device.

The steps and results are those of :func:`maskgrid.automatic.generate.proposals.measure`, but nothing is up-sampled in
memory: see :mod:`maskgrid.automatic.generate.mask_kernels`. One thread gives the device its work; another one waits for
the results.
"""

import importlib.util
import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.utils.amg import batch_iterator, is_box_near_crop_edge
from torch import Tensor

from maskgrid.automatic.candidates import CandidateRows
from maskgrid.automatic.generate.device_codes import CHARACTERS, codes_of_edges
from maskgrid.automatic.generate.proposals import Crop, Proposals, measure, rows_of, sorted_by_id
from maskgrid.masks.rle import window_rows
from maskgrid.network.predictor import MARGIN, Extent, interpolate
from maskgrid.network.transfers import Arrival
from maskgrid.plan.passes import Recording

if TYPE_CHECKING:
    from types import ModuleType

log = logging.getLogger(__name__)

# Cuts that one run of the kernel counts.
_CUTS_AT_ONCE = 8
# Wider images would overflow the sums of sam2's stability score, which the kernel does not imitate.
_WIDEST_PX = 32767
# Beyond every place; see mask_kernels.FAR.
_FAR = 1 << 30


class TooManyRunsError(RuntimeError):
    """The masks' codes have more runs than there was room for.

    Attributes:
        n_runs: room that they need.
    """

    def __init__(self, n_runs: int) -> None:
        """Say how much room they need."""
        super().__init__(f"{n_runs:,} runs")
        self.n_runs = n_runs


@dataclass(frozen=True, slots=True)
class MeasuredBatch:
    """What a device finds, or will have found, of a batch of n masks.

    Attributes:
        point_xy: float32 (n, 2), prompts in pixels of the crop, on the CPU.
        candidate_id: int64 (n,), on the CPU.
        crop: where the masks are.
        recording: the levels and the floor.
        packed: int32 (1-D), on the device, and there already when ``codes`` are: see :func:`begin`.
        codes: uint8 (1-D), on the device: the run-length codes of the masks, by mask and level.
        arrival: when they are there.
    """

    point_xy: Tensor
    candidate_id: Tensor
    crop: Crop
    recording: Recording
    packed: Tensor
    codes: Tensor
    arrival: Arrival


def can_measure(device: torch.device, crop: Crop) -> bool:
    """Whether a device has what the kernels need, and the image is not too large for them."""
    height, width = crop.image_size_hw
    is_small = crop.size_hw[1] <= _WIDEST_PX and (height + 1) * (width + 1) < _FAR
    return is_small and device.type == "cuda" and torch.cuda.is_available() and _kernels_run(device)


def begin(proposals: Proposals, crop: Crop, recording: Recording, room: int) -> MeasuredBatch:
    """Give the device the work of measuring a batch.

    Args:
        proposals: the batch; later work of the device may write over its logits.
        crop: where the masks are.
        recording: the levels and the floor.
        room: how many runs are expected at most.
    """
    logits = proposals.logits.contiguous()
    n, levels, offsets = len(logits), len(recording.mask_thresholds), len(recording.stability_score_offsets)
    width, floor = crop.size_hw[1], recording.pred_iou_thresh
    iou, cuts, frame = proposals.predicted_iou, _cuts(logits.device, recording), _Frame.of(logits, crop)
    reached = iou > floor if floor > 0.0 else torch.ones_like(iou, dtype=torch.bool)
    with torch.cuda.device_of(logits):  # type: ignore[no-untyped-call]
        n_above, n_turns, first, last = _count(logits, reached, cuts, frame, _nothing_below(recording))
        area = n_above.sum(2, dtype=torch.int32)
        is_kept = (area[:, :levels] > 0) & reached[:, None]
        if recording.stability_score_thresh > 0.0:
            over, under = area[:, levels : levels + 2 * levels * offsets].view(n, levels, offsets, 2).unbind(3)
            is_kept &= (over / under >= recording.stability_score_thresh).any(2)
        starts = torch.zeros(n * levels * (width + 1) + 1, dtype=torch.int32, device=logits.device)
        torch.cumsum((n_turns[:, :levels] * is_kept[..., None]).flatten(), 0, dtype=torch.int32, out=starts[1:])
        codes, ends = _codes(logits, cuts, starts, frame, crop, levels, room)
    box = _boxes(n_above[:, :levels], first[:, :levels], last[:, :levels])
    parts = (is_kept.int(), area, box, starts[-1:], ends, iou.float().view(torch.int32))
    packed = torch.cat([part.flatten() for part in parts])
    return MeasuredBatch(
        proposals.point_xy, proposals.candidate_id, crop, recording, packed, codes, Arrival(logits.device)
    )


def finish(batch: MeasuredBatch) -> CandidateRows:
    """Wait for a batch, and make the rows of its masks that reach the floor.

    Raises:
        TooManyRunsError: the room was not enough.
    """
    recording, n = batch.recording, len(batch.candidate_id)
    levels, offsets = len(recording.mask_thresholds), len(recording.stability_score_offsets)
    packed = batch.arrival.copy(batch.packed)
    n_cuts = (len(packed) - n * levels * 6 - n - 1) // n
    kept, area, box, n_turns, ends, iou = np.split(
        packed, np.cumsum([n * levels, n * n_cuts, n * levels * 4, 1, n * levels])
    )
    n_runs = int(n_turns[0]) + n * levels
    if max(n_runs, -(-int(ends[-1]) // CHARACTERS)) > len(batch.codes) // CHARACTERS:
        raise TooManyRunsError(max(n_runs, int(ends[-1])))
    codes, starts = batch.arrival.copy(batch.codes[: int(ends[-1])]).tobytes(), np.concatenate([[0], ends])
    area, box, kept = area.reshape(n, n_cuts), box.reshape(n, levels, 4), kept.reshape(n, levels).astype(np.bool_)
    over_under = area[:, levels : levels + 2 * levels * offsets].reshape(n, levels, offsets, 2).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        stability = over_under[..., 0] / over_under[..., 1]
    found = []
    for level, threshold in enumerate(recording.mask_thresholds):
        rows = np.flatnonzero(kept[:, level])
        places = torch.from_numpy(rows)
        boxes = torch.from_numpy(box[rows, level]).long()
        near_edge = _near_edge(boxes, batch.crop)
        coded = (rows[~near_edge] * levels + level).tolist()
        found.append(
            rows_of(
                batch.candidate_id[places],
                batch.point_xy[places],
                batch.crop,
                threshold,
                predicted_iou=iou.view(np.float32)[rows],
                stability_scores=stability[rows, level],
                boxes_xyxy=boxes,
                area_px=area[rows, level],
                near_edge=near_edge,
                codes=[codes[starts[place] : starts[place + 1]] for place in coded],
            )
        )
    return sorted_by_id(found, offsets)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Sizes that the kernels take: of logits, of a crop, and of a column in the code."""

    sizes: tuple[int, int, int, int, int]
    scales: tuple[float, float]

    @classmethod
    def of(cls, logits: Tensor, crop: Crop) -> Self:
        (height, width), (low_h, low_w) = crop.size_hw, logits.shape[1:]
        # As torch divides the sizes: in float32.
        scales = (float(np.float32(low_h) / np.float32(height)), float(np.float32(low_w) / np.float32(width)))
        return cls((low_h, low_w, height, width, window_rows(height, crop.image_size_hw)), scales)


def _count(logits: Tensor, wanted: Tensor, cuts: Tensor, frame: _Frame, nothing_below: float) -> Tensor:
    """What ``count_columns`` finds for all cuts: int32 (4, n, cuts, width + 1)."""
    peaks, wanted, width, kernels = logits.amax(1), wanted.to(torch.uint8), frame.sizes[3], _kernels()
    parts = []
    for (some,) in batch_iterator(_CUTS_AT_ONCE, cuts):
        found = torch.zeros(4, len(logits), len(some), width + 1, dtype=torch.int32, device=logits.device)
        kernels.count_columns[len(logits), -(-(width + 1) // kernels.COLUMNS)](
            *(logits, peaks, wanted, some, found, *frame.sizes, *frame.scales, nothing_below),
            CUTS=len(some),
            **_split(kernels),
        )
        parts.append(found)
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _codes(
    logits: Tensor, cuts: Tensor, starts: Tensor, frame: _Frame, crop: Crop, levels: int, room: int
) -> tuple[Tensor, Tensor]:
    """The run-length codes of all masks, one after the other, and the end of each: uint8 (1-D), int32 (n x levels,)."""
    masks = _kernels()
    (x0, y0, _, _), (height, width), stride = crop.box_xyxy, crop.image_size_hw, frame.sizes[3] + 1
    edges = torch.empty(room, dtype=torch.int32, device=logits.device)
    masks.write_edges[len(logits), -(-stride // masks.COLUMNS)](
        *(logits, starts, cuts, edges, room, y0, x0, height, width, *frame.sizes, *frame.scales),
        LEVELS=levels,
        **_split(masks),
    )
    return codes_of_edges(edges, starts, stride)


def _split(kernels: "ModuleType") -> dict[str, int | bool]:
    """How the kernels are split among processors; they fuse multiplications and additions only where they say so."""
    return {
        "COLUMNS": kernels.COLUMNS,
        "BLOCK": kernels.BLOCK,
        "num_warps": kernels.WARPS,
        "enable_fp_fusion": False,
    }


def _boxes(n_above: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """sam2's boxes of masks, from what their columns hold (n, levels, width + 1): int32 (n, levels, 4)."""
    column, is_in = torch.arange(n_above.shape[2], dtype=torch.int32, device=n_above.device), n_above > 0
    sides = (
        torch.where(is_in, column, _FAR).amin(2),
        torch.where(is_in, first, _FAR).amin(2),
        torch.where(is_in, column, -1).amax(2),
        torch.where(is_in, last, -1).amax(2),
    )
    return torch.stack(sides, 2)


def _nothing_below(recording: Recording) -> float:
    """Logits below this make no pixel that reaches a cut, however interpolation rounds."""
    lowest = min(recording.mask_thresholds) - max(recording.stability_score_offsets)
    return lowest - MARGIN * (1.0 + abs(lowest))


def _near_edge(boxes_xyxy: Tensor, crop: Crop) -> NDArray[np.bool_]:
    height, width = crop.image_size_hw
    near: NDArray[np.bool_] = is_box_near_crop_edge(boxes_xyxy, list(crop.box_xyxy), [0, 0, width, height]).numpy()
    return near


@cache
def _cuts(device: torch.device, recording: Recording) -> Tensor:
    """The levels, and each level with each offset added and subtracted: float32, filled up to what kernels count."""
    cuts = [
        *recording.mask_thresholds,
        *(
            level + sign * offset
            for level in recording.mask_thresholds
            for offset in recording.stability_score_offsets
            for sign in (1, -1)
        ),
    ]
    n = len(cuts)
    full = -(-n // _CUTS_AT_ONCE) * _CUTS_AT_ONCE if n > _CUTS_AT_ONCE else 1 << (n - 1).bit_length()
    return torch.tensor([*cuts, *[float("inf")] * (full - n)], dtype=torch.float32, device=device)


@cache
def _kernels_run(device: torch.device) -> bool:
    """Whether Triton is there, can compile, and finds what it should in one mask."""
    if importlib.util.find_spec("triton") is None:
        return False
    logits = torch.full((1, 8, 8), -1.0, device=device)
    logits[0, 2:5, 3:6] = 1.0
    proposals = Proposals(logits, torch.ones(1, device=device), torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    crop, recording = Crop(0, (0, 0, 32, 32), (32, 32)), Recording(0.0, 0.0, (0.0,), (0.5,))
    try:
        found = finish(begin(proposals, crop, recording, 1024))
    except Exception as error:  # Triton's own errors, its compiler's, and the driver's
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning("Triton's kernels do not run here (%s); torch measures masks, which takes longer", reason)
        return False
    whole = Extent.whole(crop.size_hw)
    expected = measure(proposals, interpolate(logits, whole), whole, crop, recording)
    return bool(found.counts.tolist() == expected.counts.tolist())


@cache
def _kernels() -> "ModuleType":
    # Triton takes a second to import, and is not there on every machine.
    return importlib.import_module("maskgrid.automatic.generate.mask_kernels")
