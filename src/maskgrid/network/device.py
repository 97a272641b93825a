"""The device that a process computes on; if there are several, one that no other process has leased.

Leases are file locks: Snakemake's own executor counts devices (``--resources gpu=4``) but does not tell a job which
one is its own.
"""

import getpass
import logging
import os
import tempfile
import time
import warnings
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
        raise UserError(f"model.device: there is no {device} here; CUDA devices: {torch.cuda.device_count()}")
    if device == "mps" and not _has_mps():
        raise UserError("model.device: no MPS device here; use auto or cpu")
    return torch.device(device)


def take_device(device: str) -> torch.device:
    """The torch device for the config's ``device``, for a job that may run beside others.

    If ``auto`` or ``cuda`` leaves a choice of several CUDA devices, this process leases one of them, and waits if all
    are taken. The lease lasts as long as the process, like the memory that it takes on the device. Devices hidden by
    ``CUDA_VISIBLE_DEVICES`` are no choice: a job that gets its device from a scheduler takes that one.

    Raises:
        UserError: this machine has no such device.
    """
    picked = pick_device(device)
    if picked.type != "cuda":
        return picked
    if picked.index is None and torch.cuda.device_count() > 1:
        picked = torch.device("cuda", _lease().index)
    if picked.index is not None:
        torch.cuda.set_device(picked)  # so that "cuda" without a number is this device, not the first
    return picked


@dataclass(frozen=True, slots=True)
class Lease:
    """One of several devices, for this process alone.

    Attributes:
        index: the device's position among the names given.
        lock: the lock that holds it, until it is released or the process ends, however it ends.
    """

    index: int
    lock: FileLock


def lease_one(names: Sequence[str], folder: Path | None = None) -> Lease:
    """Lease the first device that no other process has; wait if all are taken.

    The kernel drops the lock of a process that dies, so nothing needs cleaning up.

    Args:
        names: the devices' names, the same for every process on this machine (CUDA's UUIDs, say): short, safe in file
            names, at least one.
        folder: for the locks, on a disk of this machine; by default one of the user's own for temporary files.

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


def repeat_bits(device: torch.device) -> None:
    """Let this process use only CUDA algorithms that give the same bits in every run; call it before other work.

    Other devices give the same bits anyway. The sum that makes position encodings has no such algorithm, and needs
    none: it adds ones, which is exact.
    """
    if device.type != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # of NVIDIA's documentation of cuBLAS
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    warnings.filterwarnings("ignore", message="cumsum_cuda_kernel does not have a deterministic implementation")


@cache
def _lease() -> Lease:
    # By UUID, because device numbers depend on which devices a process may see.
    devices = range(torch.cuda.device_count())
    return lease_one([str(torch.cuda.get_device_properties(index).uuid) for index in devices])


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
