"""The run-length codes of a pass's candidates: held as Arrow has them, or left in their file until they are needed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.io.tables import open_file, read_table

# A file with more bytes of codes keeps them: those of a large image's tiles may not fit into memory.
_HELD_BYTES = 512 << 20
_COLUMN = "counts"


class Codes:
    """A column of codes, bytes or None, that is indexed like an array of objects."""

    dtype = np.dtype(np.object_)

    def __init__(self, column: pa.ChunkedArray) -> None:
        """Hold the codes of a table's column."""
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    @property
    def shape(self) -> tuple[int]:
        """The number of codes."""
        return (len(self),)

    def __getitem__(self, choice: Any) -> Any:  # noqa: ANN401
        """One code by its number, or an array of codes by an array of numbers, a mask or a slice."""
        if isinstance(choice, int | np.integer):
            return self._taken(np.array([range(len(self))[int(choice)]], np.int64))[0]
        return self._taken(np.arange(len(self), dtype=np.int64)[choice])

    def __iter__(self) -> Iterator[bytes | None]:
        return iter(self.tolist())

    def tolist(self) -> list[bytes | None]:
        """All codes."""
        codes: list[bytes | None] = self[:].tolist()
        return codes

    def _taken(self, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        return _objects(self.column.take(pa.array(rows)))


class FileCodes(Codes):
    """Codes that stay in their file: each time some are asked for, they are read."""

    def __init__(self, path: Path, first: int, n: int) -> None:
        """Leave the codes of n rows of a file, from ``first`` on, where they are."""
        self.path, self.first, self.n = path, first, n

    def __len__(self) -> int:
        return self.n

    def _taken(self, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        """Read the codes of some rows, row group by row group."""
        found = np.full(len(rows), None, np.object_)
        places = rows + self.first
        with open_file(self.path) as file:
            end = 0
            for number in range(file.num_row_groups):
                start, end = end, end + file.metadata.row_group(number).num_rows
                here = np.flatnonzero((places >= start) & (places < end))
                if len(here):
                    group = file.read_row_group(number, [_COLUMN], use_threads=False)[_COLUMN]
                    found[here] = _objects(group.take(pa.array(places[here] - start)))
        return found


def read_held(path: Path) -> tuple[pa.Table, bool]:
    """Read a table of candidates, without the codes if they are too long to be held; and whether it has them.

    Raises:
        maskgrid.io.errors.UserError: the file is missing, truncated or damaged.
    """
    with open_file(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        is_held = sum(_bytes_of(group, _COLUMN) for group in groups) <= _HELD_BYTES
        others = [name for name in file.schema_arrow.names if name != _COLUMN]
    return read_table(path, None if is_held else others), is_held


def _bytes_of(group: Any, name: str) -> int:  # noqa: ANN401
    chunks = (group.column(number) for number in range(group.num_columns))
    return sum(int(chunk.total_uncompressed_size) for chunk in chunks if chunk.path_in_schema == name)


def _objects(column: pa.ChunkedArray) -> NDArray[np.object_]:
    codes = np.empty(len(column), np.object_)
    codes[:] = column.to_pylist()
    return codes
