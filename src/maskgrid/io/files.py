"""Write files atomically: a file is absent or complete, never half written."""

import fcntl
import hashlib
import io
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


LONGEST_NAME = 255  # bytes; of a file, on the usual file systems


class Step(StrEnum):
    """What a process is about to do to a file."""

    CREATE = "create"  # create the temporary file
    WRITE = "write"  # write a block of it
    SYNC = "sync"  # flush it to the disk
    RENAME = "rename"  # rename it to the final name
    SYNC_FOLDER = "sync folder"  # flush the name to the disk
    LINK = "link"  # add a second name
    REMOVE = "remove"  # remove a file no longer needed


Observer = Callable[[Step, Path], None]


def _unobserved(step: Step, path: Path) -> None:
    pass


_observer: ContextVar[Observer] = ContextVar("observer", default=_unobserved)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Call ``observer`` before every step that this thread takes in the block, with the final path.

    Every change to the disk is one step. An observer that kills the process or raises an ``OSError`` therefore shows
    what a crash or a failing disk leaves behind at any moment.
    """
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def step(kind: Step, path: Path) -> None:
    """Announce a step on the file at ``path`` to the observer."""
    _observer.get()(kind, path)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that replaces it when the block ends without an exception.

    The content is on the disk before the name points to it (fsync of the file, rename, fsync of the folder), so
    neither a crash of the process nor of the machine leaves a half-written file under the final name. Every writer
    has its own temporary file; an exception in the block removes it and leaves the old file untouched. The next
    writer on the same machine overwrites what a killed one left.

    Raises:
        OSError: the folder cannot be written (full disk, permissions); ``filename`` is set.
    """
    try:
        with _replacing(path) as stream:
            yield stream
        step(Step.SYNC_FOLDER, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # write() and fsync() do not say which file
            error.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically (see :func:`atomic_write`)."""
    with atomic_write(path) as stream:
        stream.write(content)


def link_or_copy(path: Path, name: Path) -> None:
    """Give a complete file a second name, which replaces a file of that name; copy it where links are not possible.

    Raises:
        OSError: the folder of the name cannot be written; ``filename`` is set.
    """
    end = f".{socket.gethostname()}.link.part"
    part = name.with_name(f".{shortened(name.name, LONGEST_NAME - len(os.fsencode(end)) - 1)}{end}")
    name.parent.mkdir(parents=True, exist_ok=True)
    while not _is_same_file(path, name):  # renaming one name of a file to another of its names does nothing
        part.unlink(missing_ok=True)
        step(Step.LINK, name)
        try:
            os.link(path, part)
        except FileExistsError:  # another writer's
            continue
        except OSError:  # a file system without links
            with path.open("rb") as source, atomic_write(name) as stream:
                shutil.copyfileobj(source, stream)
            return
        step(Step.RENAME, name)
        with suppress(FileNotFoundError):  # another writer has taken it
            part.replace(name)
    part.unlink(missing_ok=True)
    step(Step.SYNC_FOLDER, name)
    sync_folder(name.parent)


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except FileNotFoundError:
        return False


def remove_tree(folder: Path) -> None:
    """Remove a folder with its files and folders, in order of their names, if it exists.

    Temporary files of a living process stay, and so does the folder then. Another process may remove it meanwhile.

    Raises:
        OSError: a file cannot be removed.
    """
    try:
        paths = sorted(folder.glob("*"))
    except FileNotFoundError:  # while they were listed
        return
    for path in paths:
        if is_part(path) and _is_being_written(path):
            continue
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
            continue
        step(Step.REMOVE, path)
        path.unlink(missing_ok=True)
    # NFS keeps a removed file that is still mapped in its folder; an empty folder does no harm.
    with suppress(OSError):
        folder.rmdir()


def is_part(path: Path) -> bool:
    """Return whether a path is a temporary file of :func:`atomic_write`, by its name."""
    return path.name.startswith(".") and path.suffix == ".part"


def is_hidden(path: Path, root: Path) -> bool:
    """Return whether a file below a folder is hidden, itself or in a hidden folder."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    step(Step.CREATE, path)
    part, descriptor = _open_part(path)
    raw = _Blocks(descriptor, path)
    stream = io.BufferedWriter(raw)
    try:
        yield stream
        stream.flush()
        step(Step.SYNC, path)
        os.fsync(descriptor)
        step(Step.RENAME, path)
        part.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    finally:
        raw.close()  # last, because it drops the lock; after an error, discards what is still buffered


class _Blocks(io.FileIO):
    """A file that announces every write to the disk as a step."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, "wb")
        self._path = path

    def write(self, data: "ReadableBuffer", /) -> int:
        step(Step.WRITE, self._path)
        return super().write(data)


def _open_part(path: Path) -> tuple[Path, int]:
    """Open an empty temporary file that no living process writes to.

    Its owner holds a lock, which the kernel drops however the process dies. So a file without a lock is a leftover and
    can be reused. Locks may not reach other machines, so the name contains the machine's.
    """
    for number in count(1):
        end = f".{socket.gethostname()}.{number}.part"
        part = path.with_name(f".{shortened(path.name, LONGEST_NAME - len(os.fsencode(end)) - 1)}{end}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # another process just removed the empty folder
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between open and lock, the last owner may have renamed or removed it.
            if is_at(descriptor, part):
                os.truncate(descriptor, 0)
                return part, descriptor
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks
            os.close(descriptor)
            part.unlink(missing_ok=True)
            return _open_unlocked(path)
        os.close(descriptor)
    raise AssertionError("numbers do not end")


def shortened(name: str, n_bytes: int) -> str:
    """A name of at most so many bytes: a longer one ends in a hash instead of what does not fit."""
    if len(os.fsencode(name)) <= n_bytes:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return os.fsencode(name)[: n_bytes - len(digest)].decode(errors="ignore") + digest


def _is_being_written(part: Path) -> bool:
    """Return whether a process on this machine holds a temporary file's lock."""
    try:
        with part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # the file is gone by now, or the file system has no locks
        return False
    return False


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file or folder still has this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _open_unlocked(path: Path) -> tuple[Path, int]:
    descriptor, name = tempfile.mkstemp(
        prefix=f".{shortened(path.name, LONGEST_NAME - 20)}.", suffix=".part", dir=path.parent
    )
    umask = os.umask(0)
    os.umask(umask)
    os.fchmod(descriptor, 0o666 & ~umask)
    return Path(name), descriptor


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
