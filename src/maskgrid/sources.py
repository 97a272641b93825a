"""The dataset's source, as a list of inputs: a folder, a glob, a list file or a single image."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from maskgrid.errors import UserError
from maskgrid.lists import LIST_READERS, read_list

_WEB_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif"}
_PLAIN_SUFFIXES = {".tif", ".tiff", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
# These cannot be read, but they are pictures that the user will miss, so they get a row that says so.
_UNREAD_SUFFIXES = {".heic", ".heif", ".jp2", ".j2k", ".jxl"}
IMAGE_SUFFIXES = frozenset(_WEB_SUFFIXES | _PLAIN_SUFFIXES | _UNREAD_SUFFIXES)


@dataclass(frozen=True, slots=True)
class SourceItem:
    r"""One input of the dataset.

    Attributes:
        key: the image key: the path relative to the dataset's root, POSIX style; valid Unicode whatever the
            file system holds (a byte of a name that is not UTF-8 reads ``\xff``). It begins with ``../`` for
            a list's entry that climbs out of the root: such an entry is reported and never opened.
        path: where the file lies; absolute.
    """

    key: str
    path: Path


def list_inputs(source: str, base_dir: Path) -> list[SourceItem]:
    """List the inputs of a dataset, sorted by key; each key once.

    - A folder: all image files below it, by suffix. Hidden files and folders are left out; links are
      followed, and each folder is listed once. A folder below that may not be listed is an input of its own,
      so that it is missed.
    - A glob (``photos/**/*.jpg``): as a folder, filtered. The root is the longest path without magic.
    - A list, whose entries are taken as they are, with or without a known suffix, there or not: ``.txt`` with
      a path a line, ``.csv`` or ``.parquet`` with a column ``path``, COCO ``.json`` with
      ``images[].file_name``. Relative entries are relative to the list's folder, which is the root. A list
      with absolute entries has as its root the common parent of the listed files.
    - One image file. The root is its folder.

    Args:
        source: the path, or pattern, as the user writes it.
        base_dir: what a relative ``source`` is relative to.

    Raises:
        UserError: where there is no such source, no image in it, or a list that cannot be read.
    """
    location = base_dir.absolute() / Path(source).expanduser()
    if location.is_dir():
        found = files_below(location)
    elif location.is_file():
        found = _in_file(location)
    elif has_magic(source):
        found = _in_glob(base_dir.absolute(), Path(source).expanduser().parts)
    else:
        raise UserError(
            f"dataset.source: there is no file or folder {location}. Give a folder of images, a glob such as "
            f"'photos/**/*.jpg', or a list ({', '.join(LIST_READERS)})."
        )
    items = {key: SourceItem(key, path) for key, path in found}
    if not items:
        raise UserError(
            f"dataset.source: no images in {location}. Images are known by their suffix "
            f"({' '.join(sorted(IMAGE_SUFFIXES))}); hidden files are left out."
        )
    return [items[key] for key in sorted(items)]


def listing_digest(source: str, base_dir: Path) -> str:
    """Hash what the file system says of the inputs, without reading them.

    An index that was made at another digest is stale.

    Returns:
        A hexadecimal sha256 over key, path, size in bytes and modification time in ns of each input.

    Raises:
        UserError: as :func:`list_inputs`.
    """
    digest = hashlib.sha256()
    for item in list_inputs(source, base_dir):
        size, mtime_ns = file_state(item)
        # Fields are separated by NUL, which no path holds.
        digest.update(f"{item.key}\0{size}\0{mtime_ns}\0".encode())
        digest.update(os.fsencode(item.path) + b"\0")
    return digest.hexdigest()


def is_outside_root(key: str) -> bool:
    """Tell whether a key is that of an entry that climbs out of the dataset's root."""
    return key == ".." or key.startswith("../")


def file_state(item: SourceItem) -> tuple[int | None, int | None]:
    """Give an input's size in bytes and modification time in ns; ``None`` where the file cannot be asked."""
    if is_outside_root(item.key):
        return None, None
    try:
        state = item.path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None, None
    return state.st_size, state.st_mtime_ns


def _in_file(path: Path) -> Iterator[tuple[str, Path]]:
    suffix = path.suffix.lower()
    if suffix in LIST_READERS:
        return listed_files(path)
    if suffix in IMAGE_SUFFIXES:
        return iter([(image_key(path.name), path)])
    raise UserError(f"dataset.source: {path} is neither an image nor a list. Lists end in {', '.join(LIST_READERS)}.")


def listed_files(path: Path, key: str = "dataset.source") -> Iterator[tuple[str, Path]]:
    """The entries of a list file: each one's key, relative to the root that all of them share, and path.

    Raises:
        UserError: the list cannot be read; ``key`` is the config's key that names it.
    """
    entries, folder = read_list(path, key)
    # Lexically: a link in the root that leads out is the user's own doing, a ``..`` in a list need not be.
    relative = [None if Path(entry).is_absolute() else os.path.normpath(entry) for entry in entries]
    inside = [
        Path(os.path.normpath(folder / entry))
        for entry, short in zip(entries, relative, strict=True)
        if short is None or not is_outside_root(short)
    ]
    root = folder
    if None in relative:
        root = Path(os.path.commonpath([path.parent for path in inside]))
    for path in inside:
        yield image_key(path.relative_to(root).as_posix()), path
    for short in relative:
        if short is not None and is_outside_root(short):
            yield image_key(short), folder / short


def _in_glob(base_dir: Path, parts: Sequence[str]) -> Iterator[tuple[str, Path]]:
    root, rest = split_glob(base_dir, parts)
    depth = None if "**" in rest else len(rest)
    for key, path in files_below(root, depth):
        if matches(path.relative_to(root).parts, rest):
            yield key, path


def split_glob(base_dir: Path, parts: Sequence[str], key: str = "dataset.source") -> tuple[Path, Sequence[str]]:
    """The root of a glob, which is the longest path without magic, and the rest of its parts.

    Raises:
        UserError: there is no such folder; ``key`` is the config's key that names the glob.
    """
    first_magic = next(index for index, part in enumerate(parts) if has_magic(part))
    root, rest = base_dir.joinpath(*parts[:first_magic]), parts[first_magic:]
    if not root.is_dir():
        raise UserError(f"{key}: there is no folder {root}, in which {'/'.join(rest)} would be looked for.")
    return root, rest


def has_magic(text: str) -> bool:
    """Tell whether a path is a pattern."""
    return any(character in text for character in "*?[")


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether the parts of a path are those of a glob, whose ``**`` stands for any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and matches(parts[1:], pattern[1:])


def files_below(
    root: Path,
    depth: int | None = None,
    suffixes: frozenset[str] = IMAGE_SUFFIXES,
    config_key: str = "dataset.source",
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
    # Links wait until every real folder is known: so a loop ends, and a picture keeps its key when somebody
    # adds a link to its folder.
    folders, links, seen = [root], list[Path](), set[tuple[int, int]]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            if not _is_new(folder, seen):
                continue
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise UserError(f"{config_key}: {root} cannot be listed: {error.strerror}.") from error
            yield image_key(folder.relative_to(root).as_posix()), folder
            continue
        deeper = depth is None or len(folder.relative_to(root).parts) + 1 < depth
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if _leads_to_folder(entry):
                if deeper:
                    (links if entry.is_symlink() else folders).append(path)
            elif path.suffix.lower() in suffixes and (entry.is_symlink() or entry.is_file()):
                yield image_key(path.relative_to(root).as_posix()), path


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    state = folder.stat()
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
    return os.fsencode(PurePath(name).as_posix()).decode("utf-8", errors="backslashreplace")
