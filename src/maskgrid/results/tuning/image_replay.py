"""Replay thousands of settings over one image at once, with the same masks as ``automatic.filters.Replay``.

What does not depend on the thresholds is computed once: the order in which sam2 looks at the masks, and which boxes
overlap by how much. Then each step goes once through the masks, for all settings together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates
from maskgrid.automatic.filters import Replay, crop_scores, has_crops, rounded_to
from maskgrid.automatic.regions import redraw
from maskgrid.automatic.selection import Selection
from maskgrid.config.models import Config, GeneratorConfig
from maskgrid.config.settings import WITHOUT_EFFECT, Setting
from maskgrid.config.spaces import generator_space
from maskgrid.config.sweep import Row
from maskgrid.masks.rle import decode
from maskgrid.plan.passes import PASS_PARAMETERS, passes_of

# The parameters that the steps below follow. Another one, such as a new filter, goes through Replay unless it is at its
# default, where it does nothing.
_FOLLOWED = frozenset(
    {
        *("checkpoint", "pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "mask_threshold"),
        *("box_nms_thresh", "crop_nms_thresh", "min_mask_region_area"),
        *PASS_PARAMETERS,
        *WITHOUT_EFFECT,
    }
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """Non-maximum suppression of an image's boxes, in a fixed order.

    Attributes:
        order: int64 (n,), the masks, best first.
        rivals: for each mask of the order that overlaps later ones: the mask, these, and their IoUs with it (float32).
    """

    order: NDArray[np.int64]
    rivals: tuple[tuple[int, NDArray[np.int64], NDArray[np.float32]], ...]

    @classmethod
    def of(
        cls, box_xyxy: NDArray[np.int32], order: NDArray[np.int64], classes: NDArray[np.int64], lowest: float
    ) -> Self:
        """Prepare the suppression.

        Args:
            box_xyxy: int32 (n, 4).
            order: int64 (n,), the masks, best first.
            classes: int64 (n,); only masks of one class are duplicates.
            lowest: no threshold will be below this.
        """
        boxes = box_xyxy[order].astype(np.float32)
        ordered = classes[order]
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        rivals = []
        for place in range(len(order) - 1):
            later = slice(place + 1, None)
            # torchvision's arithmetic in float32, step by step.
            corner = np.maximum(boxes[place, :2], boxes[later, :2])
            side = np.maximum(np.minimum(boxes[place, 2:], boxes[later, 2:]) - corner, np.float32(0))
            common = side[:, 0] * side[:, 1]
            with np.errstate(invalid="ignore"):  # boxes without an area: NaN is above no threshold
                iou = common / (area[place] + area[later] - common)
            near = np.flatnonzero((iou > lowest) & (ordered[later] == ordered[place]))
            if len(near):
                rivals.append((int(order[place]), order[place + 1 + near], iou[near]))
        return cls(order, tuple(rivals))

    def drop(self, alive: NDArray[np.bool_], thresholds: NDArray[np.float64]) -> None:
        """Drop the worse of duplicates: ``alive`` is bool (n, settings), ``thresholds`` float64 (settings,)."""
        for mask, later, iou in self.rivals:
            here = alive[mask]
            if here.any():
                alive[later] &= ~(here & (iou[:, None] > thresholds))


@dataclass(frozen=True, slots=True)
class ImageReplay:
    """One image's masks at one stem, n of them, and the steps that choose from them.

    Attributes:
        masks: the masks recorded, but for those at crops' edges.
        predicted_iou: float32 (n,).
        stability: float32 (n,), at the stem's offset.
        by_box: duplicates within a crop.
        by_crop: duplicates between crops; None without crop layers.
        by_region: duplicates after small regions are removed; None if none are.
        order: int64 (n,), the masks in the order in which sam2 returns them.
        codes: the masks' run-length codes, redrawn where small regions are removed.
        by_score: int64 (n,), the masks by descending predicted IoU, as they are measured.
    """

    masks: Selection
    predicted_iou: NDArray[np.float32]
    stability: NDArray[np.float32]
    by_box: Suppression
    by_crop: Suppression | None
    by_region: Suppression | None
    order: NDArray[np.int64]
    codes: tuple[bytes, ...]
    by_score: NDArray[np.int64]

    @classmethod
    def of(cls, candidates: Mapping[str, Candidates], stem: Setting, lowest: float) -> Self:
        """Prepare an image; no suppression will have a threshold below ``lowest``."""
        generator = stem.generator
        masks = recorded(candidates, stem)
        iou, box = masks.predicted_iou(), masks.box_xyxy()
        # By crop, then by score; equal scores stay in sam2's order.
        crop = masks.layer.astype(np.int64) << 16 | masks.crop_index().astype(np.int64)
        order = np.lexsort((-iou, crop))
        by_box = Suppression.of(box, order, crop, lowest)
        together, by_crop, by_region = np.zeros(len(masks), np.int64), None, None
        if has_crops(masks):
            order = order[np.argsort(-crop_scores(masks)[order], kind="stable")]
            by_crop = Suppression.of(box, order, together, lowest)
        codes = list(masks.counts())
        if generator.min_mask_region_area > 0:
            redrawn = [redraw(decode(code, masks.size_hw), generator.min_mask_region_area) for code in codes]
            for place, region in enumerate(redrawn):
                if region is not None:
                    codes[place], box[place] = region.counts, region.box_xyxy
            is_changed = np.array([region is not None for region in redrawn], np.bool_)
            order = order[np.argsort(is_changed[order], kind="stable")]
            by_region = Suppression.of(box, order, together, lowest)
        by_score = order[np.argsort(-iou[order], kind="stable")]
        stability = masks.stability_score(float(generator.stability_score_offset))
        return cls(masks, iou, stability, by_box, by_crop, by_region, order, tuple(codes), by_score)

    def keep(self, settings: Sequence[Setting]) -> NDArray[np.bool_]:
        """Which masks each setting of the stem keeps: bool (n, settings)."""
        generators = [setting.generator for setting in settings]
        limit = self._limits(generators)
        stable = _values(generators, "stability_score_thresh")
        alive = (self.predicted_iou[:, None] > limit[self.masks.layer]) & (
            (self.stability[:, None] >= stable.astype(np.float32)) | (stable <= 0.0)
        )
        box_thresh, crop_thresh = _values(generators, "box_nms_thresh"), _values(generators, "crop_nms_thresh")
        self.by_box.drop(alive, box_thresh)
        if self.by_crop is not None:
            self.by_crop.drop(alive, crop_thresh)
        if self.by_region is not None:
            self.by_region.drop(alive, np.maximum(box_thresh, crop_thresh))
        self._replace_others(alive, settings)
        return alive

    def _limits(self, generators: Sequence[GeneratorConfig]) -> NDArray[np.float32]:
        """What predicted IoU must exceed, in each network's type: float32 (passes, settings)."""
        thresholds = _values(generators, "pred_iou_thresh")
        wanted = np.where(thresholds > 0.0, thresholds, -np.inf).tolist()
        rows = [[rounded_to(part.dtype, value) for value in wanted] for part in self.masks.passes]
        return np.array(rows, np.float32)

    def _replace_others(self, alive: NDArray[np.bool_], settings: Sequence[Setting]) -> None:
        """Ask ``Replay`` for the settings with parameters that the steps above do not follow."""
        others = [place for place, setting in enumerate(settings) if not is_followed(setting)]
        if not others:
            return
        place_of = {one: place for place, one in enumerate(_identities(self.masks))}
        replay = Replay({part.pass_.name: part for part in self.masks.passes})
        for place in others:
            kept = _identities(replay.select(settings[place].generator, settings[place].filters))
            alive[:, place] = False
            alive[[place_of[one] for one in kept], place] = True


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
