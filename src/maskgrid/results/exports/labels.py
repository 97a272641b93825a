"""A picture of labels for each image, and a table from label to annotation: napari, Fiji, scikit-image."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from maskgrid.config.exports import LabelsOptions, Order
from maskgrid.io.files import atomic_write, write_bytes
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.pictures import png
from maskgrid.results.exports.painting import Labels, is_large, label_strips, visible_px
from maskgrid.results.exports.source import FileNames, MaskFile, csv_lines, score_of
from maskgrid.results.exports.streamed import write_png, write_tiff

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
            name, visible = _write_picture(folder, names.of(image), image, entries, options.order)
            stream.write(csv_lines(_rows(masks, name, image, entries, visible)))
            n_masks += len(entries)
            n_cut += sum(px < entry["area"] for px, entry in zip(visible, entries, strict=True))
    return {"n_masks": n_masks, "n_partly_hidden": n_cut}


def _write_picture(folder: Path, stem: str, image: Entry, entries: list[Entry], order: Order) -> tuple[str, list[int]]:
    """Write an image's picture: its name, and how many pixels each mask has in it."""
    size_hw, n_masks = (image["height"], image["width"]), len(entries)
    visible = np.zeros(n_masks, np.int64)

    def counted() -> Iterator[Labels]:
        for labels in label_strips(entries, size_hw, order):
            visible[:] += visible_px(labels, n_masks)
            yield labels

    if not is_large(size_hw):
        name, content = label_file(stem, next(counted()), n_masks)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, content)
        return name, visible.tolist()
    is_png = n_masks <= _MOST_16_BIT
    name = f"{stem}.png" if is_png else f"{stem}.tif"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / name) as stream:
        strips = (labels.astype(np.uint16 if is_png else np.int32) for labels in counted())
        (write_png if is_png else write_tiff)(stream, strips, size_hw)
    return name, visible.tolist()


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
