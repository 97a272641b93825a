"""Where tracking stands, kept beside an unfinished output: finished frames, and sam2's memory of the last ones."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.files import Step, atomic_write, step
from maskgrid.journal import Journal
from maskgrid.video.records import TrackedMask
from maskgrid.video.rows import RowMaker
from maskgrid.video.schemas import MASKLETS
from maskgrid.video.tracker import Tracking

# Seconds between two snapshots, each of which holds the memory of all objects.
INTERVAL_S = 30.0
# Frames whose rows are held as Python objects.
_FRAMES_IN_TABLE = 64

Row = dict[str, Any]


class TrackingCheckpoints:
    """Parts of a journal, each with the snapshot after its last frame; only the last one's is kept."""

    def __init__(self, journal: Journal, interval_s: float = INTERVAL_S) -> None:
        """Look at what an earlier process has left.

        Args:
            journal: of the output, with the fingerprint of all that tracking depends on.
            interval_s: seconds between two snapshots.
        """
        self.journal, self.interval_s = journal, interval_s
        self.tables: list[pa.Table] = []
        self.snapshot: Path | None = None
        while (found := journal.read(len(self.tables), 1)) is not None:
            self.tables += found
        # A part counts only with its snapshot: it is written first, and removed once the next part stands.
        while self.tables and not self._path(len(self.tables) - 1).is_file():
            self.tables.pop()
        if self.tables:
            self.snapshot = self._path(len(self.tables) - 1)

    def collect(self, tracking: Tracking, frames: Iterator[tuple[int, list[TrackedMask]]], rows: RowMaker) -> pa.Table:
        """Run tracking to its end; a table of ``MASKLETS``, in the order in which frames came.

        Args:
            tracking: what gives the frames and can be saved between them.
            frames: the same frames, perhaps with their progress shown.
            rows: makes rows of masks.
        """
        done, part, pending = list(self.tables), [MASKLETS.empty_table()], list[Row]()
        saved = time.monotonic()
        for number, (frame, masks) in enumerate(frames, start=1):
            pending += rows.rows(frame, masks)
            is_due = time.monotonic() - saved >= self.interval_s
            if is_due or number % _FRAMES_IN_TABLE == 0:
                part.append(pa.Table.from_pylist(pending, MASKLETS))
                pending = []
            if is_due and tracking.n_given < tracking.n_frames:
                done.append(pa.concat_tables(part).combine_chunks())
                part = [MASKLETS.empty_table()]
                self._keep(tracking, done)
                saved = time.monotonic()
        return pa.concat_tables([*done, *part, pa.Table.from_pylist(pending, MASKLETS)])

    def forget_snapshots(self) -> None:
        """Remove what is needed no more once the output is kept."""
        for path in sorted(self.journal.folder.glob("*.snapshot")):
            step(Step.REMOVE, path)
            path.unlink(missing_ok=True)

    def _keep(self, tracking: Tracking, done: Sequence[pa.Table]) -> None:
        number = len(done) - 1
        with atomic_write(self._path(number)) as stream:
            tracking.save(stream)
        self.journal.write(number, [done[number]])
        if number:
            step(Step.REMOVE, self._path(number - 1))
            self._path(number - 1).unlink(missing_ok=True)

    def _path(self, part: int) -> Path:
        return self.journal.folder / f"{part:06d}.snapshot"
