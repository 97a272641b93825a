"""One ``maskgrid run`` at a time in a folder, and none hindered by one that was killed.

Snakemake locks the folder too, but its lock outlives a killed process. This lock lasts as long as a process of the run
does; so whoever gets it while the file says that a run began knows that Snakemake's lock is a leftover.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskgrid.io.errors import UserError

FOLDER = Path(".snakemake/maskgrid")
_SNAKEMAKE_LOCKS = Path(".snakemake/locks")
_PATIENCE_S = 20.0


@contextmanager
def sole_run() -> Iterator[int]:
    """Hold the folder's lock; yields its file descriptor, for the child to hold it too.

    Raises:
        UserError: another ``maskgrid run`` works in this folder.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(FOLDER / "run.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(descriptor)
        if os.pread(descriptor, 1, 0):
            shutil.rmtree(_SNAKEMAKE_LOCKS, ignore_errors=True)
        os.pwrite(descriptor, b"r", 0)
        yield descriptor
    finally:
        os.close(descriptor)


def ended(descriptor: int) -> None:
    """Note that Snakemake ended by itself, and so removed its own lock."""
    os.ftruncate(descriptor, 0)


def _take(descriptor: int) -> None:
    """Take the lock, or wait a little: after a kill, Snakemake needs a moment to end its jobs."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UserError(
                    "another maskgrid run works in this folder; wait until it has ended, or stop it"
                ) from None
            time.sleep(0.2)
