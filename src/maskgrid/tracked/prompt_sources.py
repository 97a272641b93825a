"""Read prompts for videos from tables, YouTube-VIS and COCO-video files, entry by entry, unchecked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgrid.config.tracking import TrackingConfig
from maskgrid.dataset.object_files import TableForm, read_rows
from maskgrid.dataset.object_sources import FORM as IMAGE_FORM
from maskgrid.dataset.object_sources import Entry, table_entry
from maskgrid.io.errors import UserError
from maskgrid.masks.coco_reading import listed_objects, read_json

KEY = "tracking.prompts"
FORM = TableForm(KEY, ("video", "frame"), IMAGE_FORM.prompts, (*IMAGE_FORM.optional, "round"))

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VideoEntry:
    """A prompt as the source has it, unchecked.

    Attributes:
        names: the video's name, and other names that it may have.
        entry: the object; its ``image_key`` is the first of the names.
        frame: the video's frame, counted from 0.
        frame_name: for a folder of frames, the frame's file name; it overrides ``frame``.
        round: the round of corrections that it belongs to.
    """

    names: tuple[str, ...]
    entry: Entry
    frame: Any
    frame_name: str | None = None
    round: Any = None


@dataclass(frozen=True, slots=True)
class VideoPrompts:
    """A file of prompts.

    Attributes:
        folder: the folder that paths in it are relative to.
        categories: COCO's ``categories``; empty if the source has none.
        entries: the prompts, in the order of the file.
    """

    folder: Path
    categories: list[Record]
    entries: list[VideoEntry]


def read_video_prompts(path: Path, config: TrackingConfig) -> VideoPrompts:
    """Read a file of prompts.

    Args:
        path: a table (``.csv``, ``.parquet``, ``.jsonl``), or a ``.json`` with ``videos``.
        config: selects the parts of a ``.json`` that are prompts.

    Raises:
        UserError: the file cannot be read in the format of its suffix.
    """
    try:
        if path.suffix.lower() == ".json":
            return _document(path, config)
        rows = list(read_rows(path, FORM))
    except OSError as error:
        raise UserError(f"{KEY}: {path} cannot be read: {error.strerror}") from None
    return VideoPrompts(path.parent, [], [_row(number, row) for number, row in enumerate(rows, start=1)])


def _row(number: int, row: Record) -> VideoEntry:
    entry = table_entry(number, row, "video")
    return VideoEntry((entry.image_key,), entry, row.get("frame"), None, row.get("round"))


def _document(path: Path, config: TrackingConfig) -> VideoPrompts:
    content = read_json(path, KEY)
    form = "YouTube-VIS or COCO-video file"
    videos, annotations, categories = (
        listed_objects(path, content, name, KEY, form) for name in ("videos", "annotations", "categories")
    )
    known = {category["id"]: category for category in categories if type(category.get("id")) is int}
    by_id = {str(video.get("id")): video for video in videos}
    if "images" in content:
        images = {str(image.get("id")): image for image in listed_objects(path, content, "images", KEY, form)}
        tracks = _tracks(annotations, images)
    else:
        tracks = ((str(a.get("video_id")), str(a.get("id", "")), a, _frames_of(a, by_id)) for a in annotations)
    entries = [
        entry
        for video_id, object_id, annotation, frames in tracks
        for entry in _track_entries(by_id.get(video_id), video_id, object_id, annotation, frames, known, config)
    ]
    return VideoPrompts(path.parent, list(known.values()), entries)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A document's data about one object on one frame."""

    frame: Any
    name: str | None
    segmentation: Any
    box: Any


def _frames_of(annotation: Record, videos: Mapping[str, Record]) -> list[_Frame]:
    """YouTube-VIS: the frames with a segmentation or box, from an annotation's lists as long as the video."""
    video = videos.get(str(annotation.get("video_id")), {})
    segmentations, boxes = _list(annotation.get("segmentations")), _list(annotation.get("bboxes"))
    names, numbers = _list(video.get("file_names")), _list(video.get("frame_numbers"))
    frames = []
    for index in range(max(len(segmentations), len(boxes))):
        segmentation, box = _at(segmentations, index), _at(boxes, index)
        if segmentation or box:
            number = _at(numbers, index)
            name = _at(names, index)
            frames.append(_Frame(index if number is None else number, _file_name(name), segmentation, box))
    return frames


def _tracks(annotations: list[Record], images: Mapping[str, Record]) -> Iterator[tuple[str, str, Record, list[_Frame]]]:
    """COCO-video: one annotation per frame, joined to objects by ``track_id`` or ``instance_id``."""
    tracks: dict[tuple[str, str], tuple[Record, list[_Frame]]] = {}
    order = _frame_order(images)
    for annotation in annotations:
        image_id = str(annotation.get("image_id"))
        image = images.get(image_id, {})
        object_id = next((annotation[n] for n in ("track_id", "instance_id", "id") if n in annotation), "")
        key = str(image.get("video_id", annotation.get("video_id"))), str(object_id)
        frame = next((image[name] for name in ("frame_id", "frame_index") if name in image), order.get(image_id))
        name = _file_name(image.get("file_name"))
        found = _Frame(frame, name, annotation.get("segmentation"), annotation.get("bbox"))
        tracks.setdefault(key, (annotation, []))[1].append(found)
    for (video_id, object_id), (annotation, frames) in tracks.items():
        yield video_id, object_id, annotation, sorted(frames, key=lambda frame: _number(frame.frame))


def _frame_order(images: Mapping[str, Record]) -> dict[str, int]:
    """Each image's position in its video, in the order of file names."""
    videos: dict[str, list[tuple[str, str]]] = {}
    for image_id, image in images.items():
        videos.setdefault(str(image.get("video_id")), []).append((str(image.get("file_name")), image_id))
    return {image_id: index for names in videos.values() for index, (_, image_id) in enumerate(sorted(names))}


def _track_entries(
    video: Record | None,
    video_id: str,
    object_id: str,
    annotation: Record,
    frames: list[_Frame],
    categories: Mapping[int, Record],
    config: TrackingConfig,
) -> Iterator[VideoEntry]:
    names = _video_names(video or {})
    category_id = annotation.get("category_id")
    broken = None
    if video is None or not names:
        broken = f"the file has no video with the id {video_id}, or it has no name"
    elif category_id is not None and (type(category_id) is not int or category_id not in categories):
        broken = f"the file has no category with the id {category_id!r}"
    wanted = [frame for frame in frames if (frame.segmentation if config.use == "mask" else frame.box)]
    if not wanted and broken is None:
        broken = f"the object has no {'segmentation' if config.use == 'mask' else 'box'} on any frame"
    chosen = wanted if config.prompt_frames == "all" else wanted[:1]
    for frame in chosen or [_Frame(None, None, None, None)]:
        entry = Entry(
            image_key=names[0] if names else "",
            source_id=object_id,
            category_id=None if broken else category_id,
            category=None if broken or category_id is None else str(categories[category_id].get("name", category_id)),
            box=frame.box,
            box_form="xywh",
            box_use="box" if config.use == "box" else "",
            mask=frame.segmentation if config.use == "mask" else None,
            is_crowd=annotation.get("iscrowd") == 1,
            broken=broken,
        )
        yield VideoEntry(names or ("",), entry, frame.frame, frame.name)


def _video_names(video: Record) -> tuple[str, ...]:
    """The names that a document's video may have in the source: its name, its file, the folder of its frames."""
    names = [video.get("video_key"), video.get("file_name"), video.get("name")]
    first = _at(_list(video.get("file_names")), 0)
    if isinstance(first, str):
        names.append(first.rpartition("/")[0])
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _file_name(name: Any) -> str | None:  # noqa: ANN401
    return name.rpartition("/")[2] if isinstance(name, str) else None


def _list(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else []


def _at(values: list[Any], index: int) -> Any:  # noqa: ANN401
    return values[index] if index < len(values) else None


def _number(value: Any) -> float:  # noqa: ANN401
    return float(value) if isinstance(value, int | float) else -1.0
