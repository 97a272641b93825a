"""The dataset's source, as a list of inputs: a folder, a glob, a list file, a single image, tar archives."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskgrid.dataset.list_files import LIST_READERS, read_list
from maskgrid.dataset.spans import Span
from maskgrid.io.errors import UserError
from maskgrid.io.listings import (
    ARCHIVE_SUFFIX,
    IMAGE_SUFFIXES,
    Listed,
    has_braces,
    has_magic,
    in_braces,
    in_folder,
    is_outside_root,
    matches,
    rooted,
)

_LISTED_SUFFIXES = IMAGE_SUFFIXES | {ARCHIVE_SUFFIX}
_KEY = "dataset.source"


@dataclass(frozen=True, slots=True)
class SourceItem:
    r"""One input of the dataset.

    Attributes:
        key: the image key: the path relative to the dataset's root, POSIX style; valid Unicode whatever the
            file system holds (a byte of a name that is not UTF-8 reads ``\xff``). It begins with ``../`` for
            a list's entry that climbs out of the root: such an entry is reported and never opened.
        path: where the file lies; absolute.
        archive: for a member of a tar archive, the archive's key.
        span: for a member of a tar archive, the part of the file that it is.
        problem: what is known beforehand to be wrong with it: a status and a message.
    """

    key: str
    path: Path
    archive: str | None = None
    span: Span | None = None
    problem: tuple[str, str] | None = None


def list_inputs(source: str, base_dir: Path) -> list[SourceItem]:
    """List the inputs of a dataset, sorted by key; each key once.

    - A folder: all image files and tar archives below it, by suffix. Hidden files and folders are left out; links are
      followed, and each folder is listed once. A folder below that may not be listed is an input of its own,
      so that it is missed.
    - A glob (``photos/**/*.jpg``): as a folder, filtered. The root is the longest path without magic.
    - Numbers in braces (``images-{000..009}.tar``): each of these files, there or not. The root is the folder before
      the braces.
    - A list, whose entries are taken as they are, with or without a known suffix, there or not: ``.txt`` with
      a path a line, ``.csv`` or ``.parquet`` with a column ``path``, COCO ``.json`` with
      ``images[].file_name``. Relative entries are relative to the list's folder, which is the root. A list
      with absolute entries has as its root the common parent of the listed files.
    - One image file or tar archive. The root is its folder.

    Archives are listed as they are, not opened: :func:`maskgrid.dataset.archives.expand_archives` goes on from there.

    Args:
        source: the path, or pattern, as the user writes it.
        base_dir: what a relative ``source`` is relative to.

    Raises:
        UserError: where there is no such source, no image in it, or a list that cannot be read.
    """
    return [SourceItem(key, Path(path)) for key, path in _listing(source, base_dir)]


def listing_digest(source: str, base_dir: Path) -> str:
    """Hash what the file system says of the inputs, without reading them.

    An index that was made at another digest is stale.

    Returns:
        A hexadecimal sha256 over key, path, size in bytes and modification time in ns of each input.

    Raises:
        UserError: as :func:`list_inputs`.
    """
    digest = hashlib.sha256()
    for key, path in _listing(source, base_dir):
        size, mtime_ns = (None, None) if is_outside_root(key) else path_state(path)
        # Fields are separated by NUL, which no path holds.
        digest.update(f"{key}\0{size}\0{mtime_ns}\0".encode())
        digest.update(os.fsencode(path) + b"\0")
    return digest.hexdigest()


def is_archive(path: Path) -> bool:
    """Return whether a file's name is that of a tar archive."""
    return path.suffix.lower() == ARCHIVE_SUFFIX


def file_state(item: SourceItem) -> tuple[int | None, int | None]:
    """Give an input's size in bytes and modification time in ns; ``None`` where the file cannot be asked."""
    if is_outside_root(item.key):
        return None, None
    size, mtime_ns = path_state(item.path)
    return size if item.span is None else item.span.length, mtime_ns


def files_below(
    root: Path, depth: int | None = None, suffixes: frozenset[str] = IMAGE_SUFFIXES, config_key: str = _KEY
) -> Iterator[tuple[str, Path]]:
    """Walk a folder: key and path of each file with one of the suffixes, and of each folder that may not be listed.

    Args:
        root: the folder.
        depth: how many levels of names to go down; None for all.
        suffixes: in lower case, with their dot.
        config_key: the config's key that names the folder, for messages.

    Raises:
        UserError: the root may not be listed.
    """
    return ((key, Path(path)) for key, path in in_folder(str(root), depth, suffixes, config_key))


def listed_files(path: Path, key: str = _KEY) -> Iterator[tuple[str, Path]]:
    """The entries of a list file: each one's key, relative to the root that all of them share, and path.

    Raises:
        UserError: the list cannot be read; ``key`` is the config's key that names it.
    """
    entries, folder = read_list(path, key)
    return ((name, Path(entry)) for name, entry in rooted(entries, str(folder)))


def split_glob(base_dir: Path, parts: Sequence[str], key: str = _KEY) -> tuple[Path, Sequence[str]]:
    """The root of a glob, which is the longest path without magic, and the rest of its parts.

    Raises:
        UserError: there is no such folder; ``key`` is the config's key that names the glob.
    """
    first_magic = next(index for index, part in enumerate(parts) if has_magic(part))
    root, rest = base_dir.joinpath(*parts[:first_magic]), parts[first_magic:]
    if not root.is_dir():
        raise UserError(f"{key}: there is no folder {root}, in which {'/'.join(rest)} would be looked for.")
    return root, rest


def path_state(path: str | Path) -> tuple[int | None, int | None]:
    """A file's size in bytes and modification time in ns; ``None`` where it cannot be asked."""
    try:
        state = os.stat(path)  # noqa: PTH116 - of millions of names, as text (maskgrid.io.listings)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None, None
    return state.st_size, state.st_mtime_ns


def _listing(source: str, base_dir: Path) -> list[Listed]:
    """Keys and absolute paths of all inputs, sorted by key, each key once."""
    location = base_dir.absolute() / Path(source).expanduser()
    if location.is_dir():
        found = in_folder(str(location), None, _LISTED_SUFFIXES, _KEY)
    elif location.is_file():
        found = _in_file(location)
    elif has_braces(source):
        found = in_braces(str(location))
    elif has_magic(source):
        found = _in_glob(base_dir.absolute(), Path(source).expanduser().parts)
    else:
        raise UserError(
            f"dataset.source: there is no file or folder {location}. Give a folder of images, a glob such as "
            f"'photos/**/*.jpg', tar archives such as 'images-{{000..009}}.tar', or a list ({', '.join(LIST_READERS)})."
        )
    paths = dict(found)
    if not paths:
        raise UserError(
            f"dataset.source: no images in {location}. Images are known by their suffix "
            f"({' '.join(sorted(IMAGE_SUFFIXES))}), archives by {ARCHIVE_SUFFIX}; hidden files are left out."
        )
    return sorted(paths.items())


def _in_file(path: Path) -> Iterator[Listed]:
    suffix = path.suffix.lower()
    if suffix in LIST_READERS:
        entries, folder = read_list(path)
        return rooted(entries, str(folder))
    if suffix in _LISTED_SUFFIXES:
        return rooted([path.name], str(path.parent))
    compressed = ".tar." in path.name
    advice = " A compressed archive cannot be read from the middle: unpack it to .tar." if compressed else ""
    raise UserError(
        f"dataset.source: {path} is neither an image nor a tar archive nor a list. Lists end in "
        f"{', '.join(LIST_READERS)}.{advice}"
    )


def _in_glob(base_dir: Path, parts: Sequence[str]) -> Iterator[Listed]:
    root, rest = split_glob(base_dir, parts)
    depth = None if "**" in rest else len(rest)
    start = len(str(root).rstrip("/")) + 1
    for key, path in in_folder(str(root), depth, _LISTED_SUFFIXES, _KEY):
        if matches(path[start:].split("/"), rest):
            yield key, path
