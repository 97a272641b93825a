"""Replay thousands of settings over one image at once, with the same masks as ``automatic.filters.Replay``.

What does not depend on the thresholds is computed once: the order in which sam2 looks at the masks, and which boxes
overlap by how much. Then each step goes once through the masks, for all settings together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates
from maskgrid.automatic.replay.filters import Replay, crop_scores, has_crops
from maskgrid.automatic.replay.image_filters import ImageFilters
from maskgrid.automatic.replay.regions import redraw_code
from maskgrid.automatic.replay.rivals import Rivals
from maskgrid.automatic.replay.selection import Selection
from maskgrid.automatic.replay.thresholds import rounded
from maskgrid.config.filters import FILTERS, filters_on
from maskgrid.config.models import Config, GeneratorConfig
from maskgrid.config.settings import WITHOUT_EFFECT, Setting
from maskgrid.config.spaces import generator_space
from maskgrid.config.sweep import Row
from maskgrid.plan.passes import PASS_PARAMETERS, passes_of

# The parameters that the steps below follow. Another one goes through Replay unless it is at its default, where it does
# nothing.
_FOLLOWED = frozenset(
    {
        *("checkpoint", "pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "mask_threshold"),
        *("box_nms_thresh", "crop_nms_thresh", "min_mask_region_area"),
        *PASS_PARAMETERS,
        *WITHOUT_EFFECT,
        *FILTERS,
    }
)


@dataclass(frozen=True, slots=True)
class ImageReplay:
    """One image's masks at one stem, n of them, and the steps that choose from them.

    A stem is what settings share that choose from the same masks: checkpoint, passes, ``mask_threshold``,
    ``stability_score_offset``, ``min_mask_region_area``.

    Attributes:
        masks: the masks recorded, but for those at crops' edges; redrawn where small regions are removed.
        predicted_iou: float32 (n,).
        stability: float32 (n,), at the stem's offset.
        by_box: duplicates within a crop.
        by_crop: duplicates between crops; None without crop layers.
        by_region: duplicates after small regions are removed; None if none are.
        order: int64 (n,), the masks in the order in which sam2 returns them.
        codes: the masks' run-length codes.
        by_score: int64 (n,), the masks by descending predicted IoU, as they are measured.
        filters: the config's filters.
    """

    masks: Selection
    predicted_iou: NDArray[np.float32]
    stability: NDArray[np.float32]
    by_box: Rivals
    by_crop: Rivals | None
    by_region: Rivals | None
    order: NDArray[np.int64]
    codes: tuple[bytes, ...]
    by_score: NDArray[np.int64]
    filters: ImageFilters

    @classmethod
    def of(
        cls,
        candidates: Mapping[str, Candidates],
        stem: Setting,
        lowest: float,
        in_image: Mapping[str, bytes] | None = None,
    ) -> Self:
        """Prepare an image.

        Args:
            candidates: the image's candidates by the name of their pass.
            stem: a setting of the stem.
            lowest: no threshold of sam2's suppressions will be below this.
            in_image: the image's part of each region, as a run-length code, by the config's ``filters.region``.
        """
        generator = stem.generator
        masks = recorded(candidates, stem)
        iou = masks.predicted_iou()
        # By crop, then by score; equal scores stay in sam2's order.
        crop = masks.layer.astype(np.int64) << 16 | masks.crop_index().astype(np.int64)
        order = np.lexsort((-iou, crop))
        by_box = Rivals.of_boxes(masks.box_xyxy(), order, crop, lowest)
        together, by_crop, by_region = np.zeros(len(masks), np.int64), None, None
        if has_crops(masks):
            order = order[np.argsort(-crop_scores(masks)[order], kind="stable")]
            by_crop = Rivals.of_boxes(masks.box_xyxy(), order, together, lowest)
        if generator.min_mask_region_area > 0:
            masks = _redrawn(masks, generator.min_mask_region_area)
            is_changed = masks.regions.astype(np.bool_)
            order = order[np.argsort(is_changed[order], kind="stable")]
            by_region = Rivals.of_boxes(masks.box_xyxy(), order, together, lowest)
        by_score = order[np.argsort(-iou[order], kind="stable")]
        stability = masks.stability_score(float(generator.stability_score_offset))
        codes, filters = tuple(masks.counts()), ImageFilters(masks, in_image or {})
        return cls(masks, iou, stability, by_box, by_crop, by_region, order, codes, by_score, filters)

    def keep(self, settings: Sequence[Setting]) -> NDArray[np.bool_]:
        """Which masks each setting of the stem keeps: bool (n, settings).

        Raises:
            UserError: a region is not known.
        """
        generators = [setting.generator for setting in settings]
        alive = self.good(generators)
        box_thresh, crop_thresh = _values(generators, "box_nms_thresh"), _values(generators, "crop_nms_thresh")
        self.by_box.drop(alive, box_thresh)
        if self.by_crop is not None:
            self.by_crop.drop(alive, crop_thresh)
        if self.by_region is not None:
            self.by_region.drop(alive, np.maximum(box_thresh, crop_thresh))
        if any(filters_on(setting.filters) for setting in settings):
            self.filters.drop(alive, [setting.filters for setting in settings])
        self._replace_others(alive, settings)
        return alive

    def good(self, generators: Sequence[GeneratorConfig]) -> NDArray[np.bool_]:
        """Which masks clear both thresholds of scores, of which 0 is off: bool (n, settings)."""
        thresholds, stable = _values(generators, "pred_iou_thresh"), _values(generators, "stability_score_thresh")
        wanted = np.where(thresholds > 0.0, thresholds, -np.inf)
        limit = np.stack([rounded(wanted, part.dtype) for part in self.masks.passes])
        is_stable = (self.stability[:, None] >= stable.astype(np.float32)) | (stable <= 0.0)
        good: NDArray[np.bool_] = (self.predicted_iou[:, None] > limit[self.masks.layer]) & is_stable
        return good

    def _replace_others(self, alive: NDArray[np.bool_], settings: Sequence[Setting]) -> None:
        """Ask ``Replay`` for the settings with parameters that the steps above do not follow."""
        others = [place for place, setting in enumerate(settings) if not is_followed(setting)]
        if not others:
            return
        place_of = {one: place for place, one in enumerate(_identities(self.masks))}
        replay = Replay({part.pass_.name: part for part in self.masks.passes}, self.filters.in_image)
        for place in others:
            kept = _identities(replay.select(settings[place].generator, settings[place].filters))
            alive[:, place] = False
            alive[[place_of[one] for one in kept], place] = True


def _redrawn(masks: Selection, min_area_px: int) -> Selection:
    """The masks without holes and islands below an area."""
    regions = np.empty(len(masks), np.object_)
    for place, code in enumerate(masks.counts()):
        regions[place] = redraw_code(code, masks.size_hw, min_area_px)
    return replace(masks, regions=regions)


def recorded(candidates: Mapping[str, Candidates], stem: Setting) -> Selection:
    """All masks recorded for a stem, crop by crop as sam2 goes through them, but for those at crops' edges."""
    generator = stem.generator
    passes = tuple(candidates[pass_.name] for pass_ in passes_of(generator))
    rows = []
    for part in passes:
        at_level = np.flatnonzero(part.rows.mask_threshold == float(generator.mask_threshold)).astype(np.int64)
        at_level = at_level[~part.rows.near_crop_edge[at_level]]
        rows.append(at_level[np.argsort(part.rows.crop_index[at_level], kind="stable")])
    layer = np.repeat(np.arange(len(passes), dtype=np.int16), [len(row) for row in rows])
    return Selection(passes, layer, np.concatenate(rows), np.full(len(layer), None, np.object_))


def is_followed(setting: Setting) -> bool:
    """Whether the steps of :class:`ImageReplay` know all parameters that the setting turns on."""
    off = _defaults()
    return all(name in _FOLLOWED or value == off[name] for name, value in setting.parameters().items())


@cache
def _defaults() -> dict[str, Any]:
    return generator_space(Config()).make(Row(None, {}, "", False)).parameters()


def _identities(masks: Selection) -> Iterable[tuple[int, int]]:
    return zip(masks.layer.tolist(), masks.row.tolist(), strict=True)


def _values(generators: Sequence[GeneratorConfig], name: str) -> NDArray[np.float64]:
    return np.array([getattr(generator, name) for generator in generators], np.float64)
