"""Write folders atomically: a folder is absent or complete, never half written."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from maskgrid.io.files import LONGEST_NAME, Step, is_at, shortened, step, sync_folder


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Create a temporary folder that replaces the folder ``path`` when the block ends without an exception.

    Write files into it with :func:`maskgrid.io.files.write_bytes`, in subfolders if needed. The old folder is moved
    away before the new one takes its name, so for a moment there is none. A second writer on this machine waits for the
    first; what a killed one left is removed.

    Raises:
        OSError: as :func:`maskgrid.io.files.atomic_write`.
    """
    part = path.with_name(f".{shortened(path.name, LONGEST_NAME - 10)}.part")
    old = part.with_suffix(".old.part")
    step(Step.CREATE, path)
    with _sole_writer(part):
        for left in (old, *part.iterdir()):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        yield part
        step(Step.RENAME, path)
        if path.exists():
            path.rename(old)
            step(Step.RENAME, path)
        part.rename(path)
        step(Step.SYNC_FOLDER, path)
        sync_folder(path.parent)
        step(Step.REMOVE, path)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _sole_writer(part: Path) -> Iterator[None]:
    """Make a temporary folder, or take over a dead writer's, and hold its lock; on a file system without, hold none."""
    descriptor = _opened(part)
    try:
        # The last owner may have given the folder its final name.
        while not is_at(descriptor, part):
            os.close(descriptor)
            descriptor = _opened(part)
        yield
    finally:
        os.close(descriptor)


def _opened(part: Path) -> int:
    while True:
        with suppress(FileExistsError):  # renamed while it was looked at
            part.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(part, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor
