"""What a folder of an export was made from: a hidden file in it, which other tools do not take for data."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.fingerprint import maskgrid_version

_NAME = ".maskgrid.json"
# Not of the export: the note, and what Snakemake leaves in a folder that a rule wrote.
_ASIDE = frozenset({_NAME, ".snakemake_timestamp"})


@dataclass(frozen=True, slots=True)
class ExportNote:
    """What an export was made from, and what it holds.

    Attributes:
        masks: fingerprint of the COCO file.
        options: of the form, as plain values.
        n_files: files and links in the folder, without the note.
        size_bytes: bytes of these files; links count nothing.
        about: what became of the masks, such as the IoU of polygons with them.
    """

    masks: str
    options: Mapping[str, Any]
    n_files: int
    size_bytes: int
    about: Mapping[str, Any]


def write_note(folder: Path, masks: str, options: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write the note of a folder; last, since it counts the files."""
    n_files, size_bytes = _measured(folder)
    content = {
        "maskgrid_version": maskgrid_version(),
        "fingerprint": masks,
        "options": dict(options),
        "n_files": n_files,
        "size_bytes": size_bytes,
        "about": dict(about),
    }
    write_bytes(folder / _NAME, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def note_path(folder: Path) -> Path:
    """Where the note of a folder is."""
    return folder / _NAME


def read_note(folder: Path) -> ExportNote:
    """Read the note.

    Raises:
        UserError: the folder has none, or a damaged one.
    """
    try:
        content: Any = orjson.loads(note_path(folder).read_bytes())
        return ExportNote(
            content["fingerprint"],
            content["options"],
            content["n_files"],
            content["size_bytes"],
            content["about"],
        )
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        raise UserError(f"{folder} is not an export of maskgrid; delete it and run again") from None


def n_files_in(folder: Path) -> int:
    """Number of files and links in a folder and below it, without the note."""
    return _measured(folder)[0]


def _measured(folder: Path) -> tuple[int, int]:
    """Number of files and links, and the files' bytes. A link's own size would depend on where the pictures are."""
    n_files = n_bytes = 0
    for entry in _entries(folder):
        n_files += 1
        n_bytes += 0 if entry.is_symlink() else entry.stat(follow_symlinks=False).st_size
    return n_files, n_bytes


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """All but folders, one by one: there may be millions."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)
            elif entry.name not in _ASIDE:
                yield entry
