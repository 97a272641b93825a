"""Pictures for people: images and masks at screen size, painted, captioned, tiled and encoded."""

import base64
import colorsys
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.masks import rle

_GREY = 128
_OPACITY = 0.45
_GOLDEN = 0.6180339887498949

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB, unless a docstring says otherwise
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """An image's size and its display size, to which images and masks are scaled down."""

    size_hw: tuple[int, int]
    shown_hw: tuple[int, int]

    @classmethod
    def fit(cls, size_hw: tuple[int, int], max_side: int) -> "Thumbnail":
        """The largest display size within ``max_side`` that does not enlarge the image."""
        shrink = min(1.0, max_side / max(size_hw))
        height, width = (max(1, round(side * shrink)) for side in size_hw)
        return cls(size_hw, (height, width))

    def pixels(self, image: Pixels | None) -> Pixels:
        """The image at display size; plain grey if there is none."""
        if image is None:
            return np.full((*self.shown_hw, 3), _GREY, np.uint8)
        height, width = self.shown_hw
        picture = PIL.Image.fromarray(image)
        return np.asarray(picture.resize((width, height), PIL.Image.Resampling.BOX) if self._shrinks else picture)

    def counts(self, counts: bytes) -> bytes:
        """The run-length code of a mask at display size: its value at the middle of each displayed pixel.

        Works on the runs alone: a run ends where its end falls among the sampled pixels.
        """
        if not self._shrinks:
            return counts
        height, width = self.shown_hw
        rows, columns = _middles(self.size_hw[0], height), _middles(self.size_hw[1], width)
        ends = np.cumsum(rle.run_lengths(counts))[:-1]
        column, row = np.divmod(ends, self.size_hw[0])
        whole_columns = np.searchsorted(columns, column)
        is_looked_at = columns[np.minimum(whole_columns, width - 1)] == column
        ends_shown = whole_columns * height + np.where(is_looked_at, np.searchsorted(rows, row), 0)
        # Two ends at one place cancel out.
        places, times = np.unique(ends_shown, return_counts=True)
        places = places[(times % 2 == 1) & (places < height * width)]
        runs = np.diff(places, prepend=0, append=height * width)
        return rle.from_runs(runs, self.shown_hw)

    def mask(self, counts: bytes) -> NDArray[np.bool_]:
        """The pixels (H, W) of a mask at display size."""
        return rle.decode(self.counts(counts), self.shown_hw)

    @property
    def _shrinks(self) -> bool:
        return self.shown_hw != self.size_hw


def colour(family: str, number: int) -> Colour:
    """The colour of a family's member by its number: always the same, and far from its neighbours' colours."""
    start = hashlib.sha256(family.encode()).digest()[0] / 256
    red, green, blue = colorsys.hsv_to_rgb((start + number * _GOLDEN) % 1.0, 0.75, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def paint(pixels: Pixels, masks: Iterable[tuple[NDArray[np.bool_], Colour]], max_filled_frac: float = 1.0) -> Pixels:
    """Paint masks (H, W), each in its colour and outlined, over a picture (H, W, 3) RGB.

    Masks that cover more than ``max_filled_frac`` of the picture are only outlined: they would tint all the others.
    """
    canvas = pixels.astype(np.float32)
    # Largest first, so that a part is not hidden under its whole.
    for mask, rgb in sorted(masks, key=lambda entry: -int(entry[0].sum())):
        # A small mask costs its box, not the picture.
        window = _box(mask)
        inside, part = mask[window], canvas[window]
        if np.count_nonzero(inside) <= max_filled_frac * mask.size:
            part[inside] += (np.array(rgb, np.float32) - part[inside]) * np.float32(_OPACITY)
        part[_outline(inside)] = rgb
    return np.rint(canvas).astype(np.uint8)


def tint(pixels: Pixels, mask: NDArray[np.bool_], rgb: Colour, opacity: float) -> Pixels:
    """A copy of a picture (H, W, 3) with one mask (H, W) tinted in a colour, without an outline."""
    tinted = pixels.copy()
    inside = pixels[mask].astype(np.float32)
    tinted[mask] = (inside + (np.array(rgb, np.float32) - inside) * opacity).astype(np.uint8)
    return tinted


def centred(picture: Pixels, side: int) -> Pixels:
    """A picture centred on a white square."""
    height, width = picture.shape[:2]
    tile = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    tile[top : top + height, left : left + width] = picture
    return tile


def grid(tiles: Sequence[Pixels], n_across: int, gap_px: int = 6) -> Pixels:
    """Tile pictures of one size on white, row by row."""
    across = min(n_across, len(tiles))
    down = -(-len(tiles) // across)
    height, width = (side + gap_px for side in tiles[0].shape[:2])
    sheet = np.full((down * height - gap_px, across * width - gap_px, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, across)
        sheet[row * height :, column * width :][: height - gap_px, : width - gap_px] = tile
    return sheet


def words_strip(lines: Sequence[str], size_hw: tuple[int, int], first_px: int, letters: float) -> Pixels:
    """Black text on white, to go above or below a picture.

    Args:
        lines: the text; OpenCV's font is ASCII only, and other characters become ``?``.
        size_hw: height and width of the strip.
        first_px: the first line's baseline, from the top; lines are 16 pixels apart.
        letters: font size, as OpenCV's ``fontScale``.
    """
    strip = np.full((*size_hw, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        words = line.encode("ascii", "replace").decode()
        place = (4, first_px + 16 * number)
        cv2.putText(strip, words, place, cv2.FONT_HERSHEY_SIMPLEX, letters, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def jpeg(pixels: Pixels, quality: int = 80, comment: str = "") -> bytes:
    """Encode as JPEG, optionally with a comment; the same pixels give the same bytes."""
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "JPEG", quality=quality, optimize=True, comment=comment.encode())
    return stream.getvalue()


def png(picture: PIL.Image.Image | Pixels) -> bytes:
    """Encode pixels, or an image with a palette, as PNG, without loss."""
    stream = io.BytesIO()
    image = picture if isinstance(picture, PIL.Image.Image) else PIL.Image.fromarray(picture)
    image.save(stream, "PNG")
    return stream.getvalue()


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    """An image file's content as a data URI, so that a page needs no second file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _middles(n: int, n_shown: int) -> NDArray[np.int64]:
    """Which of n pixels lies under the middle of each displayed pixel."""
    return ((np.arange(n_shown) * 2 + 1) * n) // (2 * n_shown)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns between a mask's first and last pixels."""
    sides = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(side[0], side[-1] + 1) if len(side) else slice(0) for side in sides)
    return rows, columns


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside
