"""The config's ``filters``: applied to the masks that sam2's steps leave, in the order of ``FilterFields``.

Each keeps the masks in sam2's order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.replay.drops import DROPS
from maskgrid.automatic.replay.funnel import Funnel
from maskgrid.automatic.replay.selection import Selection
from maskgrid.automatic.replay.shapes import measured, stays
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
        overlaps: pairs of masks that were looked at.
    """

    size_hw: tuple[int, int]
    regions: Mapping[str, bytes]
    overlaps: Overlaps = field(init=False)
    _of_region: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.overlaps = Overlaps(self.size_hw)

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
            region = str(filters.region)
            if filters.min_region_frac is None:
                return self.holds_prompt(masks, region)
            return np.asarray(self.share_in_region(masks, region) >= filters.min_region_frac, np.bool_)
        if key == "mask_nms_thresh":
            return self.overlaps.suppress(masks.counts().tolist(), by_score(masks), filters.mask_nms_thresh, "iou")
        if key == "max_containment_frac":
            order = by_size(masks, filters.containment_keeps == "larger")
            return self.overlaps.suppress(masks.counts().tolist(), order, filters.max_containment_frac, "of_smaller")
        if key == "max_masks":
            return _best(masks, int(filters.max_masks or 0))
        return stays(key, measured(key, masks), getattr(filters, key))

    def holds_prompt(self, masks: Selection, region: str) -> Kept:
        """Whether a region holds the point that prompted a mask: bool (n,).

        Raises:
            UserError: the region is not known, or not of the image's size.
        """
        return rle.holds_points(self._code(region), masks.point_xy(), self.size_hw)

    def share_in_region(self, masks: Selection, region: str) -> NDArray[np.float64]:
        """The share of each mask that lies in a region: float64 (n,); NaN for empty masks.

        Raises:
            UserError: the region is not known, or not of the image's size.
        """
        code = self._code(region)
        codes: list[bytes] = masks.counts().tolist()
        new = [mask for mask in dict.fromkeys(codes) if (region, mask) not in self._of_region]
        shares = rle.containment(new, [code], self.size_hw)[:, 0]
        common = np.rint(shares * rle.areas_px(new, self.size_hw)).astype(np.int64)
        self._of_region.update(zip(((region, mask) for mask in new), common.tolist(), strict=True))
        in_region = np.array([self._of_region[region, mask] for mask in codes], np.int64)
        share: NDArray[np.float64] = in_region / masks.area_px()
        return share

    def _code(self, region: str) -> bytes:
        if region not in self.regions:
            raise UserError(f"filters.region: {region!r} is not among the regions given for this image")
        try:
            rle.check(self.regions[region], self.size_hw)
        except ValueError:
            height, width = self.size_hw
            raise UserError(f"filters.region: the region is not of the image's size, {width} x {height}") from None
        return self.regions[region]


def by_score(masks: Selection) -> NDArray[np.int64]:
    """Positions of masks, best predicted IoU first, equal ones as proposed: sam2's order of those may vary."""
    return np.lexsort((masks.row, masks.layer, -masks.predicted_iou()))


def by_size(masks: Selection, larger_first: bool) -> NDArray[np.int64]:
    """Positions of masks by area; equal ones by score, then as proposed."""
    area = masks.area_px().astype(np.int64)
    return np.lexsort((masks.row, masks.layer, -masks.predicted_iou(), -area if larger_first else area))


def _best(masks: Selection, n: int) -> Kept:
    """The n masks with the highest predicted IoU; of equal scores the first proposed."""
    kept = np.zeros(len(masks), np.bool_)
    kept[by_score(masks)[:n]] = True
    return kept
