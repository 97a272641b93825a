"""List the videos of tracking's source: files, and folders of frames."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from maskgrid.dataset.sources.list_files import LIST_READERS
from maskgrid.dataset.sources.listing import SourceItem, file_state, files_below, listed_files, split_glob
from maskgrid.io.errors import UserError
from maskgrid.io.listings import IMAGE_SUFFIXES, VIDEO_SUFFIXES, has_magic, image_key, is_own_output, matches

KEY = "tracking.source"

_LISTS = tuple(suffix for suffix in LIST_READERS if suffix != ".json")


def list_videos(source: str, base_dir: Path) -> list[SourceItem]:
    """List the videos of a source, sorted by key; each key once.

    - A folder: the video files below it, by suffix, and every folder below it with images but no video files: its
      images are the frames of one video. The source itself may be a folder of frames.
    - A glob (``clips/*.mp4``, ``JPEGImages/*``): as a folder, filtered by the names of files and of folders of frames.
    - A list (``.txt``, or ``.csv`` and ``.parquet`` with a column ``path``), whose entries are taken as they are.
    - One video file.

    What a run has written is no video (:func:`maskgrid.io.listings.is_own_output`).

    Args:
        source: the path or pattern, as the user writes it.
        base_dir: the folder that a relative ``source`` starts from.

    Returns:
        The videos; a key is a path relative to the source's root, POSIX style.

    Raises:
        UserError: there is no such source, no video in it, or the list cannot be read.
    """
    location = base_dir.absolute() / Path(source).expanduser()
    if location.is_dir():
        found = _in_folder(location)
    elif location.is_file():
        found = _in_file(location)
    elif has_magic(source):
        root, rest = split_glob(base_dir.absolute(), Path(source).expanduser().parts, KEY)
        found = ((key, path) for key, path in _in_folder(root) if matches(path.relative_to(root).parts, rest))
    else:
        raise UserError(
            f"{KEY}: there is no file or folder {location}. Give a folder of videos or of frames, a glob such as "
            f"'clips/*.mp4', a list ({', '.join(_LISTS)}) or one video file."
        )
    items = {key: SourceItem(key, path) for key, path in found}
    if not items:
        raise UserError(
            f"{KEY}: no videos in {location}. Video files are recognized by their suffix "
            f"({' '.join(sorted(VIDEO_SUFFIXES))}), folders of frames by the images in them; hidden files are skipped."
        )
    return [items[key] for key in sorted(items)]


def videos_digest(items: Iterable[SourceItem]) -> str:
    """Hash the videos' names, sizes and times, without reading the files: hexadecimal sha256."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item.key}\0{video_state(item)}\0".encode() + os.fsencode(item.path) + b"\0")
    return digest.hexdigest()


def video_state(item: SourceItem) -> str:
    """Hash size and time of a video's file, or of the images in its folder."""
    digest = hashlib.sha256()
    parts = [item]
    if item.path.is_dir():
        parts = [SourceItem(key, path) for key, path in frame_files(item.path)]
    for part in parts:
        digest.update(repr((part.key if part is not item else "", *file_state(part))).encode())
    return digest.hexdigest()


def frame_files(folder: Path) -> list[tuple[str, Path]]:
    """The images of a folder of frames, and their keys, sorted by key.

    Raises:
        UserError: the folder may not be listed.
    """
    return sorted(files_below(folder, 1, IMAGE_SUFFIXES, KEY))


def _in_file(path: Path) -> Iterator[tuple[str, Path]]:
    if path.suffix.lower() in _LISTS:
        known: dict[str, bool] = {}
        return ((key, entry) for key, entry in listed_files(path, KEY) if not is_own_output(str(entry), known))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return iter([(image_key(path.name), path)])
    raise UserError(
        f"{KEY}: {path} is neither a video file ({' '.join(sorted(VIDEO_SUFFIXES))}) nor a list ({', '.join(_LISTS)})."
    )


def _in_folder(root: Path) -> Iterator[tuple[str, Path]]:
    """Video files, folders with images but no video files, and folders that cannot be listed."""
    files = [path for _, path in files_below(root, None, VIDEO_SUFFIXES | IMAGE_SUFFIXES, KEY)]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    others = [path for path in files if path.suffix.lower() not in IMAGE_SUFFIXES]
    folders = {path.parent for path in images} - {path.parent for path in others}
    for path in [*others, *folders]:
        # The images of the root itself are one video, named like the root.
        yield image_key(path.name if path == root else path.relative_to(root).as_posix()), path
