"""What YouTube-VIS and COCO-video files list: ids, names and frames of videos and images."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskgrid.masks.segmentations import whole_number_of_text
from maskgrid.tracked.prompts.entries import Record
from maskgrid.tracked.videos.frames import natural_key

log = logging.getLogger(__name__)

_MOST_SHOWN = 3
# Where a COCO-video's images have the number of their frame.
_FRAME_KEYS = ("frame_id", "frame_index", "frame_number")


def video_stands_for(video: Record) -> str:
    """Which video an entry of ``videos`` is, in words."""
    n_frames = len(list_of(video.get("file_names")))
    name = " or ".join(video_names(video, None)) or "no name"
    return f"{name}, {n_frames} frames" if n_frames else name


def image_stands_for(image: Record) -> str:
    """Which frame an entry of a COCO-video's ``images`` is, in words."""
    stated = [f"{name} {image[name]}" for name in _FRAME_KEYS if image.get(name) is not None]
    return ", ".join([str(image.get("file_name")), f"video {id_of(image.get('video_id'))}", *stated])


def warn_of_repeated(path: Path, key: str, images: Sequence[Record]) -> None:
    """Warn of frames that a COCO-video lists twice, under two ids: they are read as one."""
    rows: dict[str, int] = {}
    repeated: list[str] = []
    for row, image in enumerate(images, start=1):
        name = image_stands_for(image)
        if image.get("file_name") is not None and (first := rows.setdefault(name, row)) != row:
            repeated.append(f"entries {first} and {row} ({name})")
    if repeated:
        log.warning(
            "%s: %s: images: frames are listed twice, and read as one: %s%s",
            key, path, "; ".join(repeated[:_MOST_SHOWN]), "; ..." if len(repeated) > _MOST_SHOWN else "",
        )  # fmt: skip


def listed_frames(video: Record, length: int) -> list[tuple[Any, str | None]]:
    """YouTube-VIS: the frames of a video, at least ``length``."""
    names, numbers = list_of(video.get("file_names")), list_of(video.get("frame_numbers"))
    return [
        (index if value_at(numbers, index) is None else numbers[index], file_name_of(value_at(names, index)))
        for index in range(max(len(names), length))
    ]


def frame_numbers(images: Sequence[Record]) -> dict[str, Any]:
    """Each image's frame in its video, by the image's id.

    ``frame_number`` beside ``frame_id``, as we write them; ``frame_id`` or ``frame_index``; without them the position
    in the natural order of file names. MOT's files count from 1: where a video's are 1, 2, ... without a gap, 1 is the
    first frame.
    """
    videos: dict[str, list[Record]] = {}
    for image in images:
        videos.setdefault(id_of(image.get("video_id")), []).append(image)
    numbers: dict[str, Any] = {}
    for members in videos.values():
        order = sorted(members, key=lambda image: [natural_key(str(image.get(key))) for key in ("file_name", "id")])
        if all(type(image.get("frame_number")) is int and "frame_id" in image for image in order):
            numbers |= {id_of(image.get("id")): image["frame_number"] for image in order}
            continue
        # A frame that is listed twice counts once.
        frames = {_name_of_frame(image): _stated_number(image) for image in order}
        places = {name: place for place, name in enumerate(frames)}
        whole = sorted(number for number in frames.values() if type(number) is int)
        first = 1 if len(frames) > 1 and whole == list(range(1, len(frames) + 1)) else 0
        for image in order:
            number = _stated_number(image)
            place = places[_name_of_frame(image)] if number is None else number - first if first else number
            numbers[id_of(image.get("id"))] = place
    return numbers


def _stated_number(image: Record) -> Any:  # noqa: ANN401
    return next((image[key] for key in ("frame_id", "frame_index") if image.get(key) is not None), None)


def _name_of_frame(image: Record) -> str:
    """Tells a video's frames apart: by name, or by id without one, and by the frame's number."""
    name = image.get("file_name")
    return f"{name}, {_stated_number(image)}" if name is not None else f"id {id_of(image.get('id'))}"


def folders_of(images: Sequence[Record]) -> dict[str, str]:
    """The folder of each video's first image, by the video's id."""
    folders: dict[str, str] = {}
    for image in images:
        if isinstance(name := image.get("file_name"), str):
            folders.setdefault(id_of(image.get("video_id")), name.rpartition("/")[0])
    return folders


def video_names(video: Record, folder: str | None) -> tuple[str, ...]:
    """The names that a document's video may have in the source: its name, its file, the folder of its frames."""
    name = video.get("name")
    names = [video.get("video_key"), video.get("file_name"), name]
    first = value_at(list_of(video.get("file_names")), 0)
    if isinstance(first, str):
        folder = first.rpartition("/")[0]
    if folder:
        names += [folder, f"{name}/{folder}"]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def id_of(value: Any) -> str:  # noqa: ANN401
    """The id of a video or an image as text: ``1``, ``1.0`` and ``"1"`` are one id, since tools write all of them."""
    return str(whole_number_of_text(value))


def file_name_of(name: Any) -> str | None:  # noqa: ANN401
    """A file's name without its folder; None if it is no text."""
    return name.rpartition("/")[2] if isinstance(name, str) else None


def list_of(value: Any) -> list[Any]:  # noqa: ANN401
    """A list; empty if it is none."""
    return value if isinstance(value, list) else []


def value_at(values: list[Any], index: int) -> Any:  # noqa: ANN401
    """A value of a list; None after its end."""
    return values[index] if index < len(values) else None
