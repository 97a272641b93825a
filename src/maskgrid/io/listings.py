"""Listings of files: keys and absolute paths, as text.

There may be millions, and the workflow lists them each time it plans: making each a Path would take most of that time.
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath

from maskgrid.io.errors import UserError

# A file's key and absolute path.
Listed = tuple[str, str]

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"}
    | {".wmv", ".flv", ".ogv", ".3gp", ".mxf", ".y4m"}
)

_WEB_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif"}
_PLAIN_SUFFIXES = {".tif", ".tiff", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
# Unreadable here, but the user would miss these images, so they get a row that says so.
_UNREAD_SUFFIXES = {".heic", ".heif", ".jp2", ".j2k", ".jxl"}
IMAGE_SUFFIXES = frozenset(_WEB_SUFFIXES | _PLAIN_SUFFIXES | _UNREAD_SUFFIXES)
ARCHIVE_SUFFIX = ".tar"

# Folders of copies and remains that systems and network drives make; hidden ones are skipped anyway.
_SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot", "__MACOSX"}
    | {"$RECYCLE.BIN", "RECYCLER", "System Volume Information", "lost+found"}
)
_RUN_FOLDERS = ("logs", "benchmarks", ".snakemake")


def is_outside_root(key: str) -> bool:
    """Return whether a key leads out of the dataset's root."""
    return key == ".." or key.startswith("../")


def image_key(name: str) -> str:
    """The image key of a path relative to the dataset's root: POSIX, valid Unicode; ``./a.jpg`` becomes ``a.jpg``."""
    return valid_key(PurePath(name).as_posix())


def named_key(name: str) -> str:
    """The key of an image named in a user's file: as :func:`image_key`, but ``x/../a.jpg`` also becomes ``a.jpg``."""
    return valid_key(os.path.normpath(name))


def own_folders(results: str | os.PathLike[str]) -> frozenset[str]:
    """The real paths of a run's own folders: its results, and what Snakemake writes beside them."""
    root = os.path.realpath(results)
    return frozenset({root, *(os.path.join(os.path.dirname(root), name) for name in _RUN_FOLDERS)})


def is_own_output(path: str | os.PathLike[str], own: Collection[str]) -> bool:
    """Return whether a path is one of a run's own folders or lies in one (:func:`own_folders`)."""
    real = os.path.realpath(path)
    return any(real == folder or real.startswith(folder + os.sep) for folder in own)


def has_magic(text: str) -> bool:
    """Return whether a path is a glob."""
    return any(character in text for character in "*?[")


def has_braces(text: str) -> bool:
    """Return whether a path has numbers in braces, ``{000..009}``."""
    return _BRACES.search(text) is not None


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path matches a glob, both split at slashes; ``**`` matches any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and matches(parts[1:], pattern[1:])


def in_folder(
    root: str, depth: int | None, suffixes: frozenset[str], config_key: str, own: Collection[str] = ()
) -> Iterator[Listed]:
    """Walk a folder; yield each file with one of the suffixes, and each folder that cannot be listed.

    Args:
        root: the absolute path of the folder.
        depth: number of levels to descend; None for all.
        suffixes: in lower case, with the dot.
        config_key: the config's key that names the folder, for messages.
        own: the run's own folders, which are left out unless the root lies in them.

    Raises:
        UserError: the root cannot be listed.
    """
    own = [folder for folder in own if not is_own_output(root, [folder])]
    # Follow links after all real folders: then loops end, and a link to an image's folder does not change its key.
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
                raise UserError(f"{config_key}: {root} cannot be listed: {error.strerror}.") from error
            yield valid_key(folder[start:]), folder
            continue
        deeper = depth is None or folder[start:].count("/") + 1 + (folder != root) < depth
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _leads_to_folder(entry):
                if deeper and entry.name not in _SYSTEM_FOLDERS and not is_own_output(entry.path, own):
                    (links if entry.is_symlink() else folders).append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in suffixes and (entry.is_symlink() or entry.is_file()):
                yield valid_key(entry.path[start:]), entry.path


def rooted(entries: Sequence[str], folder: str) -> Iterator[Listed]:
    """Yield the entries of a list, each with its key relative to the root that they share.

    Args:
        entries: as written.
        folder: the absolute folder that relative entries start from.
    """
    # Lexical: links in the root are the user's intention, but a ``..`` in a list may not be.
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
        yield valid_key(path[start:]), path
    for short in outside:
        yield valid_key(short), os.path.join(folder, short)


def in_braces(pattern: str) -> Iterator[Listed]:
    """Yield the files that numbers in braces stand for, existing or not; the root is the folder before the braces."""
    folder = os.path.dirname(pattern[: pattern.index("{")])
    return rooted(list(_expanded(pattern[len(folder) :].lstrip("/"))), folder)


def _expanded(pattern: str) -> Iterator[str]:
    """Expand ``a-{08..10}`` to a-08, a-09, a-10, as a shell does."""
    braces = _BRACES.search(pattern)
    if braces is None:
        yield pattern
        return
    first, last = braces.groups()
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{pattern[: braces.start()]}{number:0{len(first)}d}{pattern[braces.end() :]}")


def _is_new(folder: str, seen: set[tuple[int, int]]) -> bool:
    state = os.stat(folder)
    identity = state.st_dev, state.st_ino
    new = identity not in seen
    seen.add(identity)
    return new


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for instance: not a folder; as an image it becomes a bad row
        return False


def valid_key(name: str) -> str:
    """A file name as part of an image key: valid Unicode, other bytes escaped."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", errors="backslashreplace")
