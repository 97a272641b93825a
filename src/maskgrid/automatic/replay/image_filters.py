"""The config's ``filters`` over one image's masks for many settings at once; ``mask_filters`` has them for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.replay.mask_filters import MaskFilters, by_score, by_size
from maskgrid.automatic.replay.rivals import Rivals
from maskgrid.automatic.replay.selection import Selection
from maskgrid.automatic.replay.shapes import AT_LEAST, SHAPES, measured, stays
from maskgrid.config.filters import FilterConfig, is_off
from maskgrid.masks.overlaps import Pairs

Kept = NDArray[np.bool_]
Keeps = Literal["larger", "smaller"]


@dataclass(slots=True)
class ImageFilters:
    """Filters n masks of an image; what no setting needs is not computed.

    Attributes:
        masks: the masks, redrawn where small regions are removed.
        in_image: the image's part of each region, as a run-length code, by the config's ``region``.
    """

    masks: Selection
    in_image: Mapping[str, bytes]
    _one: MaskFilters = field(init=False)
    _compared: Kept = field(default_factory=lambda: np.empty(0, np.bool_))
    _pairs: tuple[Pairs, NDArray[np.int64]] | None = None
    _known: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._one = MaskFilters(self.masks.size_hw, self.in_image)

    def drop(self, alive: Kept, filters: Sequence[FilterConfig]) -> None:
        """Drop what the filters of each setting drop from ``alive``, bool (n, settings).

        Raises:
            UserError: a region is not known.
        """
        for key in SHAPES:
            if any(not is_off(one, key) for one in filters):
                limits = np.array([_limit(key, one) for one in filters])
                alive &= stays(key, self.shape(key)[:, None], limits)
        self._drop_outside(alive, filters)
        self._suppress(alive, filters)
        if any(one.max_masks is not None for one in filters):
            order = by_score(self.masks)
            most = np.array([len(alive) if one.max_masks is None else one.max_masks for one in filters])
            alive[order] &= np.cumsum(alive[order], axis=0) <= most

    def shape(self, key: str) -> NDArray[Any]:
        """What a filter compares with its limit, (n,)."""
        if key not in self._known:
            self._known[key] = measured(key, self.masks)
        return self._known[key]

    def in_region(self, region: str) -> Kept:
        """Whether the region holds the masks' prompts, (n,)."""
        return self._one.holds_prompt(self.masks, region)

    def share_in_region(self, region: str) -> NDArray[np.float64]:
        """The masks' shares in the region, (n,)."""
        return self._one.share_in_region(self.masks, region)

    def by_iou(self, wanted: Kept) -> Rivals:
        """The pairs that ``mask_nms_thresh`` looks at, of the masks wanted, (n,), at least."""
        return self._rivals("iou", by_score(self.masks), wanted)

    def by_containment(self, keeps: Keeps, wanted: Kept) -> Rivals:
        """The pairs that ``max_containment_frac`` looks at, of the masks wanted, (n,), at least."""
        return self._rivals("of_smaller", by_size(self.masks, keeps == "larger"), wanted)

    def _rivals(self, measure: str, order: NDArray[np.int64], wanted: Kept) -> Rivals:
        if not len(self._compared):
            self._compared = np.zeros(len(self.masks), np.bool_)
        if self._pairs is None or (wanted & ~self._compared).any():
            self._compared = self._compared | wanted
            places = np.flatnonzero(self._compared)
            found = self._one.overlaps.between(self.masks.counts()[places].tolist())
            self._pairs = found, places
        pairs, places = self._pairs
        return Rivals.of_pairs(order, places[pairs.one], places[pairs.other], getattr(pairs, measure))

    def _drop_outside(self, alive: Kept, filters: Sequence[FilterConfig]) -> None:
        """Drop the masks outside the region of each setting."""
        for region in {one.region for one in filters} - {None}:
            here = [place for place, one in enumerate(filters) if one.region == region]
            fracs = [filters[place].min_region_frac for place in here]
            by_prompt = np.array([place for place, frac in zip(here, fracs, strict=True) if frac is None], np.int64)
            by_share = np.array([place for place, frac in zip(here, fracs, strict=True) if frac is not None], np.int64)
            if len(by_prompt):
                alive[:, by_prompt] &= self.in_region(str(region))[:, None]
            if len(by_share):
                least = np.array([frac for frac in fracs if frac is not None])
                alive[:, by_share] &= self.share_in_region(str(region))[:, None] >= least

    def _suppress(self, alive: Kept, filters: Sequence[FilterConfig]) -> None:
        """Drop the worse of masks that overlap, then one of nested masks."""
        thresholds = np.array([one.mask_nms_thresh for one in filters])
        if (thresholds < 1.0).any():
            self.by_iou(np.asarray(alive.any(axis=1))).drop(alive, thresholds)
        for keeps in ("larger", "smaller"):
            fracs = np.array([one.max_containment_frac if one.containment_keeps == keeps else 1.0 for one in filters])
            if (fracs < 1.0).any():
                self.by_containment(keeps, np.asarray(alive.any(axis=1))).drop(alive, fracs)


def _limit(key: str, filters: FilterConfig) -> float:
    """The limit of a filter, or one that all masks meet if it is off."""
    if is_off(filters, key):
        return -np.inf if key in AT_LEAST or key == "border" else np.inf
    return float(getattr(filters, key))
