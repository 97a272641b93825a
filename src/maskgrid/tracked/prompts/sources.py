"""Read prompts for videos from tables, YouTube-VIS and COCO-video files, entry by entry, unchecked."""

from pathlib import Path

from maskgrid.config.tracking import TrackingConfig
from maskgrid.dataset.annotations.object_files import TableForm, read_rows
from maskgrid.dataset.annotations.object_sources import FORM as IMAGE_FORM
from maskgrid.dataset.annotations.object_sources import table_entry
from maskgrid.io.errors import UserError
from maskgrid.tracked.prompts.documents import read_document
from maskgrid.tracked.prompts.entries import KEY, Record, VideoEntry, VideoPrompts

FORM = TableForm(KEY, ("video", "frame"), IMAGE_FORM.prompts, (*IMAGE_FORM.optional, "round"))


def read_video_prompts(path: Path, config: TrackingConfig) -> VideoPrompts:
    """Read a file of prompts.

    Args:
        path: a table (``.csv``, ``.parquet``, ``.jsonl``), or a ``.json`` with ``videos``.
        config: selects the parts of a ``.json`` that are prompts.

    Raises:
        UserError: the file cannot be read in the format of its suffix.
    """
    try:
        if path.suffix.lower() == ".json":
            return read_document(path, config)
        rows = list(read_rows(path, FORM))
    except OSError as error:
        raise UserError(f"{KEY}: {path} cannot be read: {error.strerror}") from None
    return VideoPrompts(path.parent, [], [_row(number, row) for number, row in enumerate(rows, start=1)])


def _row(number: int, row: Record) -> VideoEntry:
    object_id = row.get("object_id")
    has_id = object_id is not None and object_id == object_id
    entry = table_entry(number, row if has_id else {**row, "object_id": None}, "video")
    return VideoEntry((entry.image_key,), entry, row.get("frame"), None, row.get("round"), None if has_id else number)
