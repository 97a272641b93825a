"""Which parameter moves the number of masks most, and how sure that is: all parameters share the resamples."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.config.settings import Setting
from maskgrid.io.tables import open_table
from maskgrid.results.statistics.bootstrap import ratio_replicates
from maskgrid.results.statistics.effects import Level, levels_of
from maskgrid.results.statistics.mask_counts import image_keys

_ROWS_AT_ONCE = 1 << 16
# More images are resampled in groups of neighbours: as good an interval, in a bounded time.
_MOST_DRAWN = 10_000


@dataclass(frozen=True, slots=True)
class Move:
    """How far the mean count moves over the values of a parameter, a mean over all other parameters.

    Attributes:
        parameter: the parameter.
        fewest_at: its value with the fewest masks.
        most_at: its value with the most.
        fewest: the mean masks per image at that value.
        most: the same at the other.
        low: lower end of the 95 % interval of their difference, over images.
        high: upper end.
        first_frac: share of the resamples of images in which no other parameter moves the count as far.
    """

    parameter: str
    fewest_at: Any
    most_at: Any
    fewest: float
    most: float
    low: float
    high: float
    first_frac: float

    @property
    def range(self) -> float:
        """How far the mean count moves, in masks per image."""
        return self.most - self.fewest


def parameter_moves(mask_counts: Path, settings: Sequence[Setting]) -> list[Move]:
    """Measure each swept parameter's move, the largest first; empty if nothing is swept.

    Means are over a value's settings and images: over a full grid without failures, those of the table of effects.

    Args:
        mask_counts: the table of counts.
        settings: the settings with results; if there is a grid, only the grid's are used.

    Raises:
        maskgrid.io.errors.UserError: the table is missing or truncated.
    """
    used = [setting for setting in settings if setting.in_grid] or list(settings)
    levels = levels_of(used)
    if not levels:
        return []
    sums, counted = _grouped(_sums(mask_counts, used, levels))
    means = sums.sum(axis=0) / counted.sum(axis=0)
    replicates = ratio_replicates(sums, counted)
    spans, ranges = [], []
    for _, members in groupby(range(len(levels)), key=lambda at: levels[at].parameter):
        places = list(members)
        spans.append((min(places, key=lambda at: means[at]), max(places, key=lambda at: means[at])))
        ranges.append(np.ptp(replicates[:, places], axis=1))
    # Rounded, so that equal parameters share the credit despite differences in the last bit. A resample that drew no
    # result at one of the values says nothing of its parameter.
    widths = np.round(np.nan_to_num(np.stack(ranges, axis=1)), 9)
    is_first = widths >= widths.max(axis=1, keepdims=True)
    first_frac = (is_first / is_first.sum(axis=1, keepdims=True)).mean(axis=0)
    moves = []
    for (fewest, most), share in zip(spans, first_frac, strict=True):
        low, high = np.nanquantile(replicates[:, most] - replicates[:, fewest], (0.025, 0.975))
        ends = float(means[fewest]), float(means[most]), float(low), float(high)
        name, values = levels[fewest].parameter, (levels[fewest].value, levels[most].value)
        moves.append(Move(name, *values, *ends, float(share)))
    return sorted(moves, key=lambda move: -round(move.range, 9))


def _sums(
    mask_counts: Path, settings: Sequence[Setting], levels: Sequence[Level]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each image's masks at each value, summed over its settings, and their number; float64 (images, values)."""
    keys = image_keys(mask_counts)
    ids = pa.array([setting.id for setting in settings], pa.string())
    # Each setting has one value of each parameter: int (settings, parameters).
    having = np.stack([level.having for level in levels], axis=1)
    values = np.nonzero(having)[1].reshape(len(settings), -1)
    sums, counted = np.zeros((2, len(keys) * len(levels)))
    _, batches = open_table(mask_counts, ["setting_id", "image_key", "n_masks"], _ROWS_AT_ONCE)
    for batch in batches:
        batch = batch.filter(pc.is_in(batch["setting_id"], value_set=ids))
        setting = pc.index_in(batch["setting_id"], value_set=ids).to_numpy(zero_copy_only=False)
        image = pc.index_in(batch["image_key"], value_set=keys).to_numpy(zero_copy_only=False)
        places = image[:, None].astype(np.int64) * len(levels) + values[setting]
        n_masks = batch["n_masks"].to_numpy(zero_copy_only=False).astype(np.float64)
        np.add.at(sums, places, n_masks[:, None])
        np.add.at(counted, places, 1.0)
    shape = len(keys), len(levels)
    return sums.reshape(shape), counted.reshape(shape)


def _grouped(
    of_images: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sums, counted = of_images
    if len(sums) <= _MOST_DRAWN:
        return sums, counted
    starts = np.arange(_MOST_DRAWN) * len(sums) // _MOST_DRAWN
    return np.add.reduceat(sums, starts, axis=0), np.add.reduceat(counted, starts, axis=0)
