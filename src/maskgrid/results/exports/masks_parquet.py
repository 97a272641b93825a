"""Pictures and masks as a table, a row an image, which ``datasets.load_dataset`` and the Hub's viewer show."""

import logging
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from maskgrid.config.exports import MasksParquetOptions
from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.io.tables import column, write_batches
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.pictures import Pixels, Thumbnail, colour, jpeg, paint
from maskgrid.results.exports.source import MaskFile, Picture, mask_of, score_of, suffix_of

log = logging.getLogger(__name__)

_ROWS_IN_GROUP = 16  # a row holds a whole picture
_OVERLAY_SIDE = 512
_PICTURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_OBJECTS = {
    "id": pa.int64(),
    "category": pa.string(),
    "score": pa.float64(),
    "area_px": pa.int64(),
    "bbox_xywh": pa.list_(pa.float64(), 4),
    "counts": pa.string(),
}
_SCHEMA = pa.schema(
    [
        column("image", _PICTURE, "the picture; null if it is gone", nullable=True),
        column("overlay", _PICTURE, "a small picture with the masks painted over it", nullable=True),
        column("image_id", pa.int64(), "the image's id in the COCO file"),
        column("file_name", pa.string(), "path relative to the dataset's root"),
        column("height", pa.int32(), "pixels, as displayed"),
        column("width", pa.int32(), "pixels, as displayed"),
        column("status", pa.string(), "ok, or in one word why there is no picture"),
        column(
            "masks",
            pa.struct({name: pa.list_(kind) for name, kind in _OBJECTS.items()}),
            "lists with an item a mask; counts is COCO's compressed run-length code",
        ),
    ]
)


def write_masks_parquet(masks: MaskFile, folder: Path, options: MasksParquetOptions) -> dict[str, Any]:
    """Write ``masks-00000.parquet``, ``masks-00001.parquet``, ...

    Returns:
        Number of files, images, masks and pictures that are gone.
    """
    counts = {"n_files": 0, "n_images": 0, "n_masks": 0, "n_pictures_gone": 0}
    rows = (_row(masks, *sample) for sample in masks.with_pictures())
    schema = _SCHEMA.with_metadata({"huggingface": orjson.dumps({"info": {"features": _features()}})})
    while (first := next(rows, None)) is not None:
        of_file = chain([first], islice(rows, options.images_per_file - 1))
        path = folder / f"masks-{counts['n_files']:05}.parquet"
        write_batches(path, schema, _groups(of_file, counts), {"fingerprint": masks.fingerprint})
        counts["n_files"] += 1
    return counts


def _groups(rows: Iterator[dict[str, Any]], counts: dict[str, int]) -> Iterator[pa.Table]:
    while group := list(islice(rows, _ROWS_IN_GROUP)):
        counts["n_images"] += len(group)
        counts["n_masks"] += sum(len(row["masks"]["id"]) for row in group)
        counts["n_pictures_gone"] += sum(row["image"] is None for row in group)
        yield pa.Table.from_pylist(group, _SCHEMA)


def _row(masks: MaskFile, image: Entry, entries: list[Entry], picture: Picture) -> dict[str, Any]:
    name, status, shown, overlay = image["file_name"], "ok", None, None
    try:
        content, suffix = picture.content(suffix_of(image))
        shown = {"bytes": content, "path": f"{image['id']}{suffix}"}
        overlay = {"bytes": _overlay(picture.pixels(), entries), "path": f"{image['id']}_overlay.jpg"}
    except BadImageError as error:
        log.warning("%s: %s; its row has no picture", name, error.message)
        status = error.status.value
    return {
        "image": shown,
        "overlay": overlay,
        "image_id": image["id"],
        "file_name": name,
        "height": image["height"],
        "width": image["width"],
        "status": status,
        "masks": {
            "id": [entry["id"] for entry in entries],
            "category": [masks.name_of(entry) for entry in entries],
            "score": [score_of(entry) for entry in entries],
            "area_px": [entry["area"] for entry in entries],
            "bbox_xywh": [entry["bbox"] for entry in entries],
            "counts": [mask_of(entry)[0].decode("ascii") for entry in entries],
        },
    }


def _overlay(pixels: Pixels, entries: list[Entry]) -> bytes:
    height, width = pixels.shape[:2]
    small = Thumbnail.fit((height, width), _OVERLAY_SIDE)
    painted = [(small.mask(mask_of(entry)[0]), colour("mask", number)) for number, entry in enumerate(entries)]
    return jpeg(paint(small.pixels(pixels), painted))


def _features() -> dict[str, Any]:
    """The columns' types in the words of the library ``datasets``."""

    def value(kind: str) -> dict[str, str]:
        return {"dtype": kind, "_type": "Value"}

    kinds = {"id": "int64", "category": "string", "score": "float64", "area_px": "int64", "counts": "string"}
    of_masks = {name: {"feature": value(kinds[name]), "_type": "List"} for name in kinds}
    box = {"feature": value("float64"), "length": 4, "_type": "List"}
    of_masks["bbox_xywh"] = {"feature": box, "_type": "List"}
    return {
        "image": {"_type": "Image"},
        "overlay": {"_type": "Image"},
        "image_id": value("int64"),
        "file_name": value("string"),
        "height": value("int32"),
        "width": value("int32"),
        "status": value("string"),
        "masks": {name: of_masks[name] for name in _OBJECTS},
    }
