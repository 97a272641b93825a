"""The stage ``export``: a run's masklets as SA-V's JSON, pictures per object or frame, MOTS's text, overlays."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.folders import atomic_folder
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.masks.pictures import png
from maskgrid.plan.plan import Plan
from maskgrid.tracked.exports.documents import write_sa_v
from maskgrid.tracked.exports.mots import write_mots
from maskgrid.tracked.exports.overlay import write_overlay
from maskgrid.tracked.exports.overlay_video import write_overlay_mp4
from maskgrid.tracked.masklets import Run, by_frames, by_objects, read_run
from maskgrid.tracked.parameters import reading_of
from maskgrid.tracked.player.data import write_player
from maskgrid.tracked.prompts.checked import VideoPrompt, good_prompts

log = logging.getLogger(__name__)

_MOST_COLOURS = 255


def export_run(plan: Plan, name: str, form: str) -> None:
    """Write a run's masklets as ``sa_v``, ``png``, ``palette``, ``mots``, ``overlay``, ``overlay_mp4`` or ``player``.

    Raises:
        UserError: there is no such run or form, or its masklets are missing.
    """
    if form not in FORMS:
        raise UserError(f"there is no form {form!r}; known are {', '.join(FORMS)}")
    path = plan.layout.tracked.export(form, name)
    FORMS[form](plan, read_run(plan, name), path)
    log.info("%s", path)


FORMS: Mapping[str, Callable[[Plan, Run, Path], None]] = {
    "sa_v": lambda plan, run, path: write_sa_v(path, run, "auto" if plan.tracking.prompts is None else "manual"),
    "png": lambda _, run, path: write_object_pictures(run, path),
    "palette": lambda plan, run, path: write_palette_pictures(run, path, _shown_ids(plan, run)),
    "mots": lambda _, run, path: write_mots(run, path),
    "overlay": lambda plan, run, path: write_overlay(run, reading_of(plan), path, plan.layout.tracked.sheet(run.name)),
    "player": lambda plan, run, path: write_player(run, reading_of(plan), _prompts_of(plan, run), path),
    "overlay_mp4": lambda plan, run, path: write_overlay_mp4(run, reading_of(plan), path),
}


def write_object_pictures(run: Run, folder: Path) -> None:
    """Write ``{object}/{frame}.png``, as in SA-V's evaluation sets: 255 on the object and 0 elsewhere.

    Objects have at least three digits. Frames are named like the frame's file, or by number; a frame on which the
    object was tracked but not seen is black.
    """
    names = dict(zip(run.numbers, run.frame_names, strict=True))
    with atomic_folder(folder) as part:
        for rows in by_objects(run.path):
            for row in rows:
                mask = rle.decode(row["counts"], run.video.size_hw)
                path = part / f"{row['object_id']:03d}" / f"{names[row['frame']]}.png"
                write_bytes(path, png(mask.view(np.uint8) * np.uint8(255)))


def write_palette_pictures(run: Run, folder: Path, shown: Collection[int] = ()) -> None:
    """Write ``{frame}.png``, as in DAVIS: object numbers, or 0 for none, with a colour palette.

    Objects are numbered from 1 in the order of their ids. Objects that were shown but not followed have a number too,
    so that the others' do not depend on them. Where objects overlap, the lowest number wins, as in sam2's tool for
    DAVIS. With more than 255 objects, pictures have 16 bits and no colours.

    Args:
        run: a tracked video.
        folder: the output folder; replaced atomically once complete.
        shown: the ids of all objects with prompts, good or bad.
    """
    names = dict(zip(run.numbers, run.frame_names, strict=True))
    ids = {*shown, *(rows[0]["object_id"] for rows in by_objects(run.path))}
    numbers = {object_id: number for number, object_id in enumerate(sorted(ids), start=1)}
    with atomic_folder(folder) as part:
        for frame, plane in _planes(run, numbers):
            write_bytes(part / f"{names[frame]}.png", png(_coloured(plane, len(numbers))))


def _prompts_of(plan: Plan, run: Run) -> list[VideoPrompt]:
    return good_prompts(plan.layout.tracked.prompts, run.video.video_key)


def _shown_ids(plan: Plan, run: Run) -> set[int]:
    filters = [("video_key", "=", run.video.video_key)]
    return set(read_table(plan.layout.tracked.prompts, ["object_id"], filters)["object_id"].to_pylist())


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

    Bits 0, 3, 6 of the number are red's highest bits, 1, 4, 7 green's, 2, 5 blue's (VOC devkit, VOClabelcolormap).
    """
    colours: list[int] = []
    for number in range(256):
        for channel in range(3):
            bits = (number >> (3 * digit + channel) & 1 for digit in range(8))
            colours.append(sum(bit << (7 - digit) for digit, bit in enumerate(bits)))
    return colours
