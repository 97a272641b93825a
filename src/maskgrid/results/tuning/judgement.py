"""From columns of images to figures: the goal's value, its loss, and what other images would make of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgrid.results.advice.goals import Goal
from maskgrid.results.statistics.bootstrap import ratio_replicates

_ONES, _MASKS, _ABOVE, _BELOW, _NEAR = 0, 1, 2, 3, 4
# The loss of a setting with too few or too many masks begins here, so that any other is better.
_OUT_OF_LIMITS = 1e6
_LEVELS = (0.025, 0.975)


def value(goal: Goal, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The goal's measure, float64 (...), from sums over images or their means, float64 (..., columns)."""
    if goal.name == "masks":
        return n_masks(sums)
    if goal.name == "steady":
        with np.errstate(invalid="ignore", divide="ignore"):
            changes = np.abs(sums[..., _NEAR:] - sums[..., _MASKS, None]) / sums[..., _MASKS, None]
        steady: NDArray[np.float64] = changes.mean(axis=-1)
        return steady
    return quality(sums)


def n_masks(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Masks per image."""
    found: NDArray[np.float64] = sums[..., _MASKS] / sums[..., _ONES]
    return found


def quality(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the trade-off weighs against the number of masks: the measure against ground truth, else coverage."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = sums[..., _ABOVE] / sums[..., _BELOW]
    return found


def loss(goal: Goal, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the search makes small; finite. Settings outside the goal's limits are worse than any other."""
    found = goal.loss(value(goal, sums))
    count = n_masks(sums)
    missing = np.maximum(0.0 if goal.min_masks is None else goal.min_masks - count, 0.0)
    beyond = np.maximum(0.0 if goal.max_masks is None else count - goal.max_masks, 0.0)
    outside = missing + beyond
    worst = np.where(outside > 0.0, _OUT_OF_LIMITS + outside, np.where(np.isfinite(found), found, _OUT_OF_LIMITS))
    # Rounded, so that equal settings compare equal despite differences in the last bit.
    rounded: NDArray[np.float64] = np.round(worst, 9).astype(np.float64)
    return rounded


def is_allowed(losses: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether settings are within the limits and have a value."""
    allowed: NDArray[np.bool_] = losses < _OUT_OF_LIMITS
    return allowed


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval over images."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What held-out images say about one way to choose a setting.

    Attributes:
        held_out: the goal's value, each image at the setting chosen without it.
        gain: how much better the first way is, on the same images; positive if it is better.
    """

    held_out: Figure
    gain: Figure

    @property
    def is_noise(self) -> bool:
        """Whether the images cannot tell the two apart."""
        return not (self.gain.low > 0.0 or self.gain.high < 0.0)


def judge(goal: Goal, ways: Sequence[NDArray[np.float64]]) -> list[Judged]:
    """Judge ways to choose a setting against the first of them; all share the draws of images.

    Args:
        goal: the goal.
        ways: for each way the columns of the images, float64 (images, columns).
    """
    resampled = [ratio_replicates(columns, np.ones_like(columns)) for columns in ways]
    values = [value(goal, columns.sum(axis=0)) for columns in ways]
    replicates = [value(goal, means) for means in resampled]
    first_loss, first_losses = goal.loss(values[0]), goal.loss(replicates[0])
    return [
        Judged(
            _figure(values[way], replicates[way]),
            _figure(goal.loss(values[way]) - first_loss, goal.loss(replicates[way]) - first_losses),
        )
        for way in range(len(ways))
    ]


def _figure(found: NDArray[np.float64], replicates: NDArray[np.float64]) -> Figure:
    known = replicates[np.isfinite(replicates)]
    low, high = np.quantile(known, _LEVELS) if len(known) else (np.nan, np.nan)
    return Figure(float(found), float(low), float(high))


def front(counts: NDArray[np.float64], qualities: NDArray[np.float64]) -> list[int]:
    """The places of settings that no other betters: none is as good with fewer masks, or better with as many."""
    best: list[int] = []
    for place in np.lexsort((-qualities, counts)).tolist():
        if not np.isnan(qualities[place]) and (not best or qualities[place] > qualities[best[-1]] + 1e-12):
            best.append(place)
    return best
