"""A picture of labels for each image, and a table from label to annotation: napari, Fiji, scikit-image."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from maskgrid.config.exports import LabelsOptions
from maskgrid.io.files import atomic_write, write_bytes
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.pictures import png
from maskgrid.results.exports.painting import Labels, paint_labels, visible_px
from maskgrid.results.exports.source import FileNames, MaskFile, csv_lines, score_of

_MOST_16_BIT = 65_535
_COLUMNS = (
    *("label_file", "label", "annotation_id", "image_id", "file_name", "category", "score", "area_px", "visible_px"),
    *("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
)


def write_labels(masks: MaskFile, folder: Path, options: LabelsOptions) -> dict[str, Any]:
    """Write a picture for each image, and ``labels.csv``, a row a mask.

    A pixel's value is a mask's place in its image, from 1; 0 is no mask. ``visible_px`` is what other masks leave of a
    mask: 0 for one that lies wholly under others.

    Returns:
        Number of images, masks and masks that lost pixels.
    """
    names, n_masks, n_cut = FileNames(), 0, 0
    with atomic_write(folder / "labels.csv") as stream:
        stream.write(csv_lines([_COLUMNS]))
        for image, entries in masks.images():
            labels = paint_labels(entries, (image["height"], image["width"]), options.order)
            name, content = label_file(names.of(image), labels, len(entries))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, content)
            visible = visible_px(labels, len(entries))
            stream.write(csv_lines(_rows(masks, name, image, entries, visible)))
            n_masks += len(entries)
            n_cut += sum(px < entry["area"] for px, entry in zip(visible, entries, strict=True))
    return {"n_masks": n_masks, "n_partly_hidden": n_cut}


def label_file(name: str, labels: Labels, n_masks: int) -> tuple[str, bytes]:
    """A picture's name and content: a PNG of 16 bits, or a TIFF of 32 bits for more masks."""
    if n_masks <= _MOST_16_BIT:
        return f"{name}.png", png(PIL.Image.fromarray(labels.astype(np.uint16)))
    stream = io.BytesIO()
    PIL.Image.fromarray(labels.astype(np.int32)).save(stream, "TIFF", compression="tiff_adobe_deflate")
    return f"{name}.tif", stream.getvalue()


def _rows(
    masks: MaskFile, name: str, image: Entry, entries: list[Entry], visible: list[int]
) -> Iterator[tuple[Any, ...]]:
    for label, (entry, px) in enumerate(zip(entries, visible, strict=True), 1):
        about = (name, label, entry["id"], image["id"], image["file_name"], masks.name_of(entry), score_of(entry))
        yield (*about, entry["area"], px, *entry["bbox"])
