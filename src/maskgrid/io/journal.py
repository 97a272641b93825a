"""A journal of finished images beside an unfinished output, from which a killed job goes on."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from maskgrid.io.errors import UserError
from maskgrid.io.files import Step, atomic_write, remove_tree, step, write_bytes
from maskgrid.io.tables import read_origin

log = logging.getLogger(__name__)


class Journal:
    """Finished parts of one output, each complete or absent, valid for one fingerprint.

    A part is a handful of tables. It counts once its last file stands, and each file appears by a rename; so a process
    may be killed between any two writes, and the next one with the same fingerprint takes up what is complete.

    Attributes:
        folder: where the parts lie.
        fingerprint: of everything that the parts depend on.
        snapshot: a file for what work must know to go on behind the finished parts; whoever needs one writes it.
    """

    def __init__(self, output: Path, fingerprint: str) -> None:
        """Open the journal of ``output``, dropping what another fingerprint has left.

        Args:
            output: the file that is being made; the journal lies beside it in a folder ``.NAME.journal``.
            fingerprint: of everything that the parts depend on.

        Raises:
            OSError: the folder cannot be written, or what is left of another fingerprint not be removed.
        """
        self.folder, self.fingerprint = journal_folder(output), fingerprint
        self.snapshot = self.folder / "snapshot"
        owner = self.folder / "fingerprint"
        if not owner.is_file() or owner.read_text() != fingerprint:
            remove_tree(self.folder)
            write_bytes(owner, fingerprint.encode())

    def read(self, part: int, n_tables: int) -> list[pa.Table] | None:
        """The tables of a part, or None where it is not finished."""
        paths = self._paths(part, n_tables)
        if not paths[-1].is_file():
            return None
        try:
            return [_read(path) for path in paths]
        except (pa.ArrowInvalid, FileNotFoundError) as error:  # a disk's mishap; the work can be done again
            log.warning("%s: is done again: %s", paths[-1], error)
            return None

    def write(self, part: int, tables: Sequence[pa.Table]) -> None:
        """Keep the tables of a finished part."""
        for path, table in zip(self._paths(part, len(tables)), tables, strict=True):
            with atomic_write(path) as stream, pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table)

    def keep(self, outputs: Sequence[Path]) -> None:
        """Keep the written outputs in place of their parts, at no cost of space, until :func:`forget_journal`.

        A workflow that dies before it has noted that a job is done removes the job's outputs, and starts it again.
        """
        try:
            for output, link in zip(outputs, self._links(outputs), strict=True):
                if not link.is_file():  # of an earlier process, and so the same
                    step(Step.LINK, link)
                    os.link(output, link)
        except OSError as error:  # a file system without links
            log.info("%s: is not kept: %s", self.folder, error)
        self._drop_parts()

    def finished(self, outputs: Sequence[Path], redo: bool = False) -> bool:
        """Tell whether nothing is left to do: the outputs are current, or an earlier process had finished them.

        Args:
            outputs: the tables that are due.
            redo: make current outputs again, unless :meth:`keep` has kept them.
        """
        if not redo and all(_fingerprint_of(output) == self.fingerprint for output in outputs):
            self.keep(outputs)
            for output in outputs:
                output.touch()
            log.info("%s: is current", outputs[-1])
            return True
        if self.restore(outputs):
            log.info("%s: was finished before", outputs[-1])
            return True
        return False

    def restore(self, outputs: Sequence[Path]) -> bool:
        """Put the outputs back that :meth:`keep` has kept; tells whether they are there."""
        links = self._links(outputs)
        if not all(link.is_file() for link in links):
            return False
        for output, link in zip(outputs, links, strict=True):
            write_bytes(output, link.read_bytes())
        self._drop_parts()
        return True

    def _drop_parts(self) -> None:
        for part in (*sorted(self.folder.glob("*.arrow")), *([self.snapshot] if self.snapshot.is_file() else [])):
            step(Step.REMOVE, part)
            part.unlink(missing_ok=True)

    def _paths(self, part: int, n_tables: int) -> list[Path]:
        return [self.folder / f"{part:06d}.{number}.arrow" for number in range(n_tables)]

    def _links(self, outputs: Sequence[Path]) -> list[Path]:
        return [self.folder / f"finished.{number}" for number in range(len(outputs))]


def forget_journal(output: Path) -> None:
    """Remove an output's journal: a later stage has used the output, so it will not be asked for again."""
    remove_tree(journal_folder(output))


def journal_folder(output: Path) -> Path:
    """Where the journal of an output lies."""
    return output.parent / f".{output.name}.journal"


def is_journal(path: Path) -> bool:
    """Tell whether a folder's name is that of a journal."""
    return path.name.startswith(".") and path.suffix == ".journal"


def _fingerprint_of(output: Path) -> str | None:
    try:
        return read_origin(output).get("fingerprint")
    except UserError:  # missing, or cut off
        return None


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
