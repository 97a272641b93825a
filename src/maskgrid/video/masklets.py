"""Masklets of a run, read object by object or frame by frame."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from maskgrid.plan import Plan
from maskgrid.tables import open_file, read_origin, read_table
from maskgrid.video.bad_video import BadVideo
from maskgrid.video.frames import FrameFolder
from maskgrid.video.index import Video, read_videos
from maskgrid.video.jobs import read_jobs
from maskgrid.video.parameters import reading_of

_COLUMNS = ["object_id", "frame", "counts", "area_px"]


@dataclass(frozen=True, slots=True)
class Run:
    """A video that was tracked.

    Attributes:
        name: what its files are named by.
        setting: the setting of the sweep.
        video: the video.
        numbers: the video's own numbers of the frames that were read.
        path: its masklets.
        note: what these were made from.
    """

    name: str
    setting: str
    video: Video
    numbers: range
    path: Path
    note: dict[str, Any]

    @property
    def frame_files(self) -> list[str]:
        """A file's name for each frame that was read: its own where the video is a folder, else its number's."""
        if self.video.kind == "frames":
            try:
                paths = FrameFolder(self.video.location).paths
                return [paths[number].name for number in self.numbers]
            except (BadVideo, IndexError):  # it has gone or changed since; its frames keep their numbers
                pass
        return [f"{number:05d}.jpg" for number in self.numbers]

    @property
    def frame_names(self) -> list[str]:
        """The same without the suffix."""
        return [Path(name).stem for name in self.frame_files]


def read_run(plan: Plan, name: str) -> Run:
    """A run by its name.

    Raises:
        UserError: there is no such run, or its masklets have not been joined.
    """
    layout = plan.layout.tracked
    job = read_jobs(layout.jobs, name)[0]
    (video,) = read_videos(layout.files, job.video_key)
    numbers = reading_of(plan).numbers(int(video.n_frames or 0))
    path = layout.masklets(name)
    return Run(name, job.setting, video, numbers, path, read_origin(path))


def by_objects(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The rows of each object, by frame.

    Raises:
        UserError: the file is missing or cut off.
    """
    with open_file(path) as file:
        for number in range(file.num_row_groups):
            if rows := file.read_row_group(number).to_pylist():
                yield rows


def by_frames(path: Path, frames: Collection[int] | None = None) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Each frame that was tracked with the masks on it (object, counts, area), by object; all frames or some.

    Raises:
        UserError: the file is missing or cut off.
    """
    filters = [] if frames is None else [("frame", "in", list(frames) or [-1])]
    table = read_table(path, _COLUMNS, filters).sort_by([("frame", "ascending"), ("object_id", "ascending")])
    counts = pc.value_counts(table["frame"]).to_pylist()
    start = 0
    for entry in counts:  # in the order of the rows
        yield int(entry["values"]), table.slice(start, entry["counts"]).to_pylist()
        start += entry["counts"]
