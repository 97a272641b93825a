"""Read the paths in list files: text, CSV, Parquet or COCO."""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from maskgrid.io.errors import UserError
from maskgrid.io.tables import own_tables
from maskgrid.masks.coco_reading import listed_objects, read_json

_COLUMN = "path"
_COCO_SAMPLE = 1000


def read_list(path: Path, key: str) -> tuple[list[str], Path]:
    """Read a list file.

    Args:
        path: the list.
        key: the config's key that names the list, for messages.

    Returns:
        The entries as written, and the folder that relative entries start from.

    Raises:
        UserError: the file cannot be read in the format of its suffix.
    """
    try:
        entries = LIST_READERS[path.suffix.lower()](path, key)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read: {error.strerror}.") from error
    return entries, _folder_of(path, entries) if path.suffix.lower() == ".json" else path.parent


def _folder_of(path: Path, entries: list[str]) -> Path:
    """The folder with a COCO file's images: its own, ``images`` in it, or as COCO itself lays them out.

    COCO has ``annotations/instances_val2017.json`` beside ``val2017/``; others have ``images/`` there, with or without
    the subset's folder in it.
    """
    folder, above, subset = path.parent, path.parent.parent, path.stem.rpartition("_")[2]
    for candidates in (
        [folder, folder / "images"],
        [above / subset, above / "images" / subset, above / "images", folder / subset, above],
    ):
        best = max(candidates, key=lambda root: _count_existing(root, entries))
        if _count_existing(best, entries):
            return best
    return folder


def _read_text(path: Path, key: str) -> list[str]:  # noqa: ARG001 - called as the other readers are
    # Keep names that are not UTF-8 as the file system has them. Split at "\n" only: str.splitlines splits at eight more
    # characters, which a file name may contain.
    text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return [line for line in lines if line.strip()]


def _read_csv(path: Path, key: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            _require_column(path, reader.fieldnames or [], key)
            entries = [row[_COLUMN] for row in reader]
    except csv.Error as error:
        raise UserError(f"{key}: {path} is not valid CSV: {error}.") from error
    return _require_entries(path, entries, key)


def _read_parquet(path: Path, key: str) -> list[str]:
    with own_tables(path, key):
        _require_column(path, pq.read_schema(path).names, key)
        entries = pq.read_table(path, columns=[_COLUMN]).column(_COLUMN).to_pylist()
    return _require_entries(path, entries, key)


def _read_coco(path: Path, key: str) -> list[str]:
    images = listed_objects(path, read_json(path, key), "images", key)
    return _require_entries(path, [image.get("file_name") for image in images], key, "file_name")


def _count_existing(root: Path, entries: list[str]) -> int:
    # Ties go to the first candidate, the file's own folder. Only a sample, because network disks are slow.
    # os.path.exists, since names that no file system takes are not there either.
    return sum(os.path.exists(root / entry) for entry in entries[:_COCO_SAMPLE])  # noqa: PTH110


def _require_column(path: Path, names: Sequence[str], key: str) -> None:
    if _COLUMN not in names:
        raise UserError(
            f"{key}: {path} has no column '{_COLUMN}'; its columns are {', '.join(names)}. "
            f"Rename the one with the paths to '{_COLUMN}'."
        )


def _require_entries(path: Path, entries: list[Any], key: str, name: str = _COLUMN) -> list[str]:
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, str) or not entry:
            raise UserError(f"{key}: {path}: '{name}' of entry {number} is {entry!r}, not a path.")
    return entries


LIST_READERS: Mapping[str, Callable[[Path, str], list[str]]] = {
    ".txt": _read_text,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".json": _read_coco,
}
