"""What a folder of an export was made from: a hidden file in it, which other tools do not take for data."""

from collections.abc import Mapping
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
        n_files: files in the folder, without the note.
        about: what became of the masks, such as the IoU of polygons with them.
    """

    masks: str
    options: Mapping[str, Any]
    n_files: int
    about: Mapping[str, Any]


def write_note(folder: Path, masks: str, options: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write the note of a folder; last, since it counts the files."""
    content = {
        "maskgrid_version": maskgrid_version(),
        "fingerprint": masks,
        "options": dict(options),
        "n_files": n_files_in(folder),
        "about": dict(about),
    }
    write_bytes(folder / _NAME, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_note(folder: Path) -> ExportNote:
    """Read the note.

    Raises:
        UserError: the folder has none, or a damaged one.
    """
    try:
        content: Any = orjson.loads((folder / _NAME).read_bytes())
        return ExportNote(content["fingerprint"], content["options"], content["n_files"], content["about"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        raise UserError(f"{folder} is not an export of maskgrid; delete it and run again") from None


def n_files_in(folder: Path) -> int:
    """Number of files and links in a folder and below it, without the note."""
    return len(_files_in(folder))


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files of a folder; a link counts as itself."""
    return sum(one.lstat().st_size for one in (_files_in(path) if path.is_dir() else [path]))


def _files_in(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.name not in _ASIDE)
    return [path for path in paths if path.is_symlink() or path.is_file()]
