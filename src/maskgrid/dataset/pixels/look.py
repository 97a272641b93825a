"""How an image's values become its 8-bit picture: which bands are shown, and between which values they stretch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maskgrid.config.pixels import PixelsConfig, StretchRange
from maskgrid.dataset.pixels.pillow import PixelsUnsupportedError
from maskgrid.io.fingerprint import digest

Values = npt.NDArray[Any]

PERCENTILES = (1, 99)
_ROWS_AT_ONCE = 256
_MOST_NAMED = 12
_SHORT, _MOST_SHORT = (np.uint8, np.uint16), 1 << 16
# Damaged floats may be anything: differences beyond the range, and NaN that processors warn about.
_any_float = np.errstate(invalid="ignore", over="ignore")


@dataclass(frozen=True, slots=True)
class Look:
    """How a file becomes a picture, if not as a viewer shows it.

    Attributes:
        page: the page of the file, from 1; None: its first.
        bands: the one or three bands shown, from 1; None: the file's own colours.
        low: the value of each band that is shown as black; None: the file's own 8 bits.
        high: the same for white.
        nodata: the value that means no data, shown as black.
        shrink: for an image that is read in windows alone, the side in pixels of the blocks in which large parts of it
            are seen; None for others.
    """

    page: int | None = None
    bands: tuple[int, ...] | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    nodata: float | None = None
    shrink: int | None = None

    def digest(self, sha256: str) -> str:
        """Hash a file's content together with the look: what the picture depends on."""
        facts = asdict(self)
        if self.shrink is None:
            del facts["shrink"]  # as before there were such images
        return digest({"sha256": sha256, **facts})


@dataclass(frozen=True, slots=True)
class Raster:
    """The values in a file, before they become a picture.

    Attributes:
        values: (H, W, n) of any real type, upright or not as in the file.
        names: the names of the n bands; empty where they have none.
        shown: the bands, from 1, that are shown by default, as grey or as red, green and blue; empty where the file
            does not say.
        is_colour: whether they are the colours of one picture: they share a stretch, which keeps the hues.
        alpha: float32 (H, W), 0 to 1, how opaque each pixel is; None: all are.
        white: the value that is white without a stretch.
        white_is_zero: whether low values are bright.
        nodata: the value that means no data; None for none.
        orientation: EXIF's, 1 to 8.
    """

    values: Values
    names: tuple[str, ...] = ()
    shown: tuple[int, ...] = ()
    is_colour: bool = False
    alpha: npt.NDArray[np.float32] | None = None
    white: float = 255.0
    white_is_zero: bool = False
    nodata: float | None = None
    orientation: int = 1


@_any_float
def look_of(raster: Raster, pixels: PixelsConfig, page: int | None = None) -> Look:
    """Choose the bands of a file and measure their stretch.

    Raises:
        PixelsUnsupportedError: the file does not have such bands, or ``stretch: none`` cannot show its values.
    """
    bands, nodata = bands_shown(raster, pixels), nodata_of(raster, pixels)
    chosen = [raster.values[..., band - 1] for band in bands]
    is_one_stretch = raster.is_colour and pixels.bands is None
    parts = [chosen] if is_one_stretch else [[band] for band in chosen]
    ranges = [_range(part, pixels.stretch, raster, nodata) for part in parts]
    ranges *= len(bands) // len(ranges)
    return Look(page, bands, tuple(low for low, _ in ranges), tuple(high for _, high in ranges), nodata)


def is_measured(raster: Raster, pixels: PixelsConfig) -> bool:
    """Return whether the image's own values decide its stretch."""
    if isinstance(pixels.stretch, StretchRange) or pixels.stretch == "none":
        return False
    return pixels.stretch != "auto" or not is_shallow(raster.values.dtype)


@_any_float
def picture(raster: Raster, look: Look) -> npt.NDArray[np.uint8]:
    """Draw a raster: uint8 (H, W, 3), as in the file; transparency is shown on white, NaN and no data as black.

    Args:
        raster: the values.
        look: from :func:`look_of`, with all of ``bands``, ``low`` and ``high``.

    Raises:
        PixelsUnsupportedError: the file does not have the look's bands.
    """
    bands, lows, highs = look.bands or (), look.low or (), look.high or ()
    if not bands or max(bands) > raster.values.shape[2]:
        raise PixelsUnsupportedError(f"{raster.values.shape[2]} bands, and not those that the index names")
    planes = [
        _stretched(raster.values[..., band - 1], low, high, raster.white_is_zero, look.nodata)
        for band, low, high in zip(bands, lows, highs, strict=True)
    ]
    drawn = np.stack(planes if len(planes) == 3 else planes * 3, axis=-1)
    if raster.alpha is not None:
        for start in range(0, len(drawn), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            share = raster.alpha[rows, :, None]
            drawn[rows] = np.rint(drawn[rows] * share + 255 * (1 - share)).astype(np.uint8)
    return drawn


def nodata_of(raster: Raster, pixels: PixelsConfig) -> float | None:
    """The value that means no data; None for none.

    The one that a file states counts where the image is stretched, or bands are chosen: others are shown as they are,
    in windows as whole.
    """
    if pixels.nodata != "auto":
        return None if pixels.nodata is None else float(pixels.nodata)
    stretch = pixels.stretch
    is_unchanged = stretch == "none" or (stretch == "auto" and is_shallow(raster.values.dtype))
    return None if is_unchanged and pixels.bands is None else raster.nodata


def bands_shown(raster: Raster, pixels: PixelsConfig) -> tuple[int, ...]:
    """The bands that are shown, from 1.

    Raises:
        PixelsUnsupportedError: the file does not have such bands, or does not say which are its colours.
    """
    if pixels.bands is not None:
        asked = pixels.bands if isinstance(pixels.bands, tuple) else (pixels.bands,)
        return tuple(_number(band, raster) for band in asked)
    if raster.shown:
        return raster.shown
    raise PixelsUnsupportedError(f"{_named(raster)}; dataset.pixels.bands says which to show")


def _number(band: int | str, raster: Raster) -> int:
    n_bands = raster.values.shape[2]
    if isinstance(band, int):
        if band > n_bands:
            raise PixelsUnsupportedError(f"{_named(raster)}, but dataset.pixels.bands asks for band {band}")
        return band
    names = [name.casefold() for name in raster.names]
    if band.casefold() not in names:
        raise PixelsUnsupportedError(f"{_named(raster)}, but dataset.pixels.bands asks for {band!r}")
    return names.index(band.casefold()) + 1


def _named(raster: Raster) -> str:
    n_bands = raster.values.shape[2]
    named = ", ".join(raster.names[:_MOST_NAMED]) + (", …" if len(raster.names) > _MOST_NAMED else "")
    return f"{n_bands} band{'s' * (n_bands != 1)} ({named or 'without names'})"


def _range(
    bands: Sequence[Values], stretch: str | StretchRange, raster: Raster, nodata: float | None
) -> tuple[float, float]:
    """The values that become black and white in some bands together."""
    if isinstance(stretch, StretchRange):
        return float(stretch.low), float(stretch.high)
    if stretch == "none" or (stretch == "auto" and is_shallow(bands[0].dtype)):
        return _whole_range(bands, raster, nodata)
    valid = [valid_values(band, raster.alpha, nodata) for band in bands]
    values = valid[0] if len(valid) == 1 else np.concatenate(valid)
    if not len(values):
        return 0.0, 1.0
    low, high = (values.min(), values.max()) if stretch == "minmax" else percentiles(values)
    if low == high:  # most of the image has one value
        low, high = values.min(), values.max()
    return (float(low), float(high)) if low < high else (float(low), float(low) + 1.0)


def is_shallow(dtype: np.dtype[Any]) -> bool:
    """Return whether values of a type are shown as they are."""
    return dtype in (np.uint8, np.bool_)


def _whole_range(bands: Sequence[Values], raster: Raster, nodata: float | None) -> tuple[float, float]:
    for band in bands:
        values = valid_values(band, raster.alpha, nodata)
        if len(values):
            refuse_outside(values.min(), values.max(), raster.white)
    return 0.0, raster.white


def refuse_outside(low: float, high: float, white: float) -> None:
    """Refuse values without a stretch that do not lie between 0 and white, as ``PixelsUnsupportedError``."""
    if low < 0 or high > white:
        raise PixelsUnsupportedError(
            f"values from {low:g} to {high:g}; without a stretch only 0 to {white:g} have an agreed look"
        )


def valid_values(band: Values, alpha: npt.NDArray[np.float32] | None, nodata: float | None) -> Values:
    """The values that count, in one row: finite, not transparent, and data."""
    keep: npt.NDArray[np.bool_] | None = None
    if band.dtype.kind == "f":
        keep = np.isfinite(band)
    if alpha is not None:
        keep = (alpha > 0) if keep is None else keep & (alpha > 0)
    if nodata is not None:
        keep = (band != nodata) if keep is None else keep & (band != nodata)
    return band.ravel() if keep is None or keep.all() else band[keep]


def percentiles(values: Values) -> tuple[float, float]:
    """The 1st and 99th percentile of numbers, as ``numpy.percentile``; numbers of up to 16 bits are counted."""
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        least = int(np.iinfo(values.dtype).min)
        shifted = values if least == 0 else values.astype(np.int32) - least
        low, high = (in_counts(np.bincount(shifted), percent / 100) for percent in PERCENTILES)
        return low + least, high + least
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)


def in_counts(counts: npt.NDArray[np.intp], share: float) -> float:
    """A quantile of whole numbers from their counts, interpolated linearly."""
    up_to = np.cumsum(counts)
    place = (int(up_to[-1]) - 1) * share
    below = int(place)
    first, second = (
        int(np.searchsorted(up_to, at, side="right")) for at in (below, min(below + 1, int(up_to[-1]) - 1))
    )
    return first + (second - first) * (place - below)


def _stretched(
    band: Values, low: float, high: float, white_is_zero: bool, nodata: float | None
) -> npt.NDArray[np.uint8]:
    """Scale a band to 0 to 255, a few rows at a time; short numbers by a table of all their values."""
    if band.dtype in _SHORT and band.size > _MOST_SHORT:
        every = np.arange(np.iinfo(band.dtype).max + 1, dtype=band.dtype)
        return _stretched(every, low, high, white_is_zero, nodata)[band]
    drawn = np.empty(band.shape, np.uint8)
    scale = 1.0 if np.isfinite(high - low) else 0.5  # the difference of damaged floats may have no number
    low, high = low * scale, high * scale
    for start in range(0, len(band), _ROWS_AT_ONCE):
        values = band[start : start + _ROWS_AT_ONCE]
        numbers = values.astype(np.float64)
        missing = ~np.isfinite(numbers) & ~np.isinf(numbers)
        if nodata is not None:
            missing |= values == nodata
        numbers *= scale
        grey = np.clip((numbers - low) * (255.0 / (high - low)), 0.0, 255.0)
        if white_is_zero:
            grey = 255.0 - grey
        grey[missing | np.isnan(grey)] = 0.0
        drawn[start : start + _ROWS_AT_ONCE] = np.rint(grey).astype(np.uint8)
    return drawn
