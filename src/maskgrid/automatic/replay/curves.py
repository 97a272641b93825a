"""Curves instead of grids: an image's number of masks at every value of a threshold, all else at a setting.

The count is a step function, whose steps lie at the candidates' own values: scores, overlaps, areas. One way through
the steps of the replay finds all of them: instead of whether a mask is kept, each step knows at which values it is.
Where a crop has more than 1,000 boxes, with equal scores among them, torchvision's order of these is its own; between
crops such masks may then be chosen differently here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.replay.image_replay import ImageReplay
from maskgrid.automatic.replay.ranges import Ends, Ranges
from maskgrid.automatic.replay.rivals import Rivals
from maskgrid.automatic.replay.shapes import AT_LEAST, AT_MOST, SHAPES, stays
from maskgrid.automatic.replay.thresholds import least_rounded_to
from maskgrid.config.filters import is_off
from maskgrid.config.settings import Setting

# The thresholds with a curve.
CURVES = (
    *("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh"),
    *(*SHAPES, "min_region_frac", "mask_nms_thresh", "max_containment_frac", "max_masks"),
)
# The least number above 0, at which a score's threshold is on.
_ON = float(np.nextafter(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class CountCurve:
    """A step function of a threshold.

    Attributes:
        starts: float64 (k,), where each step starts, ascending; the first is -inf.
        counts: float64 or int64 (k,), masks from the step's start up to the next one's.
        low: the least value that was recorded.
    """

    starts: Ends
    counts: NDArray[np.float64] | NDArray[np.int64]
    low: float = -np.inf

    def at(self, values: NDArray[np.float64] | float) -> NDArray[np.float64] | NDArray[np.int64]:
        """The number of masks at each of some values."""
        return self.counts[np.searchsorted(self.starts, values, side="right") - 1]

    @classmethod
    def mean(cls, curves: Iterable["CountCurve"]) -> Self:
        """The mean of the curves of several images."""
        listed = list(curves)
        starts = np.concatenate([one.starts for one in listed])
        changes = np.concatenate([np.diff(one.counts, prepend=0) for one in listed])
        values, place = np.unique(starts, return_inverse=True)
        counts = np.cumsum(np.bincount(place.ravel(), changes, len(values)))
        return cls(values, np.round(counts) / len(listed), max(one.low for one in listed))


def count_curve(image: ImageReplay, setting: Setting, name: str) -> CountCurve:
    """The number of masks of an image at each value of a threshold.

    Args:
        image: the image, prepared for the setting's stem, with a ``lowest`` of 0.
        setting: the setting, whose own value of the threshold does not matter.
        name: one of ``CURVES``.

    Raises:
        UserError: the filters name a region that is not known.
    """
    kept = Ranges.everywhere(len(image.masks))
    _by_scores(kept, image, setting, name)
    _by_boxes(kept, image, setting, name)
    _by_filters(kept, image, setting, name)
    starts, counts = kept.steps()
    if name == "max_masks":
        n_masks = int(counts[-1])
        starts, counts = np.concatenate([[-np.inf], np.arange(1.0, n_masks + 1)]), np.arange(n_masks + 1)
    elif setting.filters.max_masks is not None:
        counts = np.minimum(counts, setting.filters.max_masks)
        is_step = np.concatenate([[True], counts[1:] != counts[:-1]])
        starts, counts = starts[is_step], counts[is_step]
    floors = [float(getattr(part.recording, name, -np.inf)) for part in image.masks.passes]
    return CountCurve(starts, counts, max(floors))


def _by_scores(kept: Ranges, image: ImageReplay, setting: Setting, name: str) -> None:
    good = image.good([setting.generator.model_copy(update={name: 0.0} if name in _SCORES else {})])
    kept.only(good[:, 0])
    if name == "pred_iou_thresh":
        # A threshold that is rounded to the score, or above it, drops the mask.
        for layer, part in enumerate(image.masks.passes):
            here = image.masks.layer == layer
            _clip_scores(kept, here, image.predicted_iou, part.dtype)
    elif name == "stability_score_thresh":
        # One that is rounded to the next number above the score.
        above = np.nextafter(image.stability, np.float32(np.inf))
        _clip_scores(kept, np.ones(len(above), np.bool_), above, "float32")


_SCORES = ("pred_iou_thresh", "stability_score_thresh")


def _clip_scores(kept: Ranges, here: NDArray[np.bool_], scores: NDArray[np.float32], dtype: str) -> None:
    """Keep masks below the least threshold that is rounded to their score; 0 drops none."""
    end = np.full(len(scores), np.inf)
    end[here] = _ON
    positive = here & (scores > 0)
    end[positive] = least_rounded_to(scores[positive], dtype)
    kept.clip(np.full(len(scores), -np.inf), end)


def _by_boxes(kept: Ranges, image: ImageReplay, setting: Setting, name: str) -> None:
    box_thresh, crop_thresh = setting.generator.box_nms_thresh, setting.generator.crop_nms_thresh
    _suppress(kept, image.by_box, box_thresh, name == "box_nms_thresh")
    if image.by_crop is not None:
        _suppress(kept, image.by_crop, crop_thresh, name == "crop_nms_thresh")
    if image.by_region is None:
        return
    # The higher of the two counts.
    if name in ("box_nms_thresh", "crop_nms_thresh"):
        other = crop_thresh if name == "box_nms_thresh" else box_thresh
        kept.suppress(image.by_region.above(other), True)
    else:
        kept.suppress(image.by_region.above(max(box_thresh, crop_thresh)), False)


def _suppress(kept: Ranges, rivals: Rivals, limit: float, is_axis: bool) -> None:
    kept.suppress(rivals if is_axis else rivals.above(limit), is_axis)


def _by_filters(kept: Ranges, image: ImageReplay, setting: Setting, name: str) -> None:
    filters, of_image = setting.filters, image.filters
    for key in SHAPES:
        if key == name:
            _clip_shape(kept, key, of_image.shape(key))
        elif not is_off(filters, key):
            kept.only(stays(key, of_image.shape(key), getattr(filters, key)))
    if filters.region is not None:
        if name == "min_region_frac":
            _clip_shape(kept, name, of_image.share_in_region(filters.region))
        elif filters.min_region_frac is None:
            kept.only(of_image.in_region(filters.region))
        else:
            kept.only(of_image.share_in_region(filters.region) >= filters.min_region_frac)
    if name == "mask_nms_thresh" or not is_off(filters, "mask_nms_thresh"):
        _suppress(kept, of_image.by_iou(kept.somewhere()), filters.mask_nms_thresh, name == "mask_nms_thresh")
    if name == "max_containment_frac" or not is_off(filters, "max_containment_frac"):
        rivals = of_image.by_containment(filters.containment_keeps, kept.somewhere())
        _suppress(kept, rivals, filters.max_containment_frac, name == "max_containment_frac")


def _clip_shape(kept: Ranges, key: str, values: Ends | NDArray[np.int64]) -> None:
    """Keep masks at the limits that their values meet."""
    n, measured = len(values), values.astype(np.float64)
    if key in AT_MOST:
        kept.clip(measured, np.full(n, np.inf))
        return
    # At least a limit: up to the value, which is included; counts of pixels are whole numbers.
    if key in AT_LEAST or key == "min_region_frac":
        measured = measured + 1 if values.dtype == np.int64 else np.nextafter(measured, np.inf)
    kept.clip(np.full(n, -np.inf), measured)
