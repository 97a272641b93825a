"""Masks laid over their image in colour, and contact sheets of them."""

import colorsys
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgrid import rle
from maskgrid.files import write_bytes
from maskgrid.replay import Selection
from maskgrid.samples import Sample, is_answered
from maskgrid.settings import Setting
from maskgrid.thumbnails import Thumbnail, jpeg

_OPACITY = 0.45
_GOLDEN = 0.6180339887498949
_GAP = 6


def overlay(sample: Sample, setting: Setting, max_side: int) -> tuple[NDArray[np.uint8], int] | None:
    """An image with the masks that a setting keeps of it, and their count; None where it was not answered."""
    if not is_answered(sample, setting):
        return None
    selection = sample.replays[setting.checkpoint].select(setting.generator)
    thumbnail = Thumbnail.fit(sample.size_hw, max_side)
    return _paint(thumbnail, sample.pixels, selection), len(selection)


def write_contact_sheet(
    path: Path, samples: Sequence[Sample], setting: Setting, fingerprint: str = "", side: int = 320
) -> None:
    """Write the overlays of one setting as one JPEG, four in a row, with what it is made from as its comment."""
    drawn = [overlay(sample, setting, side) for sample in samples]
    tiles = [_centred(picture[0], side) for picture in drawn if picture is not None]
    sheet = _grid(tiles or [np.full((side, side, 3), 255, np.uint8)], 4)
    write_bytes(path, jpeg(sheet, quality=85, comment=fingerprint))


def colour(pass_name: str, candidate_id: int) -> tuple[int, int, int]:
    """A candidate's colour: the same in every setting, and far from those of its neighbours."""
    start = hashlib.sha256(pass_name.encode()).digest()[0] / 256
    red, green, blue = colorsys.hsv_to_rgb((start + candidate_id * _GOLDEN) % 1.0, 0.75, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _paint(thumbnail: Thumbnail, image: NDArray[np.uint8] | None, selection: Selection) -> NDArray[np.uint8]:
    canvas = thumbnail.pixels(image).astype(np.float32)
    masks = []
    for layer, row, region in zip(selection.layer, selection.row, selection.regions, strict=True):
        part = selection.passes[layer]
        counts = part.rows.counts[row] if region is None else region.counts
        mask = rle.decode(thumbnail.counts(counts), thumbnail.shown_hw)
        masks.append((int(mask.sum()), mask, colour(part.pass_.name, int(part.rows.candidate_id[row]))))
    # Largest first, so that a part is not hidden under its whole.
    for _, mask, tint in sorted(masks, key=lambda entry: -entry[0]):
        canvas[mask] += (np.array(tint, np.float32) - canvas[mask]) * np.float32(_OPACITY)
        canvas[_outline(mask)] = tint
    return np.rint(canvas).astype(np.uint8)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def _centred(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    tile = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    tile[top : top + height, left : left + width] = picture
    return tile


def _grid(tiles: Sequence[NDArray[np.uint8]], n_across: int) -> NDArray[np.uint8]:
    across = min(n_across, len(tiles))
    down = -(-len(tiles) // across)
    side = tiles[0].shape[0] + _GAP
    sheet = np.full((down * side - _GAP, across * side - _GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, across)
        sheet[row * side :, column * side :][: side - _GAP, : side - _GAP] = tile
    return sheet
