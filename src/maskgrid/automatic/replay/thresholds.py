"""Thresholds as torch compares them with scores: rounded to the scores' type."""

import numpy as np
from numpy.typing import NDArray


def rounded(values: NDArray[np.float64], dtype: str) -> NDArray[np.float32]:
    """Numbers in a type of torch's (float32, bfloat16, float16), to the nearest, ties to even; by way of float32."""
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
        if dtype == "float16":
            return numbers.astype(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        bits = numbers.view(np.uint32).astype(np.uint64)
        nearest = (bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16) << np.uint64(16)
        return np.where(np.isfinite(numbers), nearest.astype(np.uint32).view(np.float32), numbers)
    return numbers


def least_rounded_to(scores: NDArray[np.float32], dtype: str) -> NDArray[np.float64]:
    """The least thresholds, float64, that are rounded to these scores or above; scores must be above 0."""
    low, high = scores.astype(np.float64) / 2, scores.astype(np.float64) * 2
    while True:
        middle = low + (high - low) / 2
        if ((middle <= low) | (middle >= high)).all():
            return high
        reaches = rounded(middle, dtype) >= scores
        low, high = np.where(reaches, low, middle), np.where(reaches, middle, high)
