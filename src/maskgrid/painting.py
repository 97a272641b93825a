"""Masks laid over pictures in colour, and pictures side by side."""

import colorsys
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_OPACITY = 0.45
_GOLDEN = 0.6180339887498949
_GAP = 6

Colour = tuple[int, int, int]


def colour(family: str, number: int) -> Colour:
    """The colour of a numbered thing of a family: always the same, and far from those of its neighbours."""
    start = hashlib.sha256(family.encode()).digest()[0] / 256
    red, green, blue = colorsys.hsv_to_rgb((start + number * _GOLDEN) % 1.0, 0.75, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def paint(pixels: NDArray[np.uint8], masks: Iterable[tuple[NDArray[np.bool_], Colour]]) -> NDArray[np.uint8]:
    """Lay masks (H, W), each in its colour and outlined, over a picture (H, W, 3) RGB."""
    canvas = pixels.astype(np.float32)
    # Largest first, so that a part is not hidden under its whole.
    for mask, tint in sorted(masks, key=lambda entry: -int(entry[0].sum())):
        canvas[mask] += (np.array(tint, np.float32) - canvas[mask]) * np.float32(_OPACITY)
        canvas[_outline(mask)] = tint
    return np.rint(canvas).astype(np.uint8)


def centred(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture in the middle of a white square."""
    height, width = picture.shape[:2]
    tile = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    tile[top : top + height, left : left + width] = picture
    return tile


def grid(tiles: Sequence[NDArray[np.uint8]], n_across: int) -> NDArray[np.uint8]:
    """Pictures of one size side by side, row by row, on white."""
    across = min(n_across, len(tiles))
    down = -(-len(tiles) // across)
    height, width = (side + _GAP for side in tiles[0].shape[:2])
    sheet = np.full((down * height - _GAP, across * width - _GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, across)
        sheet[row * height :, column * width :][: height - _GAP, : width - _GAP] = tile
    return sheet


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside
