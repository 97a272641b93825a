"""Prompts of videos, checked: as rows of a table, as the tracker takes them, as plain values for fingerprints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from maskgrid.dataset.objects import Prompt, PromptStatus, content_of
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.tracked.index import Video
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.records import FramePrompt
from maskgrid.tracked.schedule import Pass, plan_passes
from maskgrid.tracked.tables import PROMPTS


@dataclass(frozen=True, slots=True)
class VideoPrompt:
    """A row of ``PROMPTS``: what a source says of one object on one frame.

    Attributes:
        video_key: the video; as the source names it where there is none of that name.
        prompt_index: position among the video's prompts.
        object_id: the object in its video.
        source_id: the object as the source names it.
        category_id: of a COCO document.
        category: the category's name.
        frame: the video's own frame, counted from 0.
        round: which round of corrections it belongs to.
        prompt: in pixels of the frame; None where ``status`` is not ``ok``.
        status: a :class:`PromptStatus`.
        message: the reason in words.
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
    """Rows of ``PROMPTS``."""
    return pa.Table.from_pylist([_values(prompt) for prompt in prompts], PROMPTS)


def read_prompts(table: pa.Table) -> list[VideoPrompt]:
    """The prompts of a table of ``PROMPTS``."""
    return [_from_values(row) for row in table.to_pylist()]


def frame_prompts(prompts: Sequence[VideoPrompt], video: Video, reading: Reading) -> list[FramePrompt]:
    """Good prompts of a video as the tracker takes them: frames counted among those that are read.

    Points of one object and frame add up, as clicks do; a box stands at the beginning of what it is given with.
    """
    position = _positions(video, reading)
    given: set[tuple[int, int]] = set()
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
                point_coords=_array(prompt.point_coords, np.float32),
                point_labels=prompt.point_labels,
                box_xyxy=_array(prompt.box_xyxy, np.float32),
                mask=None if mask is None else rle.decode(mask, video.size_hw),
                clear_old_points=key not in given or prompt.box_xyxy is not None,
                round=row.round,
            )
        )
        given.add(key)
    return found


def passes_of(prompts: Sequence[VideoPrompt], video: Video, reading: Reading, options: TrackOptions) -> list[Pass]:
    """The passes through a video that the good prompts of all its objects ask for.

    All groups of objects go through the same ones, as all objects do in one job.
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
        UserError: the table is missing or cut off.
    """
    filters = [("video_key", "=", video_key), ("status", "=", "ok")]
    return read_prompts(read_table(path, filters=filters, schema=PROMPTS))


def prompt_contents(prompts: Sequence[VideoPrompt]) -> list[dict[str, Any]]:
    """Prompts as plain values, for fingerprints."""
    names = ("object_id", "source_id", "category_id", "category", "frame", "round", "status")
    return [{**{name: getattr(row, name) for name in names}, "prompt": content_of(row.prompt)} for row in prompts]


def _positions(video: Video, reading: Reading) -> dict[int, int]:
    """The place of each frame among those that are read, by its own number."""
    return {number: index for index, number in enumerate(reading.numbers(int(video.n_frames or 0)))}


def _values(row: VideoPrompt) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in PROMPTS.names if name in VideoPrompt.__slots__}
    if row.prompt is not None:
        parts = ("point_coords", "point_labels", "box_xyxy", "mask_counts")
        values |= {name: _plain(getattr(row.prompt, name)) for name in parts}
    return values


def _from_values(values: dict[str, Any]) -> VideoPrompt:
    prompt = None
    if values["status"] == PromptStatus.OK:
        prompt = Prompt(
            point_coords=_array(values["point_coords"], np.float64),
            point_labels=_array(values["point_labels"], np.int32),
            box_xyxy=_array(values["box_xyxy"], np.float64),
            mask_counts=values["mask_counts"],
        )
    return VideoPrompt(prompt=prompt, **{name: values[name] for name in VideoPrompt.__slots__ if name != "prompt"})


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.tolist() if isinstance(value, np.ndarray) else value


def _array(values: Any, dtype: Any) -> Any:  # noqa: ANN401
    return None if values is None else np.asarray(values, dtype)
