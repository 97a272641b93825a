"""Resume tracking where a killed process stopped."""

import logging
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Protocol

import pyarrow as pa
import torch

from maskgrid.io.files import atomic_write
from maskgrid.io.journal import Journal
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.schedule import Pass
from maskgrid.tracked.propagation.tracker import track
from maskgrid.tracked.records import FramePrompt, Frames, TrackedMask

log = logging.getLogger(__name__)

_ORDER = pa.schema([pa.field("frame", pa.int64(), nullable=False)])
_MASKS = pa.schema(
    [
        pa.field("frame", pa.int64(), nullable=False),
        pa.field("object_id", pa.int64(), nullable=False),
        pa.field("counts", pa.binary(), nullable=False),
        pa.field("area_px", pa.int64(), nullable=False),
        pa.field("object_score_logit", pa.float64(), nullable=False),
    ]
)

FrameMasks = tuple[int, list[TrackedMask]]


class Resumable(Protocol):
    """Tracking whose state can be saved between two frames."""

    size_hw: tuple[int, int]

    def __iter__(self) -> Iterator[FrameMasks]:
        """The remaining frames."""
        ...

    def save(self, stream: IO[bytes]) -> None:
        """Save the state, including the number of frames yielded so far as ``n_given``."""
        ...


def resumably(begin: Callable[[Path | None], Resumable], journal: Journal, every: int) -> Iterator[FrameMasks]:
    """Track, and save the state every ``every`` frames.

    Yields the same frames with the same masks, however often the process is killed in between. Saved frames are read
    from the journal and not tracked again.

    Example:
        >>> begin = partial(track_automatically, tracker, generator, frames, automatic, options)
        >>> for frame, masks in resumably(begin, Journal(output, fingerprint), every=50): ...

    Args:
        begin: starts tracking from a snapshot, or from the beginning if None.
        journal: the output's journal. Its fingerprint must cover everything that ``begin`` depends on.
        every: save frames, and sam2's memory of the video, after this many frames; the memory takes some 4 MB per
            object with sam2.1_hiera_large. Must not change for a journal.
    """
    finished = _finished(journal, every)
    tracking = begin(journal.snapshot if finished else None)
    for part in range(finished):
        tables = journal.read(part, 2)
        assert tables is not None  # checked by _finished
        yield from _frames_of(tables, tracking.size_hw)
    yield from _written_down(tracking, journal, every, finished)


def track_resumably(
    tracker: VideoPredictor,
    frames: Frames,
    prompts: Sequence[FramePrompt],
    options: TrackOptions | None,
    journal: Journal,
    every: int,
    passes: Sequence[Pass] | None = None,
) -> Iterator[FrameMasks]:
    """:func:`resumably` for :func:`maskgrid.tracked.propagation.tracker.track`."""
    return resumably(partial(track, tracker, frames, prompts, options, passes), journal, every)


def _written_down(tracking: Resumable, journal: Journal, every: int, part: int) -> Iterator[FrameMasks]:
    frames = iter(tracking)
    while chunk := list(islice(frames, every)):
        if len(chunk) == every:
            journal.write(part, _tables_of(chunk))
            with atomic_write(journal.snapshot) as stream:
                tracking.save(stream)
            part += 1
        yield from chunk


def _finished(journal: Journal, every: int) -> int:
    """Number of finished parts, if there is a snapshot after the last of them; 0 if anything is wrong."""
    n_given = _n_given(journal.snapshot)
    n_parts, rest = divmod(n_given, every)
    complete = all(journal.read(part, 2) is not None for part in range(n_parts))
    return n_parts if complete and rest == 0 else 0


def _n_given(snapshot: Path) -> int:
    if not snapshot.is_file():
        return 0
    try:
        return int(torch.load(snapshot, map_location="cpu", weights_only=True, mmap=True)["n_given"])
    except (RuntimeError, EOFError, UnpicklingError, zipfile.BadZipFile) as error:  # damaged on the disk
        log.warning("%s: tracking starts from the beginning: %s", snapshot, error)
        return 0


def _tables_of(chunk: Sequence[FrameMasks]) -> list[pa.Table]:
    masks = [mask for _, masks in chunk for mask in masks]
    columns = {name: [getattr(mask, name) for mask in masks] for name in _MASKS.names}
    return [
        pa.table({"frame": [frame for frame, _ in chunk]}, schema=_ORDER),
        pa.table(columns, schema=_MASKS),
    ]


def _frames_of(tables: Sequence[pa.Table], size_hw: tuple[int, int]) -> Iterator[FrameMasks]:
    by_frame: dict[int, list[TrackedMask]] = {frame: [] for frame in tables[0]["frame"].to_pylist()}
    for row in tables[1].to_pylist():
        by_frame[row["frame"]].append(TrackedMask(**row, size_hw=size_hw))
    yield from by_frame.items()
