"""COCO's panoptic form (https://cocodataset.org/#format-data): a picture of segments an image, and a JSON."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.config.exports import PanopticOptions
from maskgrid.io.files import write_bytes
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.pictures import Pixels, colour, png
from maskgrid.results.exports.painting import Labels, paint_labels
from maskgrid.results.exports.polygons import spooled_lines
from maskgrid.results.exports.source import FileNames, MaskFile


def write_panoptic(masks: MaskFile, folder: Path, options: PanopticOptions) -> dict[str, Any]:
    """Write ``panoptic.json`` and ``panoptic/``, a PNG an image.

    A segment's id is the mask's place in its image, from 1, and R + 256 G + 256^2 B in the PNG. ``area`` and ``bbox``
    are those of the pixels in the picture; masks that lie wholly under others are no segments.

    Returns:
        Number of masks and of hidden ones.
    """
    names, n_masks, n_hidden = FileNames(), 0, 0
    with tempfile.TemporaryFile(dir=folder) as images, tempfile.TemporaryFile(dir=folder) as annotations:
        for image, entries in masks.images():
            labels = paint_labels(entries, (image["height"], image["width"]), options.order)
            name = f"{names.of(image)}.png"
            (folder / "panoptic" / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / "panoptic" / name, png(_rgb(labels)))
            segments = _segments(entries, labels)
            images.write(dumps(image) + b"\n")
            about = {"image_id": image["id"], "file_name": name, "segments_info": segments}
            annotations.write(dumps(about) + b"\n")
            n_masks, n_hidden = n_masks + len(entries), n_hidden + len(entries) - len(segments)
        categories = [{**one, "isthing": 1, "color": list(colour("category", one["id"]))} for one in masks.categories]
        head = {**masks.head, "categories": categories}
        lists = {"images": spooled_lines(images), "annotations": spooled_lines(annotations)}
        write_document(folder / "panoptic.json", head, lists)
    return {"n_masks": n_masks, "n_hidden": n_hidden}


def _rgb(labels: Labels) -> Pixels:
    return np.stack([(labels >> shift) & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


def _segments(entries: list[Entry], labels: Labels) -> list[dict[str, Any]]:
    rows, columns = np.nonzero(labels)
    values = labels[rows, columns]
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    parts = zip(found.tolist(), np.split(rows[order], starts[1:]), np.split(columns[order], starts[1:]), strict=True)
    return [_segment(label, entries[label - 1], ys, xs) for label, ys, xs in parts] if len(found) else []


def _segment(label: int, entry: Entry, ys: NDArray[np.intp], xs: NDArray[np.intp]) -> dict[str, Any]:
    left, top = int(xs.min()), int(ys.min())
    return {
        "id": label,
        "category_id": entry["category_id"],
        "area": len(xs),
        "bbox": [left, top, int(xs.max()) - left + 1, int(ys.max()) - top + 1],
        "iscrowd": 0,
        "annotation_id": entry["id"],
    }
