"""Write masklets as MOTS's text files (KITTI MOTS, MOTSChallenge), which mots_tools and TrackEval read."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.masks import rle
from maskgrid.tracked.masklets import Run, by_frames, by_objects

# MOTS's classes. It has no others but 10, which marks regions to ignore, so all other objects share the next number.
_CLASSES = {"car": 1, "pedestrian": 2, "person": 2}
_OTHER = 3
_MOST_INSTANCES = 999


def write_mots(run: Run, path: Path) -> None:
    """Write a line for each object and frame: ``time_frame id class_id img_height img_width rle``.

    Frames are the video's own numbers, from 0. ``id`` is 1000 times the class plus the object's id or, if any id of
    the video is above 999, its place among the ids, from 1. MOTS allows no overlaps: the lower number wins, as in
    palette pictures. Objects without a pixel have no line.

    Args:
        run: a tracked video.
        path: the output file; replaced atomically once complete.

    Raises:
        UserError: the video has more than 999 objects.
    """
    firsts = [rows[0] for rows in by_objects(run.path)]
    classes = {row["object_id"]: _CLASSES.get(str(row["category"]).lower(), _OTHER) for row in firsts}
    numbers = _instances(run, sorted(classes))
    ids = {object_id: 1000 * class_id + numbers[object_id] for object_id, class_id in classes.items()}
    write_bytes(path, "".join(f"{line}\n" for line in _lines(run, ids)).encode("ascii"))


def _instances(run: Run, object_ids: list[int]) -> dict[int, int]:
    """The number of each object within its class, 1 to 999."""
    if len(object_ids) > _MOST_INSTANCES:
        raise UserError(
            f"tracking.exports: mots numbers at most {_MOST_INSTANCES} objects, and {run.video.video_key} has "
            f"{len(object_ids)}; leave mots out"
        )
    if all(1 <= object_id <= _MOST_INSTANCES for object_id in object_ids):
        return {object_id: object_id for object_id in object_ids}
    return {object_id: number for number, object_id in enumerate(object_ids, start=1)}


def _lines(run: Run, ids: dict[int, int]) -> Iterator[str]:
    height, width = run.video.size_hw
    for frame, rows in by_frames(run.path):
        taken = np.zeros((height, width), np.bool_)
        for row in rows:
            mask = rle.decode(row["counts"], (height, width)) & ~taken
            if mask.any():
                number = ids[row["object_id"]]
                yield f"{frame} {number} {number // 1000} {height} {width} {rle.encode(mask).decode('ascii')}"
            taken |= mask
