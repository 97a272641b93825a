"""The stage ``export``: a run's masklets as SA-V's JSON, as pictures of objects or of frames, or as an overlay."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_folder, write_bytes
from maskgrid.masks import rle
from maskgrid.masks.pictures import png
from maskgrid.plan.plan import Plan
from maskgrid.tracked.documents import write_sa_v
from maskgrid.tracked.masklets import Run, by_frames, by_objects, read_run
from maskgrid.tracked.overlay import write_overlay
from maskgrid.tracked.parameters import reading_of

log = logging.getLogger(__name__)

_MOST_COLOURS = 255


def export_run(plan: Plan, name: str, form: str) -> None:
    """Write a run's masklets as ``sa_v``, ``png``, ``palette`` or ``overlay``.

    Raises:
        UserError: there is no such run or form, or its masklets are missing.
    """
    if form not in FORMS:
        raise UserError(f"there is no form {form!r}; known are {', '.join(FORMS)}")
    run = read_run(plan, name)
    FORMS[form](plan, run)
    log.info("%s", plan.layout.tracked.export(form, name))


def _sa_v(plan: Plan, run: Run) -> None:
    kind = "auto" if plan.tracking.prompts is None else "manual"
    write_sa_v(plan.layout.tracked.export("sa_v", run.name), run, kind)


def _png(plan: Plan, run: Run) -> None:
    write_object_pictures(run, plan.layout.tracked.export("png", run.name))


def _palette(plan: Plan, run: Run) -> None:
    write_palette_pictures(run, plan.layout.tracked.export("palette", run.name))


def _overlay(plan: Plan, run: Run) -> None:
    layout = plan.layout.tracked
    write_overlay(run, reading_of(plan), layout.export("overlay", run.name), layout.sheet(run.name))


FORMS: Mapping[str, Callable[[Plan, Run], None]] = {
    "sa_v": _sa_v,
    "png": _png,
    "palette": _palette,
    "overlay": _overlay,
}


def write_object_pictures(run: Run, folder: Path) -> None:
    """Write ``{object}/{frame}.png``: 255 on the object and 0 beside it, as SA-V's evaluation sets are laid out.

    Objects have three digits at least. Frames are named as the frame's file, or by number; a frame on which the object
    was followed and not seen is black.
    """
    names = dict(zip(run.numbers, run.frame_names, strict=True))
    with atomic_folder(folder) as part:
        for rows in by_objects(run.path):
            for row in rows:
                mask = rle.decode(row["counts"], run.video.size_hw)
                path = part / f"{row['object_id']:03d}" / f"{names[row['frame']]}.png"
                write_bytes(path, png(mask.view(np.uint8) * np.uint8(255)))


def write_palette_pictures(run: Run, folder: Path) -> None:
    """Write ``{frame}.png``: 0 for no object and else the object, in colours, as DAVIS has it.

    Objects are numbered from 1 in the order of their ids. One picture can say nothing of overlaps: there the lower
    number stands, as in sam2's tool for DAVIS. More than 255 objects give pictures of 16 bits without colours.
    """
    names = dict(zip(run.numbers, run.frame_names, strict=True))
    numbers = {rows[0]["object_id"]: number for number, rows in enumerate(by_objects(run.path), start=1)}
    with atomic_folder(folder) as part:
        for frame, plane in _planes(run, numbers):
            write_bytes(part / f"{names[frame]}.png", png(_coloured(plane, len(numbers))))


def _planes(run: Run, numbers: dict[int, int]) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    for frame, masks in by_frames(run.path):
        plane = np.zeros(run.video.size_hw, np.uint16)
        for row in reversed(masks):
            plane[rle.decode(row["counts"], run.video.size_hw)] = numbers[row["object_id"]]
        yield frame, plane


def _coloured(plane: NDArray[np.uint16], n_objects: int) -> PIL.Image.Image:
    if n_objects > _MOST_COLOURS:
        return PIL.Image.fromarray(plane)
    picture = PIL.Image.fromarray(plane.astype(np.uint8))
    picture.putpalette(voc_palette())
    return picture


def voc_palette() -> list[int]:
    """The colours of PASCAL VOC's and DAVIS's pictures: 256 times red, green, blue.

    Bits 0, 3, 6 of the number are the highest of red, 1, 4, 7 of green, 2, 5 of blue (VOC devkit, VOClabelcolormap).
    """
    colours: list[int] = []
    for number in range(256):
        for channel in range(3):
            bits = (number >> (3 * digit + channel) & 1 for digit in range(8))
            colours.append(sum(bit << (7 - digit) for digit, bit in enumerate(bits)))
    return colours
