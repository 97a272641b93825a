"""Tar archives whose bytes depend on their content alone."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from maskgrid.io.files import atomic_write


class Add(Protocol):
    """Adds a file to an archive."""

    def __call__(self, name: str, content: bytes) -> None:
        """Add a file of that name."""


@contextmanager
def new_archive(path: Path, headers: Mapping[str, str] | None = None) -> Iterator[Add]:
    """Open an archive for the block; time, owner and permissions of its files are fixed.

    Args:
        path: the archive, written atomically.
        headers: of the whole archive.
    """
    with (
        atomic_write(path) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive,
    ):

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            # What is written need not be remembered, and there may be millions.
            archive.members = []  # type: ignore[attr-defined]

        yield add
