"""Checked prompts of videos, as rows of a table, in the tracker's form, and as plain values for fingerprints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.dataset.annotations.objects import Prompt, PromptStatus, content_of, prompt_of, prompt_values
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.propagation.schedule import Pass, plan_passes
from maskgrid.tracked.records import FramePrompt
from maskgrid.tracked.tables import PROMPTS
from maskgrid.tracked.videos.index import Video


@dataclass(frozen=True, slots=True)
class VideoPrompt:
    """A row of ``PROMPTS``: a prompt for one object on one frame.

    Attributes:
        video_key: the video's key; the source's name for it if there is no such video.
        prompt_index: position among the video's prompts.
        object_id: the object's number in its video.
        source_id: the object's id in the source.
        category_id: from a COCO document.
        category: the category's name.
        frame: frame number in the video, counted from 0.
        round: the round of corrections that it belongs to.
        prompt: in pixels of the frame; None unless ``status`` is ``ok``.
        status: a :class:`PromptStatus`.
        message: the reason, for people.
    """

    video_key: str
    prompt_index: int
    object_id: int
    source_id: str
    category_id: int | None
    category: str | None
    frame: int | None
    round: int
    prompt: Prompt | None
    status: str
    message: str | None


def prompts_table(prompts: Sequence[VideoPrompt]) -> pa.Table:
    """Convert prompts to a table of ``PROMPTS``."""
    return pa.Table.from_pylist([_values(prompt) for prompt in prompts], PROMPTS)


def read_prompts(table: pa.Table) -> list[VideoPrompt]:
    """The prompts of a table of ``PROMPTS``."""
    return [_from_values(row) for row in table.to_pylist()]


def frame_prompts(prompts: Sequence[VideoPrompt], video: Video, reading: Reading) -> list[FramePrompt]:
    """Convert a video's good prompts to the tracker's form, with frames counted among those that are read."""
    return tracker_prompts(prompts, video.size_hw, _positions(video, reading))


def tracker_prompts(
    prompts: Sequence[VideoPrompt], size_hw: tuple[int, int], position: Mapping[int, int]
) -> list[FramePrompt]:
    """Convert good prompts to the tracker's form; ``position`` has each frame's number among those that are read.

    Points for one object on one frame accumulate, like clicks; a box starts over.
    """
    prompted: set[tuple[int, int]] = set()  # objects and frames with a prompt so far
    found = []
    for row in sorted(prompts, key=lambda row: (row.round, row.prompt_index)):
        if row.prompt is None or row.frame is None:
            continue
        key = row.object_id, row.frame
        prompt, mask = row.prompt, row.prompt.mask_counts
        found.append(
            FramePrompt(
                frame=position[row.frame],
                object_id=row.object_id,
                point_coords=_float32(prompt.point_coords),
                point_labels=prompt.point_labels,
                box_xyxy=_float32(prompt.box_xyxy),
                mask=None if mask is None else rle.decode(mask, size_hw),
                clear_old_points=key not in prompted or prompt.box_xyxy is not None,
                round=row.round,
            )
        )
        prompted.add(key)
    return found


def passes_of(prompts: Sequence[VideoPrompt], video: Video, reading: Reading, options: TrackOptions) -> list[Pass]:
    """The passes through a video for the good prompts of all its objects.

    Every group of objects uses these same passes, as if all objects were in one job.
    """
    position = _positions(video, reading)
    places = [
        FramePrompt(position[row.frame], row.object_id, round=row.round)
        for row in prompts
        if row.prompt is not None and row.frame is not None
    ]
    return plan_passes(places, options, len(position))


def good_prompts(path: Path, video_key: str) -> list[VideoPrompt]:
    """The good prompts of a video, of all its objects, from ``prompts.parquet``.

    Raises:
        UserError: the table is missing or truncated.
    """
    filters = [("video_key", "=", video_key), ("status", "=", "ok")]
    return read_prompts(read_table(path, filters=filters, schema=PROMPTS))


def prompt_contents(prompts: Sequence[VideoPrompt]) -> list[dict[str, Any]]:
    """Convert prompts to plain values, for fingerprints."""
    names = ("object_id", "source_id", "category_id", "category", "frame", "round", "status")
    return [{**{name: getattr(row, name) for name in names}, "prompt": content_of(row.prompt)} for row in prompts]


def _positions(video: Video, reading: Reading) -> dict[int, int]:
    """The position of each frame among those that are read, by frame number."""
    return {number: index for index, number in enumerate(reading.numbers(int(video.n_frames or 0)))}


def _values(row: VideoPrompt) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in PROMPTS.names if name in VideoPrompt.__slots__}
    return values | prompt_values(row.prompt)


def _from_values(values: dict[str, Any]) -> VideoPrompt:
    prompt = prompt_of(values) if values["status"] == PromptStatus.OK else None
    return VideoPrompt(prompt=prompt, **{name: values[name] for name in VideoPrompt.__slots__ if name != "prompt"})


def _float32(values: NDArray[np.float64] | None) -> NDArray[np.float32] | None:
    return None if values is None else values.astype(np.float32)
