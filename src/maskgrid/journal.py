"""A journal of finished images beside an unfinished output, from which a killed job goes on."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from maskgrid.files import atomic_write, write_bytes


class Journal:
    """Finished parts of one output, each complete or absent, valid for one fingerprint.

    A part is a handful of tables. It counts once its last file stands, and each file appears by a rename; so a process
    may be killed between any two writes, and the next one with the same fingerprint takes up what is complete.
    """

    def __init__(self, output: Path, fingerprint: str) -> None:
        """Open the journal of ``output``, dropping what another fingerprint has left.

        Args:
            output: the file that is being made; the journal lies beside it in a folder ``.NAME.journal``.
            fingerprint: of everything that the parts depend on.
        """
        self.folder = output.parent / f".{output.name}.journal"
        owner = self.folder / "fingerprint"
        if not owner.is_file() or owner.read_text() != fingerprint:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_bytes(owner, fingerprint.encode())

    def read(self, part: int, n_tables: int) -> list[pa.Table] | None:
        """The tables of a part, or None where it is not finished."""
        paths = self._paths(part, n_tables)
        if not paths[-1].is_file():
            return None
        tables = []
        for path in paths:
            with pa.memory_map(str(path)) as source:
                tables.append(pa.ipc.open_file(source).read_all())
        return tables

    def write(self, part: int, tables: Sequence[pa.Table]) -> None:
        """Keep the tables of a finished part."""
        for path, table in zip(self._paths(part, len(tables)), tables, strict=True):
            with atomic_write(path) as stream, pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table)

    def discard(self) -> None:
        """Remove the journal: the output is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self, part: int, n_tables: int) -> list[Path]:
        return [self.folder / f"{part:06d}.{number}.arrow" for number in range(n_tables)]
