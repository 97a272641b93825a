"""The stage ``masklets``, and tables of masklets: build them from tracked frames, read them by object or by frame."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.io.tables import open_file, read_origin, read_table, write_batches
from maskgrid.masks import rle
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan
from maskgrid.tracked.jobs import read_jobs
from maskgrid.tracked.notes import masklets_origin
from maskgrid.tracked.parameters import reading_of
from maskgrid.tracked.prompts.checked import VideoPrompt
from maskgrid.tracked.records import TrackedMask
from maskgrid.tracked.tables import MASKLETS
from maskgrid.tracked.videos.frames import FrameFolder
from maskgrid.tracked.videos.index import Video, read_videos
from maskgrid.tracked.videos.scan import BadVideoError

log = logging.getLogger(__name__)

Row = dict[str, Any]

_COLUMNS = ["object_id", "frame", "counts", "area_px"]
_ROWS_IN_CHUNK = 4096


def join_masklets(plan: Plan, run: str) -> None:
    """Write ``tracked/masklets/{run}.parquet``: one row per object and frame, one row group per object.

    Raises:
        UserError: a group has not been tracked, or the groups do not belong together.
    """
    layout = plan.layout.tracked
    paths = [layout.part(run, job.group) for job in read_jobs(layout.jobs, run)]
    write_batches(layout.masklets(run), MASKLETS, _joined_tables(paths), masklets_origin(paths))
    log.info("%s", layout.masklets(run))


@dataclass(frozen=True, slots=True)
class Run:
    """A tracked video.

    Attributes:
        name: the stem of its files.
        setting: the sweep's setting.
        video: the video.
        numbers: frame numbers in the video of the frames that were read.
        path: its masklets.
        origin: the masklets' origin.
    """

    name: str
    setting: str
    video: Video
    numbers: range
    path: Path
    origin: Origin

    @property
    def frame_files(self) -> list[str]:
        """A file name for each frame that was read: its own if the video is a folder, else its number."""
        if self.video.kind == "frames":
            try:
                paths = FrameFolder(self.video.location).paths
                return [paths[number].name for number in self.numbers]
            except (BadVideoError, IndexError):  # the folder is gone or has changed; use numbers
                pass
        return [f"{number:05d}.jpg" for number in self.numbers]

    @property
    def frame_names(self) -> list[str]:
        """:attr:`frame_files` without suffixes, or with them if they differ by nothing else."""
        files = self.frame_files
        stems = [Path(name).stem for name in files]
        return stems if len(set(stems)) == len(stems) else files


def read_run(plan: Plan, name: str) -> Run:
    """Return a run by its name.

    Raises:
        UserError: there is no such run, or its masklets have not been joined.
    """
    layout = plan.layout.tracked
    job = read_jobs(layout.jobs, name)[0]
    (video,) = read_videos(layout.files, job.video_key)
    numbers = reading_of(plan).numbers(int(video.n_frames or 0))
    path = layout.masklets(name)
    return Run(name, job.setting, video, numbers, path, read_origin(path))


def by_objects(path: Path) -> Iterator[list[Row]]:
    """Yield the rows of each object, by frame.

    Raises:
        UserError: the file is missing or truncated.
    """
    with open_file(path) as file:
        for number in range(file.num_row_groups):
            if rows := file.read_row_group(number).to_pylist():
                yield rows


def by_frames(path: Path, frames: Collection[int] | None = None) -> Iterator[tuple[int, list[Row]]]:
    """Yield each tracked frame, or each of ``frames``, with the masks on it (object, counts, area), by object.

    Raises:
        UserError: the file is missing or truncated.
    """
    filters = [] if frames is None else [("frame", "in", list(frames) or [-1])]
    for frame, rows in slices(read_table(path, _COLUMNS, filters), "frame", "object_id"):
        yield frame, rows.to_pylist()


class RowMaker:
    """Makes table rows of masks, with what the prompts say about their objects."""

    def __init__(self, video: Video, prompts: Sequence[VideoPrompt], numbers: range) -> None:
        """Collect the objects' ids and categories.

        Args:
            video: the video.
            prompts: the objects' prompts; empty if they are found automatically.
            numbers: frame numbers in the video of the frames that are read.
        """
        self.video, self.numbers = video, numbers
        self.prompted = {(prompt.object_id, prompt.frame) for prompt in prompts}
        self.objects: dict[int, Row] = {}
        for prompt in prompts:
            empty: Row = {"source_id": prompt.source_id, "category_id": None, "category": None}
            known = self.objects.setdefault(prompt.object_id, empty)
            # The first prompt with a category decides.
            if known["category"] is None and prompt.category is not None:
                known |= {"category_id": prompt.category_id, "category": prompt.category}

    def rows(self, frame: int, masks: Sequence[TrackedMask]) -> Iterator[Row]:
        """Yield the rows of a frame; ``frame`` counts among those that are read."""
        for mask in masks:
            yield self._row(mask, self.numbers[frame])

    def _row(self, mask: TrackedMask, frame: int) -> Row:
        box = rle.true_box_xywh(mask.counts, self.video.size_hw) if mask.area_px else None
        return {
            "video_key": self.video.video_key,
            "object_id": mask.object_id,
            **self.objects.get(mask.object_id, {"source_id": str(mask.object_id)}),
            "frame": frame,
            "is_prompted": (mask.object_id, frame) in self.prompted,
            "object_score_logit": mask.object_score_logit,
            "area_px": mask.area_px,
            "bbox_xywh": None if box is None else [int(edge) for edge in box],
            "counts": mask.counts,
        }


def masklets_table(frames: Iterable[tuple[int, Sequence[TrackedMask]]], maker: RowMaker) -> pa.Table:
    """Build a table of ``MASKLETS`` from tracked frames, in their order."""
    tables, pending = [MASKLETS.empty_table()], list[Row]()
    for frame, masks in frames:
        pending += maker.rows(frame, masks)
        if len(pending) >= _ROWS_IN_CHUNK:  # Python objects take many times the memory of Arrow's
            tables.append(pa.Table.from_pylist(pending, MASKLETS))
            pending = []
    return pa.concat_tables([*tables, pa.Table.from_pylist(pending, MASKLETS)])


def object_tables(table: pa.Table) -> Iterator[pa.Table]:
    """Split masklets into one table per object, by frame; yield an empty one if there are none."""
    if not len(table):
        yield table
    for _, rows in slices(table, "object_id", "frame"):
        yield rows.combine_chunks()


def _joined_tables(paths: list[Path]) -> Iterator[pa.Table]:
    """Yield the row groups of all parts, one per object; an empty one only if there is no other."""
    n_rows = 0
    for path in paths:
        with open_file(path) as part:
            for number in range(part.num_row_groups):
                table = part.read_row_group(number)
                n_rows += len(table)
                if len(table):
                    yield table
    if not n_rows:
        yield MASKLETS.empty_table()


def slices(table: pa.Table, column: str, then: str) -> Iterator[tuple[int, pa.Table]]:
    """Yield each value of a column, ascending, with its rows sorted by another column."""
    table = table.sort_by([(column, "ascending"), (then, "ascending")])
    start = 0
    for entry in pc.value_counts(table[column]).to_pylist():  # in the order of the rows
        yield int(entry["values"]), table.slice(start, entry["counts"])
        start += entry["counts"]
