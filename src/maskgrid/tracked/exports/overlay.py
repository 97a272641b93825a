"""Pictures of a run: some frames with masks on top, as an animation and side by side."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from maskgrid.io.files import write_bytes
from maskgrid.masks.pictures import Pixels, Thumbnail, colour, grid, jpeg, paint, words_strip
from maskgrid.tracked.masklets import Run, by_frames
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.videos.shown_frames import ShownFrames

_MOST_FRAMES = 48
_MOVING_PX = 480
_SHEET_FRAMES = 12
_SHEET_PX = 320
_SHEET_COLUMNS = 4
_MOVING_MS = 4000
_CAPTION_PX = 18


def write_overlay(run: Run, reading: Reading, moving: Path, sheet: Path) -> None:
    """Write an animated WebP of up to 48 evenly spaced frames, and a JPEG of up to 12 of them.

    An object has the same colour on all frames. Frames that can no longer be read are grey.

    Args:
        run: a tracked video.
        reading: which of its frames are read.
        moving: path of the WebP.
        sheet: path of the JPEG.
    """
    pictures = list(_pictures(run, reading))
    chosen = [pictures[index] for index in _evenly(len(pictures), _SHEET_FRAMES)]
    tiles = [_captioned(picture, f"frame {number}") for number, picture in chosen]
    write_bytes(moving, _webp([picture for _, picture in pictures]))
    write_bytes(sheet, jpeg(grid(tiles, _SHEET_COLUMNS), quality=85, comment=run.origin["fingerprint"]))


def _pictures(run: Run, reading: Reading) -> Iterator[tuple[int, Pixels]]:
    """Yield frame numbers, and the frames with masks drawn on them."""
    positions = _evenly(len(run.numbers), _MOST_FRAMES)
    numbers = [run.numbers[position] for position in positions]
    masks = dict(by_frames(run.path, set(numbers)))
    thumbnail = Thumbnail.fit(run.video.size_hw, _MOVING_PX)
    frames = ShownFrames.of(run.video, reading)
    for position, number in zip(positions, numbers, strict=True):
        laid = [
            (thumbnail.mask(row["counts"]), colour("masklet", row["object_id"]))
            for row in masks.get(number, [])
            if row["area_px"]
        ]
        yield number, paint(thumbnail.pixels(frames.read(position)), laid)


def _evenly(n: int, most: int) -> list[int]:
    """Up to ``most`` evenly spaced positions of n, including the first and the last."""
    return sorted({round(position) for position in np.linspace(0, n - 1, min(n, most)).tolist()})


def _captioned(picture: Pixels, words: str) -> Pixels:
    """A picture at the size of the sheet, under a line of words."""
    tile = Thumbnail.fit((picture.shape[0], picture.shape[1]), _SHEET_PX).pixels(picture)
    return np.vstack([words_strip([words], (_CAPTION_PX, tile.shape[1]), 13, 0.4), tile])


def _webp(pictures: list[Pixels]) -> bytes:
    first, *rest = (PIL.Image.fromarray(picture) for picture in pictures)
    stream = io.BytesIO()
    duration_ms = max(60, _MOVING_MS // len(pictures))
    first.save(stream, "WEBP", save_all=True, append_images=rest, duration=duration_ms, loop=0, quality=75, method=4)
    return stream.getvalue()
