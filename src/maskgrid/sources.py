"""The dataset's source, as a list of inputs: a folder, a glob, a list file, a single image, tar archives."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from maskgrid.errors import UserError
from maskgrid.lists import LIST_READERS, read_list
from maskgrid.spans import Span

_WEB_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif"}
_PLAIN_SUFFIXES = {".tif", ".tiff", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
# These cannot be read, but they are pictures that the user will miss, so they get a row that says so.
_UNREAD_SUFFIXES = {".heic", ".heif", ".jp2", ".j2k", ".jxl"}
IMAGE_SUFFIXES = frozenset(_WEB_SUFFIXES | _PLAIN_SUFFIXES | _UNREAD_SUFFIXES)
ARCHIVE_SUFFIX = ".tar"
_LISTED_SUFFIXES = IMAGE_SUFFIXES | {ARCHIVE_SUFFIX}
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


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

    Archives are listed as they are, not opened: :func:`maskgrid.archives.expand_archives` goes on from there.

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
        size, mtime_ns = (None, None) if is_outside_root(key) else _state(path)
        # Fields are separated by NUL, which no path holds.
        digest.update(f"{key}\0{size}\0{mtime_ns}\0".encode())
        digest.update(os.fsencode(path) + b"\0")
    return digest.hexdigest()


def is_outside_root(key: str) -> bool:
    """Tell whether a key is that of an entry that climbs out of the dataset's root."""
    return key == ".." or key.startswith("../")


def is_archive(path: Path) -> bool:
    """Tell whether a file's name is that of a tar archive."""
    return path.suffix.lower() == ARCHIVE_SUFFIX


def file_state(item: SourceItem) -> tuple[int | None, int | None]:
    """Give an input's size in bytes and modification time in ns; ``None`` where the file cannot be asked."""
    if is_outside_root(item.key):
        return None, None
    size, mtime_ns = _state(item.path)
    return size if item.span is None else item.span.length, mtime_ns


def _state(path: str | Path) -> tuple[int | None, int | None]:
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None, None
    return state.st_size, state.st_mtime_ns


# From here on paths are text: there may be millions of them, each plan of the workflow lists them all, and making a
# Path of each would take most of its time.


def _listing(source: str, base_dir: Path) -> list[tuple[str, str]]:
    """Keys and absolute paths of all inputs, sorted by key, each key once."""
    location = base_dir.absolute() / Path(source).expanduser()
    if location.is_dir():
        found = _in_folder(str(location), depth=None)
    elif location.is_file():
        found = _in_file(location)
    elif _BRACES.search(source):
        found = _in_braces(str(location))
    elif _has_magic(source):
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


def _in_file(path: Path) -> Iterator[tuple[str, str]]:
    suffix = path.suffix.lower()
    if suffix in LIST_READERS:
        entries, folder = read_list(path)
        return _rooted(entries, str(folder))
    if suffix in _LISTED_SUFFIXES:
        return iter([(image_key(path.name), str(path))])
    compressed = (
        " A compressed archive cannot be read from the middle: unpack it to .tar." if ".tar." in path.name else ""
    )
    raise UserError(
        f"dataset.source: {path} is neither an image nor a tar archive nor a list. Lists end in "
        f"{', '.join(LIST_READERS)}.{compressed}"
    )


def _rooted(entries: Sequence[str], folder: str) -> Iterator[tuple[str, str]]:
    """Give each entry of a list its key, relative to the root that all of them share."""
    # Lexically: a link in the root that leads out is the user's own doing, a ``..`` in a list need not be.
    root = os.path.normpath(folder)
    inside, outside, has_absolute = list[str](), list[str](), False
    for entry in entries:
        short = os.path.normpath(entry)
        if os.path.isabs(short):
            has_absolute = True
            inside.append(short)
        elif is_outside_root(short):
            outside.append(short)
        else:
            inside.append(os.path.join(root, short))
    if has_absolute:
        root = os.path.commonpath({os.path.dirname(path) for path in inside})
    start = len(root.rstrip("/")) + 1
    for path in inside:
        yield _valid(path[start:]), path
    for short in outside:
        yield _valid(short), os.path.join(folder, short)


def _in_braces(pattern: str) -> Iterator[tuple[str, str]]:
    folder = os.path.dirname(pattern[: pattern.index("{")])
    return _rooted(list(_expanded(pattern[len(folder) :].lstrip("/"))), folder)


def _expanded(pattern: str) -> Iterator[str]:
    """``a-{08..10}`` as a-08, a-09, a-10, as the shell does it."""
    braces = _BRACES.search(pattern)
    if braces is None:
        yield pattern
        return
    first, last = braces.groups()
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{pattern[: braces.start()]}{number:0{len(first)}d}{pattern[braces.end() :]}")


def _in_glob(base_dir: Path, parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    first_magic = next(index for index, part in enumerate(parts) if _has_magic(part))
    root, rest = base_dir.joinpath(*parts[:first_magic]), parts[first_magic:]
    if not root.is_dir():
        raise UserError(f"dataset.source: there is no folder {root}, in which {'/'.join(rest)} would be looked for.")
    depth = None if "**" in rest else len(rest)
    start = len(str(root).rstrip("/")) + 1
    for key, path in _in_folder(str(root), depth):
        if _matches(path[start:].split("/"), rest):
            yield key, path


def _has_magic(text: str) -> bool:
    return any(character in text for character in "*?[")


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _in_folder(root: str, depth: int | None) -> Iterator[tuple[str, str]]:
    """Walk a folder, down to ``depth`` levels of names where a depth is given."""
    # Links wait until every real folder is known: so a loop ends, and a picture keeps its key when somebody
    # adds a link to its folder.
    folders, links, seen = [root], list[str](), set[tuple[int, int]]()
    start = len(root.rstrip("/")) + 1
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            if not _is_new(folder, seen):
                continue
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise UserError(f"dataset.source: {root} cannot be listed: {error.strerror}.") from error
            yield _valid(folder[start:]), folder
            continue
        deeper = depth is None or folder[start:].count("/") + 1 + (folder != root) < depth
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _leads_to_folder(entry):
                if deeper:
                    (links if entry.is_symlink() else folders).append(entry.path)
            elif _suffix(entry.name) in _LISTED_SUFFIXES and (entry.is_symlink() or entry.is_file()):
                yield _valid(entry.path[start:]), entry.path


def _is_new(folder: str, seen: set[tuple[int, int]]) -> bool:
    state = os.stat(folder)
    identity = state.st_dev, state.st_ino
    new = identity not in seen
    seen.add(identity)
    return new


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: no folder, and as an image it will be a bad row
        return False


def image_key(name: str) -> str:
    """The image key of a path relative to the dataset's root: POSIX style, valid Unicode, ``./a.jpg`` as ``a.jpg``."""
    return _valid(PurePath(name).as_posix())


def _valid(name: str) -> str:
    return name if name.isascii() else os.fsencode(name).decode("utf-8", errors="backslashreplace")


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
