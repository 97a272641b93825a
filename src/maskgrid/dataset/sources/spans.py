"""Read a part of a file as a file: the member of an archive."""

import hashlib
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@dataclass(frozen=True, slots=True)
class Span:
    """A range of bytes in a file.

    Attributes:
        offset: position of the first byte.
        length: in bytes.
    """

    offset: int
    length: int


def open_span(path: Path, span: Span | None) -> io.BufferedReader:
    """Open a file, or a span of it, for reading.

    Raises:
        OSError: the file cannot be opened.
    """
    return path.open("rb") if span is None else io.BufferedReader(SpanReader(path, span))


@lru_cache(maxsize=8)
def sha256_once(path: Path, span: Span | None, size: int | None, mtime_ns: int | None) -> str:  # noqa: ARG001
    """Hash a file of many pages once in this process, hexadecimal; its size and time tell whether it is the same.

    Raises:
        OSError: the file cannot be read.
    """
    with open_span(path, span) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class SpanReader(io.RawIOBase):
    """Reads a span of a file like a file of its own, unbuffered."""

    def __init__(self, path: Path, span: Span) -> None:
        """Open the file.

        Raises:
            OSError: the file cannot be opened.
        """
        self._file = path.open("rb", buffering=0)
        self._span = span
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move within the span; reads beyond its end return nothing.

        Raises:
            ValueError: the position is before the beginning.
        """
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._span.length}[whence]
        if start + offset < 0:
            raise ValueError("a seek to before the beginning")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer, up to the span's end."""
        view = memoryview(buffer).cast("B")[: max(0, self._span.length - self._position)]
        self._file.seek(self._span.offset + self._position)
        n_read = self._file.readinto(view) or 0
        self._position += n_read
        return n_read

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
