"""Read YouTube-VIS and COCO-video files: their videos, and their objects frame by frame, unchecked."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgrid.masks import rle
from maskgrid.masks.coco_reading import listed_objects, read_json, stated_size_hw
from maskgrid.masks.segmentations import whole_number, whole_number_of_text
from maskgrid.tracked.prompts.entries import Record
from maskgrid.tracked.videos.frames import natural_key

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
    """

    video_id: str
    object_id: str
    row: int | None
    annotation: Record
    frames: list[TrackFrame]


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
        folders = _folders(self.images)
        return {video_id: _video_names(video, folders.get(video_id)) for video_id, video in self.videos.items()}

    def category_of(self, track: Track) -> tuple[int | None, str | None]:
        """Id and name of an object's category."""
        category_id = _category_id(track.annotation)
        if category_id is None:
            return None, _text(track.annotation)
        return category_id, str(self.categories[category_id].get("name", category_id))

    def frames(self) -> dict[str, list[tuple[Any, str | None]]]:
        """Number and file name of each frame that the file lists, with or without objects, by the video's id."""
        if self.images:
            numbers = _frame_numbers(self.images)
            found: dict[str, list[tuple[Any, str | None]]] = {}
            for image in self.images:
                frame = numbers.get(_id_of(image.get("id"))), _file_name(image.get("file_name"))
                found.setdefault(_id_of(image.get("video_id")), []).append(frame)
            return found
        lengths: dict[str, int] = {}
        for track in self.tracks:
            length = len(_list(track.annotation.get("segmentations")))
            lengths[track.video_id] = max(length, lengths.get(track.video_id, 0))
        return {key: _listed_frames(video, lengths.get(key, 0)) for key, video in self.videos.items()}


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
    names = _categories(path, categories, annotations)
    by_id = {_id_of(video.get("id")): video for video in videos}
    images: list[Record] = []
    if "images" in content:
        images = listed_objects(path, content, "images", key, form)
        tracks = _tracks(annotations, images)
    else:
        tracks = _annotated(annotations, by_id)
    return VideoDocument(by_id, images, list(tracks), names)


def _annotated(annotations: Sequence[Record], videos: Mapping[str, Record]) -> Iterator[Track]:
    """YouTube-VIS: an annotation per object, with lists as long as the video."""
    for number, annotation in enumerate(annotations, start=1):
        video_id = _id_of(annotation.get("video_id"))
        has_id = annotation.get("id") is not None
        object_id = str(annotation["id"] if has_id else number)
        frames = _frames_of(annotation, videos.get(video_id, {}))
        yield Track(video_id, object_id, None if has_id else number, annotation, frames)


def _frames_of(annotation: Record, video: Record) -> list[TrackFrame]:
    segmentations, boxes = _list(annotation.get("segmentations")), _list(annotation.get("bboxes"))
    names, numbers = _list(video.get("file_names")), _list(video.get("frame_numbers"))
    size_hw = stated_size_hw(annotation) or stated_size_hw(video)
    frames = []
    for index in range(max(len(segmentations), len(boxes))):
        segmentation, box = _shown(_at(segmentations, index), _at(boxes, index))
        if segmentation or box:
            number = _at(numbers, index)
            name = _file_name(_at(names, index))
            frames.append(TrackFrame(index if number is None else number, name, segmentation, box, size_hw))
    return frames


def _listed_frames(video: Record, length: int) -> list[tuple[Any, str | None]]:
    """YouTube-VIS: the frames of a video, at least ``length``."""
    names, numbers = _list(video.get("file_names")), _list(video.get("frame_numbers"))
    return [
        (index if _at(numbers, index) is None else numbers[index], _file_name(_at(names, index)))
        for index in range(max(len(names), length))
    ]


def _tracks(annotations: Sequence[Record], images: Sequence[Record]) -> Iterator[Track]:
    """COCO-video: one annotation per frame, joined to objects by ``track_id`` or ``instance_id``."""
    tracks: dict[tuple[str, str, int | None], Track] = {}
    by_id, numbers = {_id_of(image.get("id")): image for image in images}, _frame_numbers(images)
    for number, annotation in enumerate(annotations, start=1):
        image_id = _id_of(annotation.get("image_id"))
        image = by_id.get(image_id, {})
        object_id = next((annotation[n] for n in ("track_id", "instance_id", "id") if _is_id(annotation.get(n))), None)
        row = number if object_id is None else None
        key = _id_of(image.get("video_id", annotation.get("video_id"))), str(object_id if row is None else row), row
        segmentation, box = _shown(annotation.get("segmentation"), annotation.get("bbox"))
        name, size_hw = _file_name(image.get("file_name")), stated_size_hw(image)
        found = TrackFrame(numbers.get(image_id), name, segmentation, box, size_hw)
        tracks.setdefault(key, Track(*key, annotation, [])).frames.append(found)
    for track in tracks.values():
        track.frames.sort(key=lambda frame: _number(frame.frame))
        yield track


def _frame_numbers(images: Sequence[Record]) -> dict[str, Any]:
    """Each image's frame in its video, by the image's id.

    ``frame_number`` beside ``frame_id``, as we write them; ``frame_id`` or ``frame_index``; without them the position
    in the natural order of file names. MOT's files count from 1: where a video's are 1, 2, ... without a gap, 1 is the
    first frame.
    """
    videos: dict[str, list[Record]] = {}
    for image in images:
        videos.setdefault(_id_of(image.get("video_id")), []).append(image)
    numbers: dict[str, Any] = {}
    for members in videos.values():
        order = sorted(members, key=lambda image: (natural_key(str(image.get("file_name"))), str(image.get("id"))))
        if all(type(image.get("frame_number")) is int and "frame_id" in image for image in order):
            numbers |= {_id_of(image.get("id")): image["frame_number"] for image in order}
            continue
        stated = [
            next((image[n] for n in ("frame_id", "frame_index") if image.get(n) is not None), None) for image in order
        ]
        whole = sorted(number for number in stated if type(number) is int)
        first = 1 if len(order) > 1 and whole == list(range(1, len(order) + 1)) else 0
        for index, (image, number) in enumerate(zip(order, stated, strict=True)):
            numbers[_id_of(image.get("id"))] = index if number is None else number - first if first else number
    return numbers


def _folders(images: Sequence[Record]) -> dict[str, str]:
    """The folder of each video's first image, by the video's id."""
    folders: dict[str, str] = {}
    for image in images:
        if isinstance(name := image.get("file_name"), str):
            folders.setdefault(_id_of(image.get("video_id")), name.rpartition("/")[0])
    return folders


def _video_names(video: Record, folder: str | None) -> tuple[str, ...]:
    """The names that a document's video may have in the source: its name, its file, the folder of its frames."""
    name = video.get("name")
    names = [video.get("video_key"), video.get("file_name"), name]
    first = _at(_list(video.get("file_names")), 0)
    if isinstance(first, str):
        folder = first.rpartition("/")[0]
    if folder:
        names += [folder, f"{name}/{folder}"]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def _categories(path: Path, listed: Sequence[Record], annotations: Sequence[Record]) -> dict[int, Record]:
    """The categories by id; unlisted ones, of which no mask depends, are named by their ids."""
    known = {
        category["id"]: category
        for category in listed
        if type(category.get("id")) is int and type(whole_number(category["id"])) is int
    }
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


def _id_of(value: Any) -> str:  # noqa: ANN401
    """The id of a video or an image as text: ``1``, ``1.0`` and ``"1"`` are one id, since tools write all of them."""
    return str(whole_number_of_text(value))


def _is_id(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is an object's id, which -1 is not."""
    return value is not None and not (type(value) is int and value < 0)


def _file_name(name: Any) -> str | None:  # noqa: ANN401
    return name.rpartition("/")[2] if isinstance(name, str) else None


def _list(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else []


def _at(values: list[Any], index: int) -> Any:  # noqa: ANN401
    return values[index] if index < len(values) else None


def _number(value: Any) -> float:  # noqa: ANN401
    return float(value) if isinstance(value, int | float) else -1.0
