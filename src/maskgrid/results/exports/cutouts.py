"""Each mask cut out of its picture: PNGs with transparency, in a tar archive."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from maskgrid.config.exports import NoOptions
from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.dataset.pixels.windows import Picture as OpenedPicture
from maskgrid.io.files import atomic_write
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.pictures import png
from maskgrid.masks.windows import decode_window
from maskgrid.results.exports.archives import new_archive
from maskgrid.results.exports.source import FileNames, MaskFile, csv_lines, mask_of, score_of

log = logging.getLogger(__name__)

_COLUMNS = (
    *("cutout", "annotation_id", "image_id", "file_name", "category", "score", "area_px"),
    *("bbox_x", "bbox_y", "bbox_w", "bbox_h", "status", "message"),
)


def write_cutouts(masks: MaskFile, folder: Path, options: NoOptions) -> dict[str, Any]:  # noqa: ARG001
    """Write ``cutouts.tar``, with ``{image}/{annotation id}.png`` as large as the mask's box, and ``cutouts.csv``.

    The table has a row for every mask; where the picture is gone, ``status`` says so and there is no cutout.

    Returns:
        Number of cutouts and of masks without one.
    """
    names, n_cut, n_without = FileNames(), 0, 0
    with new_archive(folder / "cutouts.tar") as add, atomic_write(folder / "cutouts.csv") as table:
        table.write(csv_lines([_COLUMNS]))
        for image, entries, picture in masks.with_pictures():
            name, opened, problem = names.of(image), None, ("ok", "")
            try:
                opened = picture.opened() if entries else None
            except BadImageError as error:
                log.warning("%s: %s; its masks have no cutouts", image["file_name"], error.message)
                problem = (error.status.value, error.message)
            for entry in entries:
                cutout = _cutout(opened, entry) if opened is not None else None
                status = ("empty_mask", "the mask has no pixels") if opened is not None and not cutout else problem
                file = f"{name}/{entry['id']}.png" if cutout else ""
                if cutout:
                    add(file, cutout)
                n_cut, n_without = n_cut + bool(cutout), n_without + (not cutout)
                about = (file, entry["id"], image["id"], image["file_name"], masks.name_of(entry), score_of(entry))
                table.write(csv_lines([(*about, entry["area"], *entry["bbox"], *status)]))
            if opened is not None:
                opened.close()
    return {"n_cutouts": n_cut, "n_without": n_without}


def _cutout(picture: OpenedPicture, entry: Entry) -> bytes:
    """A mask's box as RGBA PNG, transparent and black outside the mask; empty for a mask without pixels."""
    counts, size_hw = mask_of(entry)
    if not rle.area_px(counts, size_hw):
        return b""
    window, (top, left) = decode_window(counts, size_hw)
    inside = window[..., None]
    colours = picture.read((left, top, left + window.shape[1], top + window.shape[0]))
    return png(np.concatenate([colours * inside, inside.astype(np.uint8) * 255], axis=-1))
