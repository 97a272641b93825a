"""COCO's panoptic form (https://cocodataset.org/#format-data): a picture of segments an image, and a JSON."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskgrid.config.exports import Order, PanopticOptions
from maskgrid.io.files import atomic_write, write_bytes
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.pictures import Pixels, colour, png
from maskgrid.results.exports.painting import Labels, is_large, label_strips
from maskgrid.results.exports.polygons import spooled_lines
from maskgrid.results.exports.source import FileNames, MaskFile
from maskgrid.results.exports.streamed import write_png


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
            name = f"{names.of(image)}.png"
            (folder / "panoptic" / name).parent.mkdir(parents=True, exist_ok=True)
            segments = _write_picture(folder / "panoptic" / name, image, entries, options.order)
            images.write(dumps(image) + b"\n")
            about = {"image_id": image["id"], "file_name": name, "segments_info": segments}
            annotations.write(dumps(about) + b"\n")
            n_masks, n_hidden = n_masks + len(entries), n_hidden + len(entries) - len(segments)
        categories = [{**one, "isthing": 1, "color": list(colour("category", one["id"]))} for one in masks.categories]
        head = {**masks.head, "categories": categories}
        lists = {"images": spooled_lines(images), "annotations": spooled_lines(annotations)}
        write_document(folder / "panoptic.json", head, lists)
    return {"n_masks": n_masks, "n_hidden": n_hidden}


def _write_picture(path: Path, image: Entry, entries: list[Entry], order: Order) -> list[dict[str, Any]]:
    """Write an image's picture; the segments in it."""
    size_hw, found = (image["height"], image["width"]), _Extents(len(entries))

    def drawn() -> Iterator[Pixels]:
        top = 0
        for labels in label_strips(entries, size_hw, order):
            found.add(labels, top)
            top += len(labels)
            yield _rgb(labels)

    if is_large(size_hw):
        with atomic_write(path) as stream:
            write_png(stream, drawn(), size_hw)
    else:
        write_bytes(path, png(next(drawn())))
    return [_segment(label, entry, found) for label, entry in enumerate(entries, 1) if found.area_px[label]]


def _rgb(labels: Labels) -> Pixels:
    return np.stack([(labels >> shift) & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)


class _Extents:
    """The pixels that each label has, and the box around them, by label; 0 is no mask."""

    def __init__(self, n_masks: int) -> None:
        self.area_px = np.zeros(n_masks + 1, np.int64)
        self.low_xy = np.full((n_masks + 1, 2), np.iinfo(np.int64).max)
        self.high_xy = np.full((n_masks + 1, 2), -1)

    def add(self, labels: Labels, top: int) -> None:
        """Add a strip that begins at a row of the image."""
        ys, xs = np.nonzero(labels)
        values = labels[ys, xs]
        order = np.argsort(values, kind="stable")
        found, starts = np.unique(values[order], return_index=True)
        if not len(found):
            return
        self.area_px[found] += np.diff(starts, append=len(values))
        places = np.stack([xs[order], ys[order] + top], axis=1)
        self.low_xy[found] = np.minimum(self.low_xy[found], np.minimum.reduceat(places, starts))
        self.high_xy[found] = np.maximum(self.high_xy[found], np.maximum.reduceat(places, starts))


def _segment(label: int, entry: Entry, found: _Extents) -> dict[str, Any]:
    (left, top), (right, bottom) = found.low_xy[label].tolist(), found.high_xy[label].tolist()
    return {
        "id": label,
        "category_id": entry["category_id"],
        "area": int(found.area_px[label]),
        "bbox": [left, top, right - left + 1, bottom - top + 1],
        "iscrowd": 0,
        "annotation_id": entry["id"],
    }
