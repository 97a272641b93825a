"""Read the annotations of a COCO file as true objects, each checked against its image."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.dataset.object_masks import read_mask
from maskgrid.dataset.objects import BadPromptError, PromptStatus, require_size
from maskgrid.io.errors import UserError
from maskgrid.io.listings import named_key
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import listed_objects, read_json, stated_size_hw
from maskgrid.results.accuracy.tables import TRUE_IMAGES, TRUE_OBJECTS

log = logging.getLogger(__name__)

Row = dict[str, Any]
_KEY = "dataset.ground_truth"
_OK = str(PromptStatus.OK)


@dataclass(frozen=True, slots=True)
class Annotations:
    """A COCO file: names and stated sizes by image id, and objects by image id, in the file's order."""

    names: Mapping[Any, str]
    sizes_hw: Mapping[Any, tuple[int, int] | None]
    objects: Mapping[Any, list[Row]]


def read_annotations(path: Path) -> Annotations:
    """Read a COCO file; one without ``annotations`` has images without objects.

    Raises:
        UserError: the file cannot be read, or is not a COCO file.
    """
    try:
        content = read_json(path, _KEY)
    except OSError as error:
        raise UserError(f"{_KEY}: {path} cannot be read: {error.strerror}") from None
    images = listed_objects(path, content, "images", _KEY)
    annotations = listed_objects(path, content, "annotations", _KEY) if "annotations" in content else []
    names = {image["id"]: str(image.get("file_name")) for image in images if isinstance(image.get("id"), int | str)}
    sizes_hw = {image["id"]: stated_size_hw(image) for image in images if isinstance(image.get("id"), int | str)}
    objects: dict[Any, list[Row]] = {}
    n_lost = 0
    for annotation in annotations:
        image_id = annotation.get("image_id")
        if isinstance(image_id, int | str) and image_id in names:
            objects.setdefault(image_id, []).append(annotation)
        else:
            n_lost += 1
    if n_lost:
        log.warning("%s: %d annotations of images that the file does not list are left out", path, n_lost)
    return Annotations(names, sizes_hw, objects)


def truth_tables(annotations: Annotations, files: pa.Table, folder: Path) -> tuple[pa.Table, pa.Table]:
    """Check the annotations against the dataset's images.

    Args:
        annotations: the file's content.
        files: the table ``dataset/files.parquet``.
        folder: the folder that relative paths of masks start from.

    Returns:
        Tables of ``tables.TRUE_IMAGES`` and ``tables.TRUE_OBJECTS``, sorted by image key. Both are empty if no object
        has a segmentation: then there is nothing to measure against.
    """
    columns = ["image_key", "status", "message", "height", "width", "shard", "path"]
    known = {row["image_key"]: row for row in files.select(columns).to_pylist()}
    by_path = {os.fsdecode(row["path"]): key for key, row in known.items()}
    images: list[Row] = []
    objects: list[Row] = []
    for image_id, name in annotations.names.items():
        key = by_path.get(name) or named_key(name)
        listed = annotations.objects.get(image_id, [])
        rows = list(_object_rows(key, listed, known.get(key), annotations.sizes_hw[image_id], folder))
        objects += rows
        images.append(_image_row(key, rows, known.get(key)))
    if not any(annotation.get("segmentation") for listed in annotations.objects.values() for annotation in listed):
        return TRUE_IMAGES.empty_table(), TRUE_OBJECTS.empty_table()
    images.sort(key=lambda row: row["image_key"])
    objects.sort(key=lambda row: row["image_key"])
    return pa.Table.from_pylist(images, TRUE_IMAGES), pa.Table.from_pylist(objects, TRUE_OBJECTS)


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


def _object_rows(
    key: str, annotations: list[Row], image: Row | None, stated_hw: tuple[int, int] | None, folder: Path
) -> Iterator[Row]:
    for annotation in annotations:
        category = annotation.get("category_id")
        row = {
            "image_key": key,
            "source_id": str(annotation.get("id", "")),
            "category_id": category if type(category) is int else None,
            "is_crowd": annotation.get("iscrowd") == 1,
            "status": _OK,
        }
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
