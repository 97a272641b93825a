"""The replay: which candidates ``SAM2AutomaticMaskGenerator`` would keep at a setting, without the network.

Filters and suppression follow ``_process_batch``, ``_process_crop`` and ``_generate_masks`` of sam2 step by step, in
the same arithmetic and with the same ``batched_nms`` of torchvision, so that masks, scores and their order are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops.boxes import batched_nms, box_area

from maskgrid.automatic.candidates import CandidateRows, Candidates
from maskgrid.automatic.regions import Region, RegionCache
from maskgrid.config.models import GeneratorConfig
from maskgrid.io.errors import UserError
from maskgrid.plan.passes import passes_of, recording_of


@dataclass(frozen=True, slots=True)
class DropCounts:
    """What each filter took away, in turn; all of them and the masks kept add up to the masks proposed."""

    n_proposed: int
    n_dropped_pred_iou: int
    n_dropped_stability: int
    n_dropped_crop_edge: int
    n_dropped_box_nms: int
    n_dropped_crop_nms: int
    n_dropped_regions: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The masks that a setting keeps of one image, in sam2's order.

    Attributes:
        passes: the candidates that were chosen from, by crop layer.
        layer: int16 (n,), the position in ``passes`` of each mask's candidate.
        row: int64 (n,), its row there.
        regions: for each mask the redrawn one, where ``min_mask_region_area`` changed it, else None.
        drops: what each filter took away.
    """

    passes: tuple[Candidates, ...]
    layer: NDArray[np.int16]
    row: NDArray[np.int64]
    regions: tuple[Region | None, ...]
    drops: DropCounts

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class _CropRows:
    """Candidates of one crop at one mask_threshold: positions in their pass, and the columns that filters read."""

    layer: int
    row: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    stability_score: NDArray[np.float32]
    near_crop_edge: NDArray[np.bool_]
    box_xyxy: NDArray[np.int32]
    crop_box_xyxy: NDArray[np.int32]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "_CropRows":
        return _CropRows(
            self.layer,
            self.row[rows],
            self.predicted_iou[rows],
            self.stability_score[rows],
            self.near_crop_edge[rows],
            self.box_xyxy[rows],
            self.crop_box_xyxy,
        )

    def __len__(self) -> int:
        return len(self.row)


@dataclass(slots=True)
class Replay:
    """Answers settings for one image from its candidates, remembering what settings have in common.

    Attributes:
        candidates: the image's candidates, by the name of their pass.
    """

    candidates: dict[str, Candidates]
    _crops: dict[tuple[str, int, float, float], list[_CropRows]] = field(default_factory=dict)
    _regions: RegionCache = field(default_factory=RegionCache)

    def select(self, generator: GeneratorConfig) -> Selection:
        """Choose the masks of one setting.

        Raises:
            UserError: the candidates were not recorded for a setting like this.
        """
        passes = tuple(self._pass(name, generator) for name in (pass_.name for pass_ in passes_of(generator)))
        kept: list[_CropRows] = []
        n_proposed, n_iou, n_stable, n_inner, n_boxes = 0, 0, 0, 0, 0
        for layer, candidates in enumerate(passes):
            n_proposed += len(candidates.proposed_iou)
            iou_limit = _iou_limit(generator.pred_iou_thresh, candidates.dtype)
            n_iou += _count_above(candidates.proposed_iou, iou_limit)
            for crop in self._crop_rows(layer, candidates, generator):
                stable = crop.take(_clears(crop, generator, iou_limit))
                inner = stable.take(~stable.near_crop_edge)
                unique = inner.take(_suppress(inner.box_xyxy, inner.predicted_iou, generator.box_nms_thresh))
                n_stable, n_inner, n_boxes = (
                    n_stable + len(stable),
                    n_inner + len(inner),
                    n_boxes + len(unique),
                )
                kept.append(unique)
        layer_of, row = _join(kept, generator.crop_nms_thresh if generator.crop_n_layers else None)
        n_crops = len(row)
        regions: tuple[Region | None, ...] = (None,) * n_crops
        if generator.min_mask_region_area > 0:
            keep, regions = self._redraw(passes, layer_of, row, generator)
            layer_of, row = layer_of[keep], row[keep]
        drops = DropCounts(
            n_proposed,
            n_proposed - n_iou,
            n_iou - n_stable,
            n_stable - n_inner,
            n_inner - n_boxes,
            n_boxes - n_crops,
            n_crops - len(row),
        )
        return Selection(passes, layer_of, row, regions, drops)

    def _pass(self, name: str, generator: GeneratorConfig) -> Candidates:
        if name not in self.candidates:
            raise UserError(f"no candidates of pass {name}; there are: {', '.join(self.candidates) or 'none'}")
        candidates = self.candidates[name]
        if not candidates.recording.covers(recording_of(generator)):
            raise UserError(
                f"the candidates of pass {name} were recorded for {candidates.recording.as_dict()}, "
                f"not for {recording_of(generator).as_dict()}; run the network again with a wider recording"
            )
        return candidates

    def _crop_rows(self, layer: int, candidates: Candidates, generator: GeneratorConfig) -> list[_CropRows]:
        level, offset = float(generator.mask_threshold), float(generator.stability_score_offset)
        key = (candidates.pass_.name, layer, level, offset)
        if key not in self._crops:
            self._crops[key] = list(_split_crops(layer, candidates, level, offset))
        return self._crops[key]

    def _redraw(
        self,
        passes: tuple[Candidates, ...],
        layer_of: NDArray[np.int16],
        row: NDArray[np.int64],
        generator: GeneratorConfig,
    ) -> tuple[NDArray[np.int64], tuple[Region | None, ...]]:
        """What ``postprocess_small_regions`` does: redraw, and prefer masks that needed no redrawing."""
        drawn = [
            self._regions.redraw(passes[layer], int(position), generator.min_mask_region_area)
            for layer, position in zip(layer_of, row, strict=True)
        ]
        boxes = np.array(
            [
                passes[layer].rows.box_xyxy[position] if region is None else region.box_xyxy
                for layer, position, region in zip(layer_of, row, drawn, strict=True)
            ],
            np.int32,
        ).reshape(-1, 4)
        unchanged = np.array([region is None for region in drawn], np.float32)
        keep = _suppress(boxes, unchanged, max(generator.box_nms_thresh, generator.crop_nms_thresh))
        return keep, tuple(drawn[index] for index in keep)


def replay(candidates: Sequence[Candidates], generator: GeneratorConfig) -> Selection:
    """Choose the masks of one setting from the candidates of one image (see :class:`Replay`)."""
    return Replay({part.pass_.name: part for part in candidates}).select(generator)


def _split_crops(layer: int, candidates: Candidates, level: float, offset: float) -> list[_CropRows]:
    rows: CandidateRows = candidates.rows
    column = candidates.recording.stability_score_offsets.index(offset)
    at_level = np.flatnonzero(rows.mask_threshold == level)
    order = at_level[np.argsort(rows.crop_index[at_level], kind="stable")]
    crop_of = rows.crop_index[order]
    parts = []
    for index in np.unique(crop_of):
        row = order[np.searchsorted(crop_of, index) : np.searchsorted(crop_of, index, side="right")]
        parts.append(
            _CropRows(
                layer,
                row.astype(np.int64),
                rows.predicted_iou[row],
                np.ascontiguousarray(rows.stability_scores[row, column]),
                rows.near_crop_edge[row],
                rows.box_xyxy[row],
                candidates.crop_boxes_xyxy[index],
            )
        )
    return parts


def _iou_limit(threshold: float, dtype: str) -> np.float32:
    """The limit that scores must exceed, in their own type, as torch compares; none at 0."""
    return np.float32(torch.tensor(threshold if threshold > 0.0 else -torch.inf, dtype=getattr(torch, dtype)).item())


def _count_above(sorted_scores: NDArray[np.float32], limit: np.float32) -> int:
    return int(len(sorted_scores) - np.searchsorted(sorted_scores, limit, side="right"))


def _clears(crop: _CropRows, generator: GeneratorConfig, iou_limit: np.float32) -> NDArray[np.bool_]:
    """sam2's two filters: predicted IoU above, stability at least; each is off at a threshold of 0."""
    clears: NDArray[np.bool_] = crop.predicted_iou > iou_limit
    if generator.stability_score_thresh > 0.0:
        clears &= crop.stability_score >= np.float32(generator.stability_score_thresh)
    return clears


def _suppress(box_xyxy: NDArray[np.int32], scores: NDArray[np.float32], iou_threshold: float) -> NDArray[np.int64]:
    """Torchvision's NMS of one class: the positions kept, best score first."""
    boxes = torch.from_numpy(box_xyxy.astype(np.float32))
    kept: NDArray[np.int64] = batched_nms(
        boxes, torch.from_numpy(scores), boxes.new_zeros(len(boxes), dtype=torch.int64), iou_threshold
    ).numpy()
    return kept


def _join(kept: list[_CropRows], crop_nms_thresh: float | None) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """The crops' masks together, less duplicates between crops, of which the smaller crop's stays."""
    if not kept:
        return np.empty(0, np.int16), np.empty(0, np.int64)
    layer_of = np.concatenate([np.full(len(crop), crop.layer, np.int16) for crop in kept])
    row = np.concatenate([crop.row for crop in kept])
    if crop_nms_thresh is None or len(row) == 0:
        return layer_of, row
    boxes = np.concatenate([crop.box_xyxy for crop in kept])
    crop_boxes = np.concatenate([np.tile(crop.crop_box_xyxy, (len(crop), 1)) for crop in kept]).astype(np.int64)
    scores = (1 / box_area(torch.from_numpy(crop_boxes))).numpy()
    keep = _suppress(boxes, scores, crop_nms_thresh)
    return layer_of[keep], row[keep]
