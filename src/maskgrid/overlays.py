"""Masks laid over their image in colour, and contact sheets of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgrid import rle
from maskgrid.files import write_bytes
from maskgrid.painting import centred, colour, grid, paint
from maskgrid.replay import Selection
from maskgrid.samples import Sample, is_answered
from maskgrid.settings import Setting
from maskgrid.thumbnails import Thumbnail, jpeg


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
    tiles = [centred(picture[0], side) for picture in drawn if picture is not None]
    sheet = grid(tiles or [np.full((side, side, 3), 255, np.uint8)], 4)
    write_bytes(path, jpeg(sheet, quality=85, comment=fingerprint))


def _paint(thumbnail: Thumbnail, image: NDArray[np.uint8] | None, selection: Selection) -> NDArray[np.uint8]:
    masks = []
    for layer, row, region in zip(selection.layer, selection.row, selection.regions, strict=True):
        part = selection.passes[layer]
        counts = part.rows.counts[row] if region is None else region.counts
        mask = rle.decode(thumbnail.counts(counts), thumbnail.shown_hw)
        masks.append((mask, colour(part.pass_.name, int(part.rows.candidate_id[row]))))
    return paint(thumbnail.pixels(image), masks)
