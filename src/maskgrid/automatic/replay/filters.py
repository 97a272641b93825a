"""The replay: which candidates ``SAM2AutomaticMaskGenerator`` would keep at a setting, without the network.

Filters and suppression follow sam2's ``_process_batch``, ``_process_crop`` and ``_generate_masks`` step by step, with
the same arithmetic as torch and torchvision, so masks, scores and their order are equal; torch itself is not loaded.
The config's own ``filters`` come after them (:mod:`maskgrid.automatic.replay.mask_filters`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates
from maskgrid.automatic.replay.funnel import Funnel
from maskgrid.automatic.replay.mask_filters import MaskFilters
from maskgrid.automatic.replay.regions import RegionCache
from maskgrid.automatic.replay.selection import Choice, Selection
from maskgrid.automatic.replay.suppression import kept_by_nms
from maskgrid.automatic.replay.thresholds import rounded
from maskgrid.config.filters import NO_FILTERS, FilterConfig, filters_on
from maskgrid.config.models import GeneratorConfig
from maskgrid.io.errors import UserError
from maskgrid.plan.passes import passes_of, recording_of


@dataclass(slots=True)
class Replay:
    """Answers settings for one image from its candidates, caching what settings share.

    Attributes:
        candidates: the image's candidates by the name of their pass.
        in_image: the image's part of each region, as a run-length code, by the config's ``filters.region``.
    """

    candidates: dict[str, Candidates]
    in_image: Mapping[str, bytes] = field(default_factory=dict)
    _at_level: dict[tuple[tuple[str, ...], float], Selection] = field(default_factory=dict)
    _regions: RegionCache = field(default_factory=RegionCache)
    _filters: MaskFilters | None = None

    def select(self, generator: GeneratorConfig, filters: FilterConfig = NO_FILTERS) -> Selection:
        """Choose the masks of one setting, filter by filter: sam2's own, then the config's ``filters``.

        Raises:
            UserError: the candidates were not recorded for such a setting.
        """
        masks = self._recorded(generator)
        funnel = Funnel(sum(len(part.proposed_iou) for part in masks.passes))
        clears, n_clear = _pred_iou(masks, generator)
        masks = funnel.keep("n_dropped_pred_iou", masks, clears, n_clear)
        masks = funnel.keep("n_dropped_stability", masks, _stability(masks, generator))
        masks = funnel.keep("n_dropped_crop_edge", masks, ~masks.near_crop_edge())
        masks = funnel.keep("n_dropped_box_nms", masks, _box_nms(masks, generator))
        masks = funnel.keep("n_dropped_crop_nms", masks, _crop_nms(masks, generator))
        masks = self._without_small_regions(masks, generator)
        masks = funnel.keep("n_dropped_regions", masks, _region_nms(masks, generator))
        if filters_on(filters):
            if self._filters is None:
                self._filters = MaskFilters(masks.size_hw, self.in_image)
            masks = self._filters.apply(masks, filters, funnel)
        return replace(masks, dropped=funnel.dropped)

    def _recorded(self, generator: GeneratorConfig) -> Selection:
        """All candidates at the setting's mask_threshold, crop by crop."""
        level = float(generator.mask_threshold)
        names = tuple(pass_.name for pass_ in passes_of(generator))
        passes = tuple(self._pass(name, generator) for name in names)
        if (names, level) not in self._at_level:
            self._at_level[names, level] = _by_crops(passes, level)
        return self._at_level[names, level]

    def _pass(self, name: str, generator: GeneratorConfig) -> Candidates:
        if name not in self.candidates:
            raise UserError(f"no candidates of pass {name}; there are: {', '.join(self.candidates) or 'none'}")
        candidates = self.candidates[name]
        if lacking := candidates.recording.lacking(recording_of(generator)):
            raise UserError(f"{lacking} in pass {name}; run the network again with a wider recording")
        return candidates

    def _without_small_regions(self, masks: Selection, generator: GeneratorConfig) -> Selection:
        """Redraw the masks that have holes or islands below ``min_mask_region_area``."""
        if generator.min_mask_region_area <= 0:
            return masks
        regions = np.empty(len(masks), np.object_)
        for index, (layer, row) in enumerate(zip(masks.layer.tolist(), masks.row.tolist(), strict=True)):
            regions[index] = self._regions.redraw(masks.passes[layer], row, generator.min_mask_region_area)
        return replace(masks, regions=regions)


def replay(
    candidates: Sequence[Candidates],
    generator: GeneratorConfig,
    filters: FilterConfig = NO_FILTERS,
    in_image: Mapping[str, bytes] | None = None,
) -> Selection:
    """Choose the masks of one setting from the candidates of one image (see :class:`Replay`)."""
    return Replay({part.pass_.name: part for part in candidates}, in_image or {}).select(generator, filters)


def _by_crops(passes: tuple[Candidates, ...], level: float) -> Selection:
    rows = []
    for part in passes:
        at_level = np.flatnonzero(part.rows.mask_threshold == level).astype(np.int64)
        rows.append(at_level[np.argsort(part.rows.crop_index[at_level], kind="stable")])
    layer = np.repeat(np.arange(len(passes), dtype=np.int16), [len(row) for row in rows])
    return Selection(passes, layer, np.concatenate(rows), np.full(len(layer), None, np.object_))


def _pred_iou(masks: Selection, generator: GeneratorConfig) -> tuple[Choice, int]:
    """Masks with a predicted IoU above the threshold, and how many of all masks proposed have it; 0 is off.

    Scores are compared in the network's own type, as torch does.
    """
    threshold = generator.pred_iou_thresh if generator.pred_iou_thresh > 0.0 else -np.inf
    limits = np.concatenate([rounded(np.array([threshold]), part.dtype) for part in masks.passes])
    n_clear = sum(
        len(part.proposed_iou) - int(np.searchsorted(part.proposed_iou, limit, side="right"))
        for part, limit in zip(masks.passes, limits, strict=True)
    )
    return masks.predicted_iou() > limits[masks.layer], n_clear


def _stability(masks: Selection, generator: GeneratorConfig) -> Choice:
    """Masks with at least the threshold's stability; 0 is off."""
    if generator.stability_score_thresh <= 0.0:
        return np.ones(len(masks), np.bool_)
    stability_score = masks.stability_score(float(generator.stability_score_offset))
    return stability_score >= np.float32(generator.stability_score_thresh)


def _box_nms(masks: Selection, generator: GeneratorConfig) -> Choice:
    """Keep the best-scored of duplicates within a crop, crop by crop."""
    crop = np.stack([masks.layer, masks.crop_index()], axis=1)
    starts = np.flatnonzero((crop[1:] != crop[:-1]).any(axis=1)) + 1
    boxes, scores = masks.box_xyxy(), masks.predicted_iou()
    return np.concatenate(
        [
            part[_suppress(boxes[part], scores[part], generator.box_nms_thresh)]
            for part in np.split(np.arange(len(masks)), starts)
        ]
    )


def _crop_nms(masks: Selection, generator: GeneratorConfig) -> Choice:
    """Keep the smaller crop's mask of duplicates between crops; off if the image has only one."""
    if not has_crops(masks):
        return np.ones(len(masks), np.bool_)
    return _suppress(masks.box_xyxy(), crop_scores(masks), generator.crop_nms_thresh)


def crop_scores(masks: Selection) -> NDArray[np.float32]:
    """What sam2 prefers between crops: one over the area of each mask's crop, float32 (n,)."""
    left, top, right, bottom = masks.crop_box_xyxy().astype(np.int64).T
    area_px = ((right - left) * (bottom - top)).astype(np.float32)
    scores: NDArray[np.float32] = np.float32(1) / area_px
    return scores


def has_crops(masks: Selection) -> bool:
    """Return whether there are crops beside the image, as sam2 counts them: empty ones too."""
    return sum(len(part.crop_boxes_xyxy) for part in masks.passes) > 1


def _region_nms(masks: Selection, generator: GeneratorConfig) -> Choice:
    """Of duplicates after ``min_mask_region_area``, prefer masks that were not redrawn; off if that is 0."""
    if generator.min_mask_region_area <= 0:
        return np.ones(len(masks), np.bool_)
    is_unchanged = ~masks.regions.astype(np.bool_)
    iou_threshold = max(generator.box_nms_thresh, generator.crop_nms_thresh)
    return _suppress(masks.box_xyxy(), is_unchanged.astype(np.float32), iou_threshold)


def _suppress(box_xyxy: NDArray[np.int32], scores: NDArray[np.float32], iou_threshold: float) -> NDArray[np.int64]:
    """The positions that NMS keeps, with all masks in one class, best score first."""
    return kept_by_nms(box_xyxy.astype(np.float32), scores, iou_threshold)
