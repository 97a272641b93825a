"""LabelMe's form, which X-AnyLabeling and AnyLabeling read too: a JSON beside each picture."""

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskgrid.config.exports import LabelmeOptions
from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.io.files import write_bytes
from maskgrid.io.json_lines import dumps
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.pictures import png
from maskgrid.masks.windows import decode_window
from maskgrid.results.exports.outlines import centre_outlines, drawn_iou
from maskgrid.results.exports.polygons import Fidelity
from maskgrid.results.exports.source import FileNames, MaskFile, mask_of, place_picture, suffix_of

log = logging.getLogger(__name__)

_VERSION = "5.5.0"


def write_labelme(masks: MaskFile, folder: Path, options: LabelmeOptions) -> dict[str, Any]:
    """Write ``{image}.json`` beside a link to the picture, or a copy.

    A mask's parts share its ``group_id``, the annotation's id. Polygons lose holes; masks lose nothing. LabelMe draws
    the pixels under a polygon's line too, so the line goes through the centres of the outermost pixels.

    Returns:
        The shapes' IoU with the masks, and the number of pictures that are gone.
    """
    names, fidelity, n_gone = FileNames(), Fidelity(), 0
    for image, entries, picture in masks.with_pictures():
        name = names.of(image)
        shapes = [shape for entry in entries for shape in _shapes(masks, entry, options, fidelity)]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            shown = place_picture(picture, folder / name, suffix_of(image), options.pictures).name
        except BadImageError as error:
            log.warning("%s: %s", image["file_name"], error.message)
            n_gone, shown = n_gone + 1, Path(image["file_name"]).name
        content = {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": shown,
            "imageData": None,
            "imageHeight": image["height"],
            "imageWidth": image["width"],
        }
        write_bytes(folder / f"{name}.json", dumps(content) + b"\n")
    return {**fidelity.as_dict(), "n_pictures_gone": n_gone}


def _shapes(masks: MaskFile, entry: Entry, options: LabelmeOptions, fidelity: Fidelity) -> Iterator[dict[str, Any]]:
    about = {"label": masks.name_of(entry), "group_id": entry["id"], "description": "", "flags": {}}
    counts, size_hw = mask_of(entry)
    if not rle.area_px(counts, size_hw):
        fidelity.add(1.0)
        return
    if options.shapes == "mask":
        fidelity.add(1.0)
        yield {**about, **_exact(counts, size_hw)}
        return
    window, (top, left) = decode_window(counts, size_hw)
    lines = centre_outlines(window, options.tolerance_px, (left, top))
    fidelity.add(drawn_iou(lines, counts, size_hw))
    for line in lines:
        yield {**about, "points": line.tolist(), "shape_type": "polygon", "mask": None}


def _exact(counts: bytes, size_hw: tuple[int, int]) -> dict[str, Any]:
    """The mask's box, both corners included, and its pixels in it, as PNG."""
    part, (top, left) = decode_window(counts, size_hw)
    height, width = part.shape
    content = base64.b64encode(png(part.astype(np.uint8) * 255)).decode("ascii")
    points = [[left, top], [left + width - 1, top + height - 1]]
    return {"points": points, "shape_type": "mask", "mask": content}
