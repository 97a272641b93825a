"""Tracking that goes on where a killed process has left off."""

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
from maskgrid.tracked.predictor import VideoPredictor
from maskgrid.tracked.records import FramePrompt, Frames, TrackedMask
from maskgrid.tracked.schedule import Pass
from maskgrid.tracked.tracker import track

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
    """Tracking that can be written down between two frames."""

    size_hw: tuple[int, int]

    def __iter__(self) -> Iterator[FrameMasks]:
        """The frames to come."""
        ...

    def save(self, stream: IO[bytes]) -> None:
        """Write down where it stands; the number of frames given is among it, as ``n_given``."""
        ...


def resumably(begin: Callable[[Path | None], Resumable], journal: Journal, every: int) -> Iterator[FrameMasks]:
    """Tracking that is written down every so many frames.

    The same frames with the same masks come, however often the process is killed between. Frames that were written down
    are read and not tracked again.

    Example:
        >>> begin = partial(track_automatically, tracker, generator, frames, automatic, options)
        >>> for frame, masks in resumably(begin, Journal(output, fingerprint), every=50): ...

    Args:
        begin: begins from a snapshot, or anew if None.
        journal: of the output that is being made. Its fingerprint must cover all that ``begin`` depends on.
        every: after how many frames they are written down, with what sam2 remembers of the video: some 4 MB an object
            with sam2.1_hiera_large. For one journal it must be the same number each time.
    """
    finished = _finished(journal, every)
    tracking = begin(journal.snapshot if finished else None)
    for part in range(finished):
        tables = journal.read(part, 2)
        assert tables is not None  # _finished has seen it
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
    """:func:`resumably` for :func:`maskgrid.tracked.tracker.track`."""
    return resumably(partial(track, tracker, frames, prompts, options, passes), journal, every)


def _written_down(tracking: Resumable, journal: Journal, every: int, part: int) -> Iterator[FrameMasks]:
    frames = iter(tracking)
    while given := list(islice(frames, every)):
        if len(given) == every:
            journal.write(part, _tables_of(given))
            with atomic_write(journal.snapshot) as stream:
                tracking.save(stream)
            part += 1
        yield from given


def _finished(journal: Journal, every: int) -> int:
    """How many parts are finished, with a snapshot behind the last of them; 0 where anything is amiss."""
    n_given = _n_given(journal.snapshot)
    n_parts, rest = divmod(n_given, every)
    complete = all(journal.read(part, 2) is not None for part in range(n_parts))
    return n_parts if complete and rest == 0 else 0


def _n_given(snapshot: Path) -> int:
    if not snapshot.is_file():
        return 0
    try:
        return int(torch.load(snapshot, map_location="cpu", weights_only=True, mmap=True)["n_given"])
    except (RuntimeError, EOFError, UnpicklingError, zipfile.BadZipFile) as error:  # a disk's mishap
        log.warning("%s: tracking begins anew: %s", snapshot, error)
        return 0


def _tables_of(given: Sequence[FrameMasks]) -> list[pa.Table]:
    masks = [mask for _, masks in given for mask in masks]
    columns = {name: [getattr(mask, name) for mask in masks] for name in _MASKS.names}
    return [
        pa.table({"frame": [frame for frame, _ in given]}, schema=_ORDER),
        pa.table(columns, schema=_MASKS),
    ]


def _frames_of(tables: Sequence[pa.Table], size_hw: tuple[int, int]) -> Iterator[FrameMasks]:
    by_frame: dict[int, list[TrackedMask]] = {frame: [] for frame in tables[0]["frame"].to_pylist()}
    for row in tables[1].to_pylist():
        by_frame[row["frame"]].append(TrackedMask(**row, size_hw=size_hw))
    yield from by_frame.items()
