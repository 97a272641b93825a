"""Tracked masks as rows of the table of masklets."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid import rle
from maskgrid.video.index import Video
from maskgrid.video.prompts import VideoPrompt
from maskgrid.video.records import TrackedMask
from maskgrid.video.schemas import MASKLETS

Row = dict[str, Any]

_ROWS_IN_CHUNK = 4096


class RowMaker:
    """Adds to masks what is known of their objects."""

    def __init__(self, video: Video, prompts: Sequence[VideoPrompt], numbers: range) -> None:
        """Gather what prompts say of objects.

        Args:
            video: the video.
            prompts: of the objects; none where they are found automatically.
            numbers: the video's own numbers of the frames that are read.
        """
        self.video, self.numbers = video, numbers
        self.prompted = {(prompt.object_id, prompt.frame) for prompt in prompts}
        self.objects: dict[int, Row] = {}
        for prompt in prompts:
            empty: Row = {"source_id": prompt.source_id, "category_id": None, "category": None}
            known = self.objects.setdefault(prompt.object_id, empty)
            # The first prompt that says what the object is, says it for all.
            if known["category"] is None and prompt.category is not None:
                known |= {"category_id": prompt.category_id, "category": prompt.category}

    def rows(self, frame: int, masks: Sequence[TrackedMask]) -> Iterator[Row]:
        """The rows of a frame, which counts among those that are read."""
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
    """Tracked frames as a table of ``MASKLETS``, in the order in which they come."""
    tables, pending = [MASKLETS.empty_table()], list[Row]()
    for frame, masks in frames:
        pending += maker.rows(frame, masks)
        if len(pending) >= _ROWS_IN_CHUNK:  # Python's objects take many times the memory
            tables.append(pa.Table.from_pylist(pending, MASKLETS))
            pending = []
    return pa.concat_tables([*tables, pa.Table.from_pylist(pending, MASKLETS)])


def by_object(table: pa.Table) -> Iterator[pa.Table]:
    """Masklets as a table for each object, by object and frame; an empty one where there are none."""
    table = table.sort_by([("object_id", "ascending"), ("frame", "ascending")])
    if not len(table):
        yield table
    start = 0
    for entry in pc.value_counts(table["object_id"]).to_pylist():  # in the order of the rows
        yield table.slice(start, entry["counts"]).combine_chunks()
        start += entry["counts"]
