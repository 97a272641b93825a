"""A file that is hashed while ``tarfile`` reads its headers."""

import hashlib
import tarfile
from typing import IO

BLOCK = tarfile.BLOCKSIZE
_READ_AT_ONCE = 1 << 20
# Headers may contain long names and attributes; a larger one is an attack on memory.
_LARGEST_HEADER = 1 << 22


class HashedFile:
    """A file that is hashed while it is read, with the methods that ``tarfile`` needs."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._hashed = 0

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes.

        Raises:
            tarfile.ReadError: more than any header has.
        """
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        start = self._file.tell()
        if start > self._hashed:
            self._hash_until(start)
        data = self._file.read(size)
        self._digest.update(data[self._hashed - start :])
        self._hashed = max(self._hashed, start + len(data))
        return data

    def seek(self, position: int) -> int:
        """Go to an absolute position."""
        return self._file.seek(position)

    def tell(self) -> int:
        """The current position."""
        return self._file.tell()

    def block(self, offset: int) -> bytes:
        """The block at an offset; shorter, or empty, at the file's end."""
        self.seek(offset)
        return self.read(BLOCK)

    def next_block(self, offset: int) -> int | None:
        """The offset of the first block from an offset on that is not all zeros; None up to the file's end."""
        self.seek(offset)
        while data := self.read(_READ_AT_ONCE):
            zeros = len(data) - len(data.lstrip(b"\0"))
            if zeros < len(data):
                return offset + zeros // BLOCK * BLOCK
            offset += zeros
        return None

    def hexdigest(self) -> str:
        """The hash of the whole file."""
        self._hash_until(None)
        return self._digest.hexdigest()

    def _hash_until(self, stop: int | None) -> None:
        self._file.seek(self._hashed)
        while stop is None or self._hashed < stop:
            data = self._file.read(_READ_AT_ONCE if stop is None else min(_READ_AT_ONCE, stop - self._hashed))
            if not data:
                break
            self._digest.update(data)
            self._hashed += len(data)
        if stop is not None:
            self._file.seek(stop)
