"""Ultralytics' segmentation form (https://docs.ultralytics.com/datasets/segment): a text file an image."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from maskgrid.config.exports import YoloOptions
from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.io.files import atomic_write, write_bytes
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.windows import decode_window
from maskgrid.results.exports.outlines import centre_outlines, drawn_iou, joined
from maskgrid.results.exports.polygons import Fidelity
from maskgrid.results.exports.source import FileNames, MaskFile, mask_of, place_picture, suffix_of

log = logging.getLogger(__name__)


def write_yolo(masks: MaskFile, folder: Path, options: YoloOptions) -> dict[str, Any]:
    """Write ``data.yaml``, ``train.txt``, ``val.txt``, ``images/`` and ``labels/``.

    A mask is one line, parts are joined and holes lost; Ultralytics draws the mask again from the pixels' centres. An
    image whose picture is gone is in no list.

    Returns:
        The polygons' IoU with the masks, number of images in each list and of pictures that are gone.
    """
    classes = {one["id"]: number for number, one in enumerate(masks.categories)}
    names, fidelity, n_gone, counts = FileNames(), Fidelity(), 0, {"train": 0, "val": 0}
    with atomic_write(folder / "train.txt") as train, atomic_write(folder / "val.txt") as val:
        for image, entries, picture in masks.with_pictures():
            name = names.of(image)
            lines = [line for entry in entries if (line := _line(entry, classes, options.tolerance_px, fidelity))]
            path = folder / "labels" / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, "".join(lines).encode())
            try:
                placed = place_picture(picture, folder / "images" / name, suffix_of(image), options.pictures)
            except BadImageError as error:
                log.warning("%s: %s; it is in no list", image["file_name"], error.message)
                n_gone += 1
                continue
            entry = f"./{placed.relative_to(folder).as_posix()}\n".encode()
            lists = _lists(image["file_name"], options.val_fraction)
            for listed, stream in (("train", train), ("val", val)):
                if listed in lists:
                    stream.write(entry)
                    counts[listed] += 1
    about = {"train": "train.txt", "val": "val.txt", "names": dict(enumerate(map(_class_name, masks.categories)))}
    write_bytes(folder / "data.yaml", yaml.safe_dump(about, sort_keys=False, allow_unicode=True).encode())
    return {**fidelity.as_dict(), "n_train": counts["train"], "n_val": counts["val"], "n_pictures_gone": n_gone}


def _class_name(category: Entry) -> str:
    return str(category.get("name", category["id"]))


def _lists(image_key: str, val_fraction: float) -> tuple[str, ...]:
    """The lists that an image is in; another image never moves it."""
    if not val_fraction:
        return ("train", "val")
    place = int.from_bytes(hashlib.sha256(image_key.encode()).digest()[:8]) / 2**64
    return ("val",) if place < val_fraction else ("train",)


def _line(entry: Entry, classes: dict[int, int], tolerance_px: float, fidelity: Fidelity) -> str:
    """The class, then x and y of each corner in 0..1; empty for an empty mask."""
    counts, size_hw = mask_of(entry)
    if not rle.area_px(counts, size_hw):
        return ""
    window, (top, left) = decode_window(counts, size_hw)
    line = joined(centre_outlines(window, tolerance_px, (left, top)))
    fidelity.add(drawn_iou([line], counts, size_hw))
    numbers = (line + 0.5) / np.array(size_hw[::-1])
    return f"{classes[entry['category_id']]} {' '.join(f'{number:.7g}' for number in numbers.ravel().tolist())}\n"
