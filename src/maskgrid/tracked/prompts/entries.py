"""Prompts for videos as a source has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgrid.dataset.annotations.object_sources import Entry

KEY = "tracking.prompts"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VideoEntry:
    """A prompt as the source has it, unchecked.

    Attributes:
        names: the video's name, and other names that it may have.
        entry: the object; its ``image_key`` is the first of the names.
        frame: the video's frame, counted from 0.
        frame_name: for a folder of frames, the frame's file name; it overrides ``frame``.
        round: the round of corrections that it belongs to.
        row: for an entry without an object's id, its number in the file, from 1; it is an object of its own.
        video_id: the id of its video, if the file gives videos ids.
    """

    names: tuple[str, ...]
    entry: Entry
    frame: Any
    frame_name: str | None = None
    round: Any = None
    row: int | None = None
    video_id: str | None = None


@dataclass(frozen=True, slots=True)
class VideoPrompts:
    """A file of prompts.

    Attributes:
        folder: the folder that paths in it are relative to.
        categories: COCO's ``categories``; empty if the source has none.
        entries: the prompts, in the order of the file.
    """

    folder: Path
    categories: list[Record]
    entries: list[VideoEntry]
