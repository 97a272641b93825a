"""List the inputs of the dataset's source: a folder, a glob, a list file, a single image, tar archives."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskgrid.dataset.sources.list_files import LIST_READERS, read_list
from maskgrid.dataset.sources.spans import Span
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
    is_own_output,
    matches,
    rooted,
    spelled,
    valid_key,
)

_LISTED_SUFFIXES = IMAGE_SUFFIXES | {ARCHIVE_SUFFIX}
_KEY = "dataset.source"
_OWN = ("own_output", "lies in a results folder of maskgrid, whose pictures are no input")


@dataclass(frozen=True, slots=True)
class SourceItem:
    r"""One input of the dataset.

    Attributes:
        key: the image key: the path relative to the dataset's root, POSIX style. Always valid Unicode: a byte of a
            name that is not UTF-8 becomes ``\xff``. Starts with ``../`` for a list entry that leads out of the root;
            such an entry is reported and never opened.
        path: the file's absolute path.
        archive: for a member of a tar archive, the archive's key.
        span: for a member of a tar archive, its bytes in the file.
        problem: a problem already known: status and message.
        page: the page of the file, from 1, if its pages are images of their own; None: its first.
    """

    key: str
    path: Path
    archive: str | None = None
    span: Span | None = None
    problem: tuple[str, str] | None = None
    page: int | None = None


def list_inputs(source: str, base_dir: Path) -> list[SourceItem]:
    """List the inputs of a dataset, sorted by key; each key once.

    - A folder: all image files and tar archives below it, by suffix. Hidden files and folders are skipped; links are
      followed, and each folder is listed once. A subfolder that cannot be listed becomes an input itself, so that it
      is reported. Results of maskgrid are left out, and what storage systems make (thumbnails, recycle bins).
    - A glob (``photos/**/*.jpg``): as a folder, filtered. The root is the longest path without wildcards.
    - Numbers in braces (``images-{000..009}.tar``): each of these files, existing or not. The root is the folder before
      the braces.
    - A list, whose entries are taken as they are, with or without a known suffix, existing or not: ``.txt`` with
      one path per line, ``.csv`` or ``.parquet`` with a column ``path``, COCO ``.json`` with
      ``images[].file_name``. Relative entries start from the list's folder, which is the root. If a list has absolute
      entries, or all lead out of its folder by ``..``, the root is the common parent of the listed files. Entries that
      are a run's results become inputs with a problem.
    - One image file or tar archive. The root is its folder.

    Archives are listed, not opened: :func:`maskgrid.dataset.sources.archives.expand_archives` does that.

    Args:
        source: the path or pattern, as the user writes it.
        base_dir: the folder that a relative ``source`` starts from.

    Raises:
        UserError: there is no such source, no image in it, or the list cannot be read.
    """
    known: dict[str, bool] = {}
    is_list = Path(source).suffix.lower() in LIST_READERS
    return [
        SourceItem(key, Path(path), problem=_OWN if is_list and is_own_output(path, known) else None)
        for key, path in _listing(source, base_dir)
    ]


def listing_digest(source: str, base_dir: Path) -> str:
    """Hash the inputs' names, sizes and times, without reading the files.

    An index with another digest is stale.

    Returns:
        A hexadecimal sha256 of key, path, size in bytes and modification time in ns of each input.

    Raises:
        UserError: as :func:`list_inputs`.
    """
    digest = hashlib.sha256()
    for key, path in _listing(source, base_dir):
        size, mtime_ns = (None, None) if is_outside_root(key) else path_state(path)
        # NUL separates the fields, because no path contains it.
        digest.update(f"{key}\0{size}\0{mtime_ns}\0".encode())
        digest.update(os.fsencode(path) + b"\0")
    return digest.hexdigest()


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar archive, by its suffix."""
    return path.suffix.lower() == ARCHIVE_SUFFIX


def file_state(item: SourceItem) -> tuple[int | None, int | None]:
    """An input's size in bytes and its file's modification time in ns; None if the file system does not tell."""
    if is_outside_root(item.key) or item.problem is not None:
        return None, None
    size, mtime_ns = path_state(item.path)
    return size if item.span is None else item.span.length, mtime_ns


def files_below(root: Path, depth: int | None, suffixes: frozenset[str], key: str) -> Iterator[tuple[str, Path]]:
    """Walk a folder; yield key and path of each file with one of the suffixes and of each folder that cannot be listed.

    Args:
        root: the folder.
        depth: how many levels to descend; None for all.
        suffixes: in lower case, with the dot.
        key: the config's key that names the folder, for messages.

    Raises:
        UserError: the root cannot be listed.
    """
    return ((name, Path(path)) for name, path in in_folder(str(root), depth, suffixes, key))


def listed_files(path: Path, key: str) -> Iterator[tuple[str, Path]]:
    """Yield key and path of each entry in a list file; keys are relative to the root that all entries share.

    Raises:
        UserError: the list cannot be read; ``key`` is the config's key that names it.
    """
    entries, folder = read_list(path, key)
    return ((name, Path(entry)) for name, entry in rooted(entries, str(folder)))


def split_glob(base_dir: Path, parts: Sequence[str], key: str) -> tuple[Path, Sequence[str]]:
    """Split a glob into its root, the longest path without wildcards, and its other parts.

    Raises:
        UserError: there is no such folder; ``key`` is the config's key that names the glob.
    """
    first_magic = next(index for index, part in enumerate(parts) if has_magic(part))
    root, rest = base_dir.joinpath(*parts[:first_magic]), parts[first_magic:]
    if not root.is_dir():
        raise UserError(f"{key}: there is no folder {root} to search for {'/'.join(rest)}.")
    return root, rest


def path_state(path: str | Path) -> tuple[int | None, int | None]:
    """A file's size in bytes and modification time in ns; None if the file system does not tell."""
    try:
        state = os.stat(path)  # noqa: PTH116 - millions of names, as text (maskgrid.io.listings)
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
            f"{_KEY}: there is no file or folder {location}. Give a folder of images, a glob such as "
            f"'photos/**/*.jpg', tar archives such as 'images-{{000..009}}.tar', or a list ({', '.join(LIST_READERS)})."
        )
    paths = _by_key(found)
    if not paths:
        raise UserError(
            f"{_KEY}: no images in {location}. Images are recognized by their suffix "
            f"({' '.join(sorted(IMAGE_SUFFIXES))}), archives by {ARCHIVE_SUFFIX}; hidden files "
            "and a run's own results are skipped."
        )
    return sorted(paths.items())


def _by_key(found: Iterable[Listed]) -> dict[str, str]:
    r"""The files by key; a name with bytes that are not UTF-8 may be escaped to what another file is called.

    Such a file's key then has ``\udcff`` for the byte ``\xff``.

    Raises:
        UserError: another file has that key too.
    """
    paths: dict[str, str] = {}
    for key, path in found:
        other = paths.setdefault(key, path)
        if other == path:
            continue
        plain, escaped = (other, path) if other.isascii() or valid_key(other) == other else (path, other)
        part = "/".join(escaped.split("/")[-key.count("/") - 1 :])
        renamed = part.encode("utf-8", errors="backslashreplace").decode()
        if renamed in paths:
            raise UserError(f"{_KEY}: {other!r} and {path!r} cannot be told apart; rename one of them")
        paths[key], paths[renamed] = plain, escaped
    return paths


def _in_file(path: Path) -> Iterator[Listed]:
    suffix = path.suffix.lower()
    if suffix in LIST_READERS:
        entries, folder = read_list(path, _KEY)
        return ((key, spelled(entry)) for key, entry in rooted(entries, str(folder)))
    if suffix in _LISTED_SUFFIXES:
        return rooted([path.name], str(path.parent))
    compressed = ".tar." in path.name
    advice = " Compressed archives cannot be read from the middle: decompress it to .tar." if compressed else ""
    raise UserError(
        f"{_KEY}: {path} is neither an image nor a tar archive nor a list. Lists end in "
        f"{', '.join(LIST_READERS)}.{advice}"
    )


def _in_glob(base_dir: Path, parts: Sequence[str]) -> Iterator[Listed]:
    root, rest = split_glob(base_dir, parts, _KEY)
    depth = None if "**" in rest else len(rest)
    start = len(str(root).rstrip("/")) + 1
    for key, path in in_folder(str(root), depth, _LISTED_SUFFIXES, _KEY):
        if matches(path[start:].split("/"), rest):
            yield key, path
