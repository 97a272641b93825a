"""Measure the stretch of a picture strip by strip, with the values that the whole picture gives.

Numbers of up to 16 bits are counted. Of longer ones, a percentile is found by its leading bits first: each time the
picture is read, 16 bits more are known.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from maskgrid.config.pixels import PixelsConfig, StretchRange
from maskgrid.dataset.pixels.look import (
    PERCENTILES,
    Look,
    Raster,
    Values,
    bands_shown,
    in_counts,
    is_shallow,
    nodata_of,
    refuse_outside,
    valid_values,
)

Strips = Callable[[], Iterable[Raster]]
Counts = npt.NDArray[np.int64]

_BITS = 16
_AT_ONCE = 1 << 20


def look_of_strips(strips: Strips, pixels: PixelsConfig, page: int | None, shrink: int) -> Look:
    """Choose the bands of a picture and measure their stretch, like :func:`maskgrid.dataset.pixels.look.look_of`.

    Args:
        strips: reads the picture, strip by strip, each time from its beginning.
        pixels: what the config says.
        page: the page of the file.
        shrink: as in the look.

    Raises:
        PixelsUnsupportedError: as for ``look_of``.
    """
    seen: list[_Seen] = []
    for raster in strips():
        first, bands, nodata = raster, bands_shown(raster, pixels), nodata_of(raster, pixels)
        seen = seen or [_Seen(raster.values.dtype, _counts_needed(raster.values.dtype, pixels)) for _ in bands]
        for band, found in zip(bands, seen, strict=True):
            found.add(valid_values(raster.values[..., band - 1], raster.alpha, nodata))
    is_one_stretch = first.is_colour and pixels.bands is None
    parts = [list(range(len(bands)))] if is_one_stretch else [[number] for number in range(len(bands))]

    def values_of(part: Sequence[int]) -> Iterator[Values]:
        for raster in strips():
            for number in part:
                yield valid_values(raster.values[..., bands[number] - 1], raster.alpha, nodata)

    ranges = [
        _range([seen[number] for number in part], pixels, first.white, partial(values_of, part)) for part in parts
    ]
    ranges *= len(bands) // len(ranges)
    return Look(page, bands, tuple(low for low, _ in ranges), tuple(high for _, high in ranges), nodata, shrink)


def _counts_needed(dtype: np.dtype[Any], pixels: PixelsConfig) -> bool:
    return pixels.stretch == "percentile" or (pixels.stretch == "auto" and not is_shallow(dtype))


@dataclass(slots=True)
class _Seen:
    """What was seen of a band.

    Attributes:
        dtype: the values' type.
        counted: whether to count values.
        n: valid values.
        low: the lowest.
        high: the highest.
        counts: int64 (65536,), how often each value of up to 16 bits was there, or the first 16 bits of a longer one.
    """

    dtype: np.dtype[Any]
    counted: bool
    n: int = 0
    low: float = np.inf
    high: float = -np.inf
    counts: Counts = field(default_factory=lambda: np.zeros(1 << _BITS, np.int64))

    def add(self, values: Values) -> None:
        if not values.size:
            return
        self.n += values.size
        self.low, self.high = min(self.low, values.min().item()), max(self.high, values.max().item())
        if self.counted:
            self.counts += _counted(_keys(values), 0, 0)


def _range(
    seen: Sequence[_Seen], pixels: PixelsConfig, white: float, read: Callable[[], Iterable[Values]]
) -> tuple[float, float]:
    """The values that become black and white in some bands together, as ``maskgrid.dataset.pixels.look`` finds them."""
    dtype, stretch = seen[0].dtype, pixels.stretch
    if isinstance(stretch, StretchRange):
        return float(stretch.low), float(stretch.high)
    if stretch == "none" or (stretch == "auto" and is_shallow(dtype)):
        for band in seen:
            if band.n:
                refuse_outside(band.low, band.high, white)
        return 0.0, white
    if not any(band.n for band in seen):
        return 0.0, 1.0
    low, high = lowest, highest = min(band.low for band in seen), max(band.high for band in seen)
    if stretch != "minmax":
        low, high = _percentiles(sum((band.counts for band in seen), np.zeros(1 << _BITS, np.int64)), dtype, read)
    if low == high:  # most of the image has one value
        low, high = lowest, highest
    return (float(low), float(high)) if low < high else (float(low), float(low) + 1.0)


def _percentiles(counts: Counts, dtype: np.dtype[Any], read: Callable[[], Iterable[Values]]) -> tuple[float, float]:
    if dtype.kind in "iub" and dtype.itemsize <= _BITS // 8:
        least = np.iinfo(dtype).min if dtype.kind == "i" else 0
        low, high = (in_counts(counts, percent / 100) for percent in PERCENTILES)
        return low + least, high + least
    n = int(counts.sum())
    places = [(n - 1) * (percent / 100) for percent in PERCENTILES]
    ranks = [rank for place in places for rank in (int(place), min(int(place) + 1, n - 1))]
    found = _values_at(ranks, counts, dtype, read)
    low, high = (
        float(below + (above - below) * (place - int(place)))
        for place, below, above in zip(places, found[::2], found[1::2], strict=True)
    )
    return low, high


def _values_at(
    ranks: Sequence[int], counts: Counts, dtype: np.dtype[Any], read: Callable[[], Iterable[Values]]
) -> list[float]:
    """The values at some places among all values in order, from the counts of their first bits."""
    known = [_in_order(rank, counts) for rank in ranks]
    for n_known in range(_BITS, 8 * dtype.itemsize, _BITS):
        more = {prefix: np.zeros(1 << _BITS, np.int64) for prefix, _ in known}
        for values in read():
            keys = _keys(values)
            for prefix, of_prefix in more.items():
                of_prefix += _counted(keys, n_known, prefix)
        nexts = [(prefix, _in_order(rank, more[prefix])) for prefix, rank in known]
        known = [(prefix << _BITS | digit, rank) for prefix, (digit, rank) in nexts]
    return [_value(key, dtype) for key, _ in known]


def _in_order(rank: int, counts: Counts) -> tuple[int, int]:
    """Which number is at a place among numbers in order, and how many equal ones come before it."""
    up_to = np.cumsum(counts)
    number = int(np.searchsorted(up_to, rank, side="right"))
    return number, rank - int(up_to[number] - counts[number])


def _counted(keys: Values, n_known: int, prefix: int) -> Counts:
    """Count the 16 bits of keys that follow some first bits, for the keys that begin with these."""
    counts, width = np.zeros(1 << _BITS, np.int64), 8 * keys.dtype.itemsize
    flat = keys.reshape(-1)
    for start in range(0, len(flat), _AT_ONCE):
        some = flat[start : start + _AT_ONCE]
        if n_known:
            some = some[some >> (width - n_known) == prefix]
        digits = some >> (width - n_known - _BITS) & ((1 << _BITS) - 1)
        counts += np.bincount(digits.astype(np.intp), minlength=1 << _BITS)
    return counts


def _keys(values: Values) -> Values:
    """Numbers without a sign, of at least 16 bits, in the order of the values."""
    dtype = values.dtype
    if dtype.kind in "ub":
        return values.astype(np.uint16) if dtype.itemsize < 2 else values
    if dtype.itemsize < 2:
        return (values.astype(np.int16) + 128).astype(np.uint16)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    bits, sign = np.ascontiguousarray(values).view(unsigned), unsigned.type(1 << (8 * dtype.itemsize - 1))
    keys: Values = bits ^ sign if dtype.kind == "i" else np.where(bits & sign, ~bits, bits | sign)
    return keys


def _value(key: int, dtype: np.dtype[Any]) -> float:
    """The inverse of :func:`_keys`, for types of at least 16 bits."""
    unsigned, sign = np.dtype(f"u{dtype.itemsize}"), 1 << (8 * dtype.itemsize - 1)
    if dtype.kind == "u":
        return key
    all_bits = 2 * sign - 1
    bits = key ^ sign if dtype.kind == "i" or key & sign else key ^ all_bits
    return np.array(bits, unsigned).view(dtype).item()  # type: ignore[no-any-return]
