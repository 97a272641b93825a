"""Read YouTube-VIS and COCO-video files: their videos, and their objects frame by frame, unchecked."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgrid.masks import rle
from maskgrid.masks.coco_reading import categories_by_id, entries_by_id, listed_objects, read_json, stated_size_hw
from maskgrid.masks.segmentations import whole_number
from maskgrid.tracked.prompts.entries import Record
from maskgrid.tracked.prompts.listed_videos import (
    file_name_of,
    folders_of,
    frame_numbers,
    id_of,
    image_stands_for,
    list_of,
    listed_frames,
    value_at,
    video_names,
    video_stands_for,
    warn_of_repeated,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrackFrame:
    """A document's data about one object on one frame."""

    frame: Any
    name: str | None
    segmentation: Any
    box: Any
    size_hw: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Track:
    """A document's object.

    Attributes:
        video_id: its video, as text.
        object_id: its id, as text.
        row: without an id, the number of its annotation, from 1.
        annotation: the first of its annotations.
        frames: where it is seen, in order.
        broken: why it cannot be told from another object.
    """

    video_id: str
    object_id: str
    row: int | None
    annotation: Record
    frames: list[TrackFrame]
    broken: str | None = None


@dataclass(frozen=True, slots=True)
class VideoDocument:
    """A YouTube-VIS or COCO-video file.

    Attributes:
        videos: its videos by id, as text.
        images: COCO-video's images; empty for YouTube-VIS.
        tracks: its objects.
        categories: COCO's categories by id.
    """

    videos: Mapping[str, Record]
    images: Sequence[Record]
    tracks: Sequence[Track]
    categories: Mapping[int, Record]

    def names(self) -> dict[str, tuple[str, ...]]:
        """The names that each video may have in the source, by its id: its name, its file, its frames' folder."""
        folders = folders_of(self.images)
        return {video_id: video_names(video, folders.get(video_id)) for video_id, video in self.videos.items()}

    def category_of(self, track: Track) -> tuple[int | None, str | None]:
        """Id and name of an object's category."""
        category_id = _category_id(track.annotation)
        if category_id is None:
            return None, _text(track.annotation)
        return category_id, str(self.categories[category_id].get("name", category_id))

    def frames(self) -> dict[str, list[tuple[Any, str | None]]]:
        """Number and file name of each frame that the file lists, with or without objects, by the video's id."""
        if self.images:
            numbers = frame_numbers(self.images)
            found: dict[str, list[tuple[Any, str | None]]] = {}
            for image in self.images:
                frame = numbers.get(id_of(image.get("id"))), file_name_of(image.get("file_name"))
                found.setdefault(id_of(image.get("video_id")), []).append(frame)
            return found
        lengths: dict[str, int] = {}
        for track in self.tracks:
            length = len(list_of(track.annotation.get("segmentations")))
            lengths[track.video_id] = max(length, lengths.get(track.video_id, 0))
        return {key: listed_frames(video, lengths.get(key, 0)) for key, video in self.videos.items()}


def read_video_document(path: Path, key: str) -> VideoDocument:
    """Read a YouTube-VIS or COCO-video file; ``key`` is the config's key that names it.

    Raises:
        UserError: it is neither.
        OSError: it cannot be opened.
    """
    return video_document(path, read_json(path, key), key)


def video_document(path: Path, content: Any, key: str) -> VideoDocument:  # noqa: ANN401
    """The same of a file's content.

    Raises:
        UserError: it is neither.
    """
    form = "YouTube-VIS or COCO-video file"
    videos, annotations, categories = (
        listed_objects(path, content, name, key, form) for name in ("videos", "annotations", "categories")
    )
    names = _categories(path, key, categories, annotations)
    by_id = entries_by_id(path, key, "videos", videos, id_of, video_stands_for)
    images: list[Record] = []
    if "images" in content:
        images = listed_objects(path, content, "images", key, form)
        warn_of_repeated(path, key, images)
        tracks = _tracks(path, annotations, entries_by_id(path, key, "images", images, id_of, image_stands_for))
    else:
        tracks = _annotated(annotations, by_id)
    return VideoDocument(by_id, images, list(tracks), names)


def _annotated(annotations: Sequence[Record], videos: Mapping[str, Record]) -> Iterator[Track]:
    """YouTube-VIS: an annotation per object, with lists as long as the video."""
    rows: dict[tuple[str, str], int] = {}
    for number, annotation in enumerate(annotations, start=1):
        video_id = id_of(annotation.get("video_id"))
        has_id = annotation.get("id") is not None
        object_id = str(annotation["id"] if has_id else number)
        frames = _frames_of(annotation, videos.get(video_id, {}))
        first = rows.setdefault((video_id, id_of(annotation["id"])), number) if has_id else number
        broken = None if first == number else f"annotations {first} and {number} of the file have the same id"
        yield Track(video_id, object_id, None if has_id else number, annotation, frames, broken)


def _frames_of(annotation: Record, video: Record) -> list[TrackFrame]:
    segmentations, boxes = list_of(annotation.get("segmentations")), list_of(annotation.get("bboxes"))
    names, numbers = list_of(video.get("file_names")), list_of(video.get("frame_numbers"))
    size_hw = stated_size_hw(annotation) or stated_size_hw(video)
    frames = []
    for index in range(max(len(segmentations), len(boxes))):
        segmentation, box = _shown(value_at(segmentations, index), value_at(boxes, index))
        if segmentation or box:
            number = value_at(numbers, index)
            name = file_name_of(value_at(names, index))
            frames.append(TrackFrame(index if number is None else number, name, segmentation, box, size_hw))
    return frames


def _tracks(path: Path, annotations: Sequence[Record], images: Mapping[str, Record]) -> Iterator[Track]:
    """COCO-video: one annotation per frame, joined to objects by ``track_id`` or ``instance_id``."""
    tracks: dict[tuple[str, str, int | None], Track] = {}
    mixed: list[Track] = []
    numbers = frame_numbers([*images.values()])
    for number, annotation in enumerate(annotations, start=1):
        image_id = id_of(annotation.get("image_id"))
        image = images.get(image_id, {})
        object_id = next((annotation[n] for n in ("track_id", "instance_id", "id") if _is_id(annotation.get(n))), None)
        row = number if object_id is None else None
        key = id_of(image.get("video_id", annotation.get("video_id"))), str(object_id if row is None else row), row
        segmentation, box = _shown(annotation.get("segmentation"), annotation.get("bbox"))
        name, size_hw = file_name_of(image.get("file_name")), stated_size_hw(image)
        found = TrackFrame(numbers.get(image_id), name, segmentation, box, size_hw)
        track = tracks.setdefault(key, Track(*key, annotation, []))
        track.frames.append(found)
        if annotation.get("category_id") != track.annotation.get("category_id"):
            mixed.append(track)
    if mixed:
        where = f"the first is {mixed[0].object_id} in video {mixed[0].video_id}"
        log.warning(
            "%s: annotations of one object have different categories, of which the first counts; %s", path, where
        )
    for track in tracks.values():
        track.frames.sort(key=lambda frame: _number(frame.frame))
        yield track


def _categories(path: Path, key: str, listed: Sequence[Record], annotations: Sequence[Record]) -> dict[int, Record]:
    """The categories by id; unlisted ones, of which no mask depends, are named by their ids."""
    by_id = categories_by_id(path, listed, key)
    known = {number: category for number, category in by_id.items() if type(number) is int}
    used = {number for annotation in annotations if (number := _category_id(annotation)) is not None}
    if unlisted := sorted(used - known.keys()):
        log.warning("%s: unlisted categories are named by their ids: %s", path, ", ".join(map(str, unlisted[:5])))
    return known | {number: {"id": number, "name": str(number)} for number in unlisted}


def _category_id(annotation: Record) -> int | None:
    value = whole_number(annotation.get("category_id"))
    return value if type(value) is int else None


def _text(annotation: Record) -> str | None:
    value = annotation.get("category_id")
    return value if isinstance(value, str) else None


def _shown(segmentation: Any, box: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """A frame's segmentation and box; None for the forms in which tools say that the object is not there."""
    if isinstance(box, list) and not any(box):  # [0, 0, 0, 0]
        box = None
    if isinstance(segmentation, list) and not any(segmentation):  # [[]]
        segmentation = None
    if isinstance(segmentation, dict) and _is_empty(segmentation):
        segmentation = None
    return segmentation or None, box or None


def _is_empty(segmentation: Record) -> bool:
    """Whether a run-length code has no pixel; False if it cannot be read."""
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if isinstance(counts, list):
        return not any(counts[1::2])
    if not isinstance(counts, str) or not isinstance(size, list) or len(size) != 2 or len(counts) > _LONGEST_EMPTY:
        return False
    try:
        size_hw = int(size[0]), int(size[1])
        code = counts.encode("ascii")
        rle.check(code, size_hw)
    except (TypeError, ValueError):
        return False
    return rle.area_px(code, size_hw) == 0


# A code without pixels is one number, in characters of five bits each.
_LONGEST_EMPTY = 12


def _is_id(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is an object's id, which -1 is not."""
    return value is not None and not (type(value) is int and value < 0)


def _number(value: Any) -> float:  # noqa: ANN401
    return float(value) if isinstance(value, int | float) else -1.0
