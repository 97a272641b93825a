"""Bootstrap intervals of means over images, paired: all columns share the same resamples.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13: the percentile interval.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPLICATES = 1000
_SEED = 20240729
_LEVELS = (0.025, 0.975)
# Weights (replicates x images) in memory at once.
_WEIGHTS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Intervals:
    """Means with 95 % intervals, each float64 of shape (k,); NaN for a column without values."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def cells(self, column: int) -> tuple[float | None, ...]:
        """Mean, low and high of a column as table cells; None for NaN."""
        values = (float(ends[column]) for ends in (self.mean, self.low, self.high))
        return tuple(None if np.isnan(value) else value for value in values)


def mean_intervals(values: NDArray[np.float64]) -> Intervals:
    """Means of columns over rows, with the percentile interval of the mean.

    A replicate draws as many rows as there are, with replacement. The draws depend only on the number of rows, so
    columns of different calls share the same resamples, and the same data give the same interval.

    Args:
        values: float64 (n, k), n images; NaN where an image has no value: the column then ignores that image.
    """
    present = ~np.isnan(values)
    n_present = present.sum(axis=0)
    some = n_present > 0
    mean, low, high = (np.full(values.shape[1], np.nan) for _ in range(3))
    if some.any():
        filled = np.where(present, values, 0.0)[:, some]
        mean[some] = filled.sum(axis=0) / n_present[some]
        means = _resampled_means(filled, present[:, some])
        low[some], high[some] = _quantiles(means)
    return Intervals(mean, low, high)


def ratio_intervals(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> Intervals:
    """Ratios of sums over rows, such as recall over all images, with the percentile interval of the ratio.

    Args:
        numerators: float64 (n, k), n images.
        denominators: float64 (n, k); 0 where an image has nothing to count.
    """
    replicates = ratio_replicates(numerators, denominators)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = numerators.sum(axis=0) / denominators.sum(axis=0)
    low, high = (np.full(len(ratio), np.nan) for _ in range(2))
    # A replicate may draw no image with anything to count; a column may have no such image at all.
    some = np.isfinite(ratio) & np.isfinite(replicates).any(axis=0)
    if some.any():
        low[some], high[some] = _quantiles(replicates[:, some])
    return Intervals(np.where(np.isfinite(ratio), ratio, np.nan), low, high)


def ratio_replicates(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratios of each replicate, float64 (replicates, k); NaN where it drew nothing to count."""
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [weights @ numerators / (weights @ denominators) for weights in _weights(len(numerators))]
    return np.concatenate(parts)


def _resampled_means(filled: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Means of each replicate, float64 (replicates, k); NaN where it drew none of a column's rows."""
    counted = present.astype(np.float64)
    complete = bool(present.all())
    parts = []
    for weights in _weights(len(filled)):
        drawn = float(len(filled)) if complete else weights @ counted
        with np.errstate(invalid="ignore"):  # 0 / 0 gives the wanted NaN
            parts.append(weights @ filled / drawn)
    return np.concatenate(parts)


def _weights(n_rows: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each replicate draws each row (multinomial), in chunks of replicates."""
    random = np.random.default_rng(_SEED)
    at_once = max(1, _WEIGHTS_AT_ONCE // n_rows)
    for start in range(0, REPLICATES, at_once):
        draws = (random.integers(n_rows, size=n_rows) for _ in range(min(at_once, REPLICATES - start)))
        yield np.stack([np.bincount(rows, minlength=n_rows) for rows in draws]).astype(np.float64)


def _quantiles(means: NDArray[np.float64]) -> NDArray[np.float64]:
    # nanquantile loops over the columns in Python, so use it only if needed.
    of = np.nanquantile if np.isnan(means).any() else np.quantile
    quantiles: NDArray[np.float64] = of(means, _LEVELS, axis=0)
    return quantiles
