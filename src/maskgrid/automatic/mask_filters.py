"""The config's ``filters``: applied to the masks that sam2's steps leave, in the order of ``FilterFields``.

Each keeps the masks in sam2's order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.drops import DROPS
from maskgrid.automatic.funnel import Funnel
from maskgrid.automatic.selection import Selection
from maskgrid.config.filters import FilterConfig, is_off
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.masks.overlaps import Overlaps

Kept = NDArray[np.bool_]


@dataclass(slots=True)
class MaskFilters:
    """Filters the masks of one image at any setting, remembering what settings share.

    Attributes:
        size_hw: the image's height and width in pixels.
        regions: the image's part of each region, as COCO's compressed run-length code, by the config's ``region``.
    """

    size_hw: tuple[int, int]
    regions: Mapping[str, bytes]
    _overlaps: Overlaps = field(init=False)
    _of_region: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._overlaps = Overlaps(self.size_hw)

    def apply(self, masks: Selection, filters: FilterConfig, funnel: Funnel) -> Selection:
        """Apply the filters that are on, one after another.

        Raises:
            UserError: the filters name a region that is not known.
        """
        for key, column in DROPS.items():
            if is_off(filters, key):
                funnel.dropped[column] = 0
            else:
                masks = funnel.keep(column, masks, self._kept(key, masks, filters))
        return masks

    def _kept(self, key: str, masks: Selection, filters: FilterConfig) -> Kept:
        """Bool (n,), the masks that one filter keeps."""
        if key == "region":
            return self._region(masks, str(filters.region), filters.min_region_frac)
        if key == "mask_nms_thresh":
            return self._mask_nms(masks, filters.mask_nms_thresh)
        if key == "max_containment_frac":
            return self._containment(masks, filters.max_containment_frac, filters.containment_keeps == "larger")
        if key == "max_masks":
            return _best(masks, int(filters.max_masks or 0))
        return _by_shape(key, masks, filters)

    def _region(self, masks: Selection, name: str, min_frac: float | None) -> Kept:
        """Masks whose prompt, or whose share, lies in the region."""
        if name not in self.regions:
            raise UserError(f"filters.region: {name!r} is not among the regions given for this image")
        code = self.regions[name]
        try:
            rle.check(code, self.size_hw)
        except ValueError:
            height, width = self.size_hw
            raise UserError(f"filters.region: the region is not of the image's size, {width} x {height}") from None
        if min_frac is None:
            return rle.holds_points(code, masks.point_xy(), self.size_hw)
        codes: list[bytes] = masks.counts().tolist()
        new = [mask for mask in dict.fromkeys(codes) if (name, mask) not in self._of_region]
        shares = rle.containment(new, [code], self.size_hw)[:, 0]
        common = np.rint(shares * rle.areas_px(new, self.size_hw)).astype(np.int64)
        self._of_region.update(zip(((name, mask) for mask in new), common.tolist(), strict=True))
        in_region = np.array([self._of_region[name, mask] for mask in codes], np.int64)
        kept: Kept = in_region / masks.area_px() >= min_frac
        return kept

    def _mask_nms(self, masks: Selection, thresh: float) -> Kept:
        """The best-scored of masks that overlap by more than an IoU; of equal scores the first proposed."""
        order = _by_score(masks)
        return self._overlaps.suppress(masks.counts().tolist(), order, thresh, "iou")

    def _containment(self, masks: Selection, max_frac: float, keeps_larger: bool) -> Kept:
        """Of nested masks one; of equal sizes the best-scored, then the first proposed."""
        area = masks.area_px().astype(np.int64)
        order = np.lexsort((masks.row, masks.layer, -masks.predicted_iou(), -area if keeps_larger else area))
        return self._overlaps.suppress(masks.counts().tolist(), order, max_frac, "of_smaller")


def _by_shape(key: str, masks: Selection, filters: FilterConfig) -> Kept:
    """The filters that look at one mask at a time."""
    height, width = masks.size_hw
    area, box = masks.area_px().astype(np.int64), masks.box_xyxy().astype(np.int64)
    # Boxes include their last row and column.
    box_w, box_h = box[:, 2] - box[:, 0] + 1, box[:, 3] - box[:, 1] + 1
    limit = getattr(filters, key)
    match key:
        case "min_area_px":
            kept = area >= limit
        case "max_area_px":
            kept = area <= limit
        case "min_area_frac":
            kept = area / math.prod(masks.size_hw) >= limit
        case "max_area_frac":
            kept = area / math.prod(masks.size_hw) <= limit
        case "border":
            far = np.array([width - 1 - limit, height - 1 - limit])
            kept = (box[:, :2] > limit).all(axis=1) & (box[:, 2:] < far).all(axis=1)
        case "min_fill_frac":
            kept = area / (box_w * box_h) >= limit
        case "max_aspect_ratio":
            kept = np.maximum(box_w, box_h) / np.minimum(box_w, box_h) <= limit
        case _:
            raise AssertionError(key)
    return np.asarray(kept, np.bool_)


def _by_score(masks: Selection) -> NDArray[np.int64]:
    """Positions of masks, best predicted IoU first, equal ones as proposed: sam2's order of those may vary."""
    return np.lexsort((masks.row, masks.layer, -masks.predicted_iou()))


def _best(masks: Selection, n: int) -> Kept:
    """The n masks with the highest predicted IoU; of equal scores the first proposed."""
    kept = np.zeros(len(masks), np.bool_)
    kept[_by_score(masks)[:n]] = True
    return kept
