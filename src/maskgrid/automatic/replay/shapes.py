"""What the filters that look at one mask at a time measure, and how they compare it with their limits."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.replay.selection import Selection

# The filters' keys, in their order, by what a mask must be to stay: at least the limit, at most, or above it.
AT_LEAST = ("min_area_px", "min_area_frac", "min_fill_frac")
AT_MOST = ("max_area_px", "max_area_frac", "max_aspect_ratio")
ABOVE = ("border",)
SHAPES = ("min_area_px", "max_area_px", "min_area_frac", "max_area_frac", "border", "min_fill_frac", "max_aspect_ratio")


def measured(key: str, masks: Selection) -> NDArray[Any]:
    """What a filter compares with its limit, for each mask: int64 pixels, or a float64 share or ratio, (n,)."""
    height, width = masks.size_hw
    area, box = masks.area_px().astype(np.int64), masks.box_xyxy().astype(np.int64)
    # Boxes include their last row and column.
    box_w, box_h = box[:, 2] - box[:, 0] + 1, box[:, 3] - box[:, 1] + 1
    match key:
        case "min_area_px" | "max_area_px":
            return area
        case "min_area_frac" | "max_area_frac":
            return area / math.prod(masks.size_hw)
        case "border":
            return np.asarray(np.minimum(box[:, :2], np.array([width - 1, height - 1]) - box[:, 2:]).min(axis=1))
        case "min_fill_frac":
            return area / (box_w * box_h)
        case "max_aspect_ratio":
            return np.asarray(np.maximum(box_w, box_h) / np.minimum(box_w, box_h))
        case _:
            raise AssertionError(key)


def stays(key: str, values: NDArray[Any], limit: Any) -> NDArray[np.bool_]:  # noqa: ANN401
    """Whether masks with these values stay at a limit, or an array of limits to broadcast."""
    if key in AT_LEAST:
        return np.asarray(values >= limit, np.bool_)
    return np.asarray(values <= limit if key in AT_MOST else values > limit, np.bool_)
