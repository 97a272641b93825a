"""The device that a process computes on; where there are several, one that no other process has leased.

Leases are locks on files: Snakemake's own executor counts devices (``--resources gpu=4``) and does not say to a job
which one is its own.
"""

import getpass
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from maskgrid.io.errors import UserError

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.5


def pick_device(device: str) -> torch.device:
    """The torch device for the config's ``device``.

    Raises:
        UserError: this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("model.device: no CUDA device here (torch.cuda.is_available() is False); use auto or cpu")
    index = int(device.partition(":")[2] or 0)
    if device.startswith("cuda") and index >= torch.cuda.device_count():
        raise UserError(f"model.device: {device} is not here; there are {torch.cuda.device_count()} CUDA devices")
    if device == "mps" and not _has_mps():
        raise UserError("model.device: no MPS device here; use auto or cpu")
    return torch.device(device)


def take_device(device: str) -> torch.device:
    """The torch device for the config's ``device``, for a job that may have others of its kind beside it.

    Where ``auto`` or ``cuda`` leaves a choice between several CUDA devices, this process leases one of them, and waits
    for it where all are taken. The lease lasts as long as the process, as does the memory that it takes on the device.
    What ``CUDA_VISIBLE_DEVICES`` hides is no choice: a job that a scheduler has given its device takes that one.

    Raises:
        UserError: this machine has no such device.
    """
    picked = pick_device(device)
    if picked.type != "cuda":
        return picked
    if picked.index is None and torch.cuda.device_count() > 1:
        picked = torch.device("cuda", _lease().index)
    if picked.index is not None:
        torch.cuda.set_device(picked)  # what asks for "cuda" without a number must not land on the first device
    return picked


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


@cache
def _lease() -> Lease:
    # By UUID, because the numbers of devices depend on what each process may see.
    devices = range(torch.cuda.device_count())
    return lease_one([str(torch.cuda.get_device_properties(index).uuid) for index in devices])


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
