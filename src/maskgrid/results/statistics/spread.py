"""How much the settings disagree about each image, and the counts of a few images; the table is streamed."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.io.tables import open_table
from maskgrid.results.statistics.mask_counts import image_keys

_COLUMNS = ["setting_id", "image_key", "n_masks"]
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Spread:
    """How the counts of an image's masks spread over the settings."""

    image_key: str
    lowest: int
    highest: int
    deviation: float


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """Counts of single images.

    Attributes:
        keys: all images, sorted.
        widest: the images on which settings disagree most, in descending order.
        sampled: a few images, sorted; chosen by hash, so that new images hardly change the choice.
        n_masks: counts of the images in ``widest`` and ``sampled``, by image and setting.
    """

    keys: tuple[str, ...]
    widest: tuple[Spread, ...]
    sampled: tuple[str, ...]
    n_masks: dict[str, dict[str, int]]


def read_image_counts(mask_counts: Path, n_widest: int, n_sampled: int) -> ImageCounts:
    """Read the table of counts twice, in batches, because a large one does not fit into memory.

    Raises:
        maskgrid.io.errors.UserError: the table is missing or truncated.
    """
    keys = image_keys(mask_counts)
    widest = _widest(mask_counts, keys, n_widest)
    sampled = tuple(sample(keys.to_pylist(), n_sampled))
    # Sorted, because a set's order differs between processes and the report draws in this order.
    wanted = sorted({*sampled, *(spread.image_key for spread in widest)})
    counts: dict[str, dict[str, int]] = {key: {} for key in wanted}
    chosen = pa.array(wanted, pa.string())
    for batch in _batches(mask_counts):
        rows = batch.filter(pc.is_in(batch["image_key"], value_set=chosen))
        for row in rows.to_pylist():
            counts[row["image_key"]][row["setting_id"]] = row["n_masks"]
    return ImageCounts(tuple(keys.to_pylist()), widest, sampled, counts)


def sample(keys: Sequence[str], n: int) -> list[str]:
    """Choose ``n`` keys by their hashes, sorted. A new image replaces at most one of them."""
    ranked = sorted(set(keys), key=lambda key: hashlib.sha256(key.encode()).digest())
    return sorted(ranked[:n])


def _batches(mask_counts: Path) -> Iterator[pa.RecordBatch]:
    return open_table(mask_counts, _COLUMNS, _ROWS_AT_ONCE)[1]


def _widest(mask_counts: Path, keys: pa.Array, n_widest: int) -> tuple[Spread, ...]:
    """The images with the largest standard deviation over settings; ties in the order of keys."""
    sums = np.zeros((3, len(keys)))
    low, high = np.full(len(keys), np.iinfo(np.int64).max), np.zeros(len(keys), np.int64)
    for batch in _batches(mask_counts):
        place = pc.index_in(batch["image_key"], value_set=keys).to_numpy()
        n_masks = batch["n_masks"].to_numpy().astype(np.int64)
        for power in range(3):
            np.add.at(sums[power], place, n_masks.astype(np.float64) ** power)
        np.minimum.at(low, place, n_masks)
        np.maximum.at(high, place, n_masks)
    deviation = _deviation(sums)
    order = np.argsort(-deviation, kind="stable")[:n_widest]
    return tuple(
        Spread(keys[int(at)].as_py(), int(low[at]), int(high[at]), float(deviation[at]))
        for at in order
        if high[at] > low[at]
    )


def _deviation(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    n = np.maximum(sums[0], 1)
    # Rounded, so that images with equal counts are ordered by key despite differences in the last bit.
    deviation: NDArray[np.float64] = np.round(np.sqrt(np.maximum(sums[2] / n - (sums[1] / n) ** 2, 0.0)), 9)
    return deviation
