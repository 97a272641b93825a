"""Several devices on one machine, and several processes that want one each: leases by locks on files.

Snakemake's own executor counts devices (``--resources gpu=4``) and does not say to a job which one is its own.
"""

import getpass
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Lease:
    """One of several devices, for this process alone.

    Attributes:
        index: the device's position among the names that were asked for.
        lock: the lock that holds it, until it is released or the process ends, however it ends.
    """

    index: int
    lock: FileLock


def lease_one(names: Sequence[str], folder: Path | None = None) -> Lease:
    """Lease the first device that no other process has; wait for one where all are taken.

    The kernel drops the lock of a process that dies, so that nothing has to be cleaned up after it.

    Args:
        names: what the devices are called by every process on this machine (CUDA's UUIDs, say): short, safe in file
            names, at least one.
        folder: where the locks lie, on a disk of this machine; one of the user's own for temporary files by default.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"maskgrid-devices-{getpass.getuser()}"
    folder.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(folder / f"{name}.lock") for name in names]
    waiting = False
    while True:
        for index, lock in enumerate(locks):
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            return Lease(index, lock)
        if not waiting:
            log.info("all %d devices are taken by other processes; waiting for one (locks in %s)", len(locks), folder)
            waiting = True
        time.sleep(_LOOK_AGAIN_S)
