"""Read the annotations of a COCO file as true objects, each checked against its image."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.dataset.annotations.names import NamedImages
from maskgrid.dataset.annotations.object_masks import read_mask
from maskgrid.dataset.annotations.objects import BadPromptError, PromptStatus, require_size
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import (
    ImageId,
    image_id_of,
    images_by_id,
    listed_objects,
    read_json,
    stated_size_hw,
)
from maskgrid.masks.segmentations import whole_number
from maskgrid.results.accuracy.tables import TRUE_IMAGES, TRUE_OBJECTS

log = logging.getLogger(__name__)

Row = dict[str, Any]
_KEY = "dataset.ground_truth"
_OK = str(PromptStatus.OK)


@dataclass(frozen=True, slots=True)
class Annotations:
    """A COCO file: images by id, objects by their image's id, in the file's order, and what belongs to no image."""

    images: Mapping[ImageId, Row]
    objects: Mapping[ImageId, list[Row]]
    images_without_id: list[Row]
    objects_without_image: list[Row]

    @property
    def have_masks(self) -> bool:
        """Whether any object has a segmentation."""
        listed = [*self.objects.values(), self.objects_without_image]
        return any(annotation.get("segmentation") for objects in listed for annotation in objects)


def read_annotations(path: Path) -> Annotations:
    """Read a COCO file; one without ``annotations`` has images without objects.

    Raises:
        UserError: the file cannot be read, is not a COCO file, or two of its images have one id.
    """
    try:
        content = read_json(path, _KEY)
    except OSError as error:
        raise UserError(f"{_KEY}: {path} cannot be read: {error.strerror}") from None
    listed = listed_objects(path, content, "images", _KEY)
    annotations = listed_objects(path, content, "annotations", _KEY) if "annotations" in content else []
    images = images_by_id(path, listed, _KEY)
    objects: dict[ImageId, list[Row]] = {}
    lost: list[Row] = []
    for annotation in annotations:
        image_id = image_id_of(annotation.get("image_id"))
        if image_id is not None and image_id in images:
            objects.setdefault(image_id, []).append(annotation)
        else:
            lost.append(annotation)
    if lost:
        log.warning("%s: %d annotations are of images that the file does not list", path, len(lost))
    without_id = [image for image in listed if image_id_of(image.get("id")) is None]
    return Annotations(images, objects, without_id, lost)


def truth_tables(annotations: Annotations, files: pa.Table, folder: Path) -> tuple[pa.Table, pa.Table]:
    """Check the annotations against the dataset's images.

    Args:
        annotations: the file's content.
        files: the table ``dataset/files.parquet``.
        folder: the file's folder, from which relative paths start.

    Returns:
        Tables of ``tables.TRUE_IMAGES`` and ``tables.TRUE_OBJECTS``, sorted by image key. Both are empty if no object
        has a segmentation: then there is nothing to measure against.
    """
    if not annotations.have_masks:
        return TRUE_IMAGES.empty_table(), TRUE_OBJECTS.empty_table()
    columns = ["image_key", "status", "message", "height", "width", "shard", "path"]
    known = {row["image_key"]: row for row in files.select(columns).to_pylist()}
    names = NamedImages.of(known.values(), folder)
    objects: dict[str, list[Row]] = {}  # an image may be listed twice, under two ids
    nameless: list[Row] = [_unnamed_image("the image has no id") for _ in annotations.images_without_id]
    lost = [
        _lost_object(each, f"the file has no image {each.get('image_id')!r}")
        for each in annotations.objects_without_image
    ]
    for image_id, image in annotations.images.items():
        name, listed = image.get("file_name"), annotations.objects.get(image_id, [])
        if not isinstance(name, str):
            nameless.append(_unnamed_image(f"the image {image_id!r} has no file_name"))
            lost += [_lost_object(each, f"the image {image_id!r} has no file_name") for each in listed]
            continue
        key = names.key(name)
        rows = _object_rows(key, listed, known.get(key), stated_size_hw(image), folder)
        objects.setdefault(key, []).extend(rows)
    images = [*nameless, *(_image_row(key, rows, known.get(key)) for key, rows in objects.items())]
    images.sort(key=lambda row: row["image_key"])
    every = sorted([*lost, *(row for rows in objects.values() for row in rows)], key=lambda row: row["image_key"])
    return pa.Table.from_pylist(images, TRUE_IMAGES), pa.Table.from_pylist(every, TRUE_OBJECTS)


def _unnamed_image(message: str) -> Row:
    counts = dict.fromkeys(("n_objects", "n_crowds", "n_unusable"), 0)
    return {"image_key": "", "status": str(PromptStatus.MALFORMED), "message": message, **counts}


def _lost_object(annotation: Row, message: str) -> Row:
    return _facts("", annotation) | {"status": str(PromptStatus.UNKNOWN_IMAGE), "message": message}


def _image_row(key: str, objects: list[Row], image: Row | None) -> Row:
    usable = [row for row in objects if row["status"] == _OK]
    n_crowds = sum(row["is_crowd"] for row in usable)
    row = {
        "image_key": key,
        "n_objects": len(usable) - n_crowds,
        "n_crowds": n_crowds,
        "n_unusable": len(objects) - len(usable),
    }
    if image is None:
        return row | {"status": str(PromptStatus.UNKNOWN_IMAGE), "message": "the dataset has no such image"}
    return row | {"status": image["status"], "message": image["message"], "shard": image["shard"]}


def _facts(key: str, annotation: Row) -> Row:
    category = whole_number(annotation.get("category_id"))
    return {
        "image_key": key,
        "source_id": str(annotation.get("id", "")),
        "category_id": category if type(category) is int else None,
        "is_crowd": annotation.get("iscrowd") == 1,
    }


def _object_rows(
    key: str, annotations: list[Row], image: Row | None, stated_hw: tuple[int, int] | None, folder: Path
) -> Iterator[Row]:
    for annotation in annotations:
        row = _facts(key, annotation) | {"status": _OK}
        try:
            counts, area = _mask(annotation, image, stated_hw, folder)
            yield row | {"counts": counts, "area_px": area}
        except BadPromptError as error:
            yield row | {"status": str(error.status), "message": error.message}


def _mask(annotation: Row, image: Row | None, stated_hw: tuple[int, int] | None, folder: Path) -> tuple[bytes, int]:
    if image is None:
        raise BadPromptError(PromptStatus.UNKNOWN_IMAGE, "the dataset has no such image")
    if image["status"] != _OK:
        raise BadPromptError(PromptStatus.BAD_IMAGE, f"the image cannot be used: {image['status']}")
    if not annotation.get("segmentation"):
        raise BadPromptError(PromptStatus.NO_MASK, "the annotation has no segmentation")
    size_hw = (int(image["height"]), int(image["width"]))
    require_size(stated_hw, size_hw)
    counts = read_mask(annotation["segmentation"], size_hw, folder)
    return counts, rle.area_px(counts, size_hw)
