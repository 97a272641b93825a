"""A journal of finished images beside an unfinished output, from which a killed job resumes."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from maskgrid.io.errors import UserError
from maskgrid.io.files import Step, atomic_write, link_or_copy, remove_tree, step, write_bytes
from maskgrid.io.tables import read_origin

log = logging.getLogger(__name__)


class Journal:
    """Finished parts of one output, each complete or absent, valid for one fingerprint.

    A part is a few tables. It counts once its last file exists, and each file appears by a rename. So a process can be
    killed between any two writes, and the next one with the same fingerprint reuses every complete part.

    Attributes:
        folder: the folder of the parts.
        fingerprint: hash of everything that the parts depend on.
        snapshot: the file for the state needed to continue after the finished parts; callers that need it write it.
    """

    def __init__(self, output: Path, fingerprint: str) -> None:
        """Open the journal of ``output``, and drop parts with another fingerprint.

        Args:
            output: the file being made; the journal is a folder ``.NAME.journal`` beside it.
            fingerprint: hash of everything that the parts depend on.

        Raises:
            OSError: the folder cannot be written, or parts with another fingerprint cannot be removed.
        """
        self.folder, self.fingerprint = journal_folder(output), fingerprint
        self.snapshot = self.folder / "snapshot"
        owner = self.folder / "fingerprint"
        if not owner.is_file() or owner.read_text() != fingerprint:
            remove_tree(self.folder)
            write_bytes(owner, fingerprint.encode())

    def read(self, part: int, n_tables: int) -> list[pa.Table] | None:
        """Read the tables of a part; None if it is not finished."""
        paths = self._paths(part, n_tables)
        if not paths[-1].is_file():
            return None
        try:
            return [_read(path) for path in paths]
        except (pa.ArrowInvalid, FileNotFoundError) as error:  # a damaged disk; the work can be repeated
            log.warning("%s: unreadable, doing this part again: %s", paths[-1], error)
            return None

    def write(self, part: int, tables: Sequence[pa.Table]) -> None:
        """Write the tables of a finished part."""
        for path, table in zip(self._paths(part, len(tables)), tables, strict=True):
            with atomic_write(path) as stream, pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table)

    def inner(self, part: int) -> "Journal":
        """The journal of a part that is itself made in parts; it goes when this one's parts go."""
        return Journal(self.folder / f"{part:06d}", self.fingerprint)

    def places(self, outputs: Sequence[Path]) -> list[Path]:
        """Where to write the outputs: in the journal, where they are safe until :func:`forget_journal`.

        A workflow that is told to stop removes the outputs of running jobs, at any moment; and if it dies before it
        records that a job is done, it removes the outputs later and starts the job again.
        """
        return [self.folder / f"finished.{number}" for number in range(len(outputs))]

    def publish(self, outputs: Sequence[Path]) -> None:
        """Give the outputs, written to :meth:`places`, their names; then drop the parts that they were made of.

        Raises:
            OSError: an output cannot be written; the next process publishes it.
        """
        for place, output in zip(self.places(outputs), outputs, strict=True):
            link_or_copy(place, output)
        self._drop_parts()

    def finished(self, outputs: Sequence[Path]) -> bool:
        """Return whether nothing is left to do: the outputs (tables) are current, or can be published again."""
        if is_current(outputs, self.fingerprint):
            self._keep(outputs)
            for output in outputs:
                output.touch()
            log.info("%s: already current", outputs[-1])
            return True
        if all(place.is_file() for place in self.places(outputs)):
            self.publish(outputs)
            log.info("%s: restored, an earlier process had finished it", outputs[-1])
            return True
        return False

    def _keep(self, outputs: Sequence[Path]) -> None:
        """Take current outputs of an earlier process into the journal."""
        try:
            for place, output in zip(self.places(outputs), outputs, strict=True):
                if not place.is_file():
                    step(Step.LINK, place)
                    os.link(output, place)
        except OSError as error:  # a file system without links, or the output has just been removed: keep the parts
            log.info("%s: cannot keep the outputs: %s", self.folder, error)
            return
        self._drop_parts()

    def _drop_parts(self) -> None:
        for part in (*sorted(self.folder.glob("*.arrow")), *([self.snapshot] if self.snapshot.is_file() else [])):
            step(Step.REMOVE, part)
            part.unlink(missing_ok=True)
        for inner in sorted(self.folder.glob(".*.journal")):
            remove_tree(inner)

    def _paths(self, part: int, n_tables: int) -> list[Path]:
        return [self.folder / f"{part:06d}.{number}.arrow" for number in range(n_tables)]


def forget_journal(output: Path) -> None:
    """Remove an output's journal: a later stage has used the output, so it is no longer needed."""
    remove_tree(journal_folder(output))


def journal_folder(output: Path) -> Path:
    """The folder of an output's journal."""
    return output.parent / f".{output.name}.journal"


def is_journal(path: Path) -> bool:
    """Return whether a folder is a journal, by its name."""
    return path.name.startswith(".") and path.suffix == ".journal"


def is_current(outputs: Sequence[Path], fingerprint: str) -> bool:
    """Return whether outputs (tables) are there and of this fingerprint."""
    return all(_fingerprint_of(output) == fingerprint for output in outputs)


def _fingerprint_of(output: Path) -> str | None:
    try:
        return read_origin(output).get("fingerprint")
    except UserError:  # missing or truncated
        return None


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
