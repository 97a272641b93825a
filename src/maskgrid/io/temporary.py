"""Temporary folders that do not outlive their processes for long: what a killed one left, the next one removes."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "maskgrid-tmp-"
# A folder that has just been made may not be locked yet.
_NEW_S = 60.0


@contextmanager
def temporary_folder(parent: str | None = None) -> Iterator[Path]:
    """Make a folder for the block, and remove those of this user's dead processes beside it.

    The folder is locked while its process lives, however that ends.

    Args:
        parent: where to make it; None for the system's folder for temporary files.
    """
    place = Path(parent or tempfile.gettempdir())
    _remove_left_over(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks; then nobody can take it for left over either
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_left_over(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it is another user's, or another process has removed it
            status = folder.stat(follow_symlinks=False)
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _NEW_S:
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
