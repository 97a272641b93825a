"""Seconds of CPU and peak memory of each export, for two numbers of images: memory must not follow the number.

Writes made-up pictures of 640 x 480, then each form in a process of its own:

    python benchmarks/exports.py --images 10 1000
    python benchmarks/exports.py --images 10 10000 --masks 1 --forms yolo labels
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa

from maskgrid.config.exports import FOLDER_FORMS, OPTIONS
from maskgrid.dataset.tables import FILES_SCHEMA
from maskgrid.io.files import atomic_folder
from maskgrid.io.json_lines import write_document
from maskgrid.io.tables import write_table
from maskgrid.masks import rle
from maskgrid.results.exports.polygons import write_polygons
from maskgrid.results.exports.sa1b import write_sa1b
from maskgrid.results.exports.source import MaskFile
from maskgrid.results.exports.stage import FOLDER_WRITERS

SIZE_HW = (480, 640)


def write_inputs(folder: Path, n_images: int, n_masks: int) -> None:
    """Write a picture, a table that gives it to all images, and a COCO file; 20 different sets of masks repeat."""
    random = np.random.default_rng(0)
    picture = folder / "picture.jpg"
    folder.mkdir()
    PIL.Image.fromarray(random.integers(0, 255, (*SIZE_HW, 3), np.uint8)).save(picture, quality=80)
    sets = [[_mask(random) for _ in range(n_masks)] for _ in range(20)]
    images = [
        {"id": n, "file_name": f"{n:08}.jpg", "width": SIZE_HW[1], "height": SIZE_HW[0], "exif_orientation": 1}
        for n in range(1, n_images + 1)
    ]
    entries = (
        json.dumps({"id": n_masks * (image["id"] - 1) + at, "image_id": image["id"], **one}).encode()
        for image in images
        for at, one in enumerate(sets[image["id"] % 20], 1)
    )
    head = {"info": {"fingerprint": "f"}, "licenses": [], "categories": [{"id": 1, "name": "object"}]}
    lists = {"images": (json.dumps(image).encode() for image in images), "annotations": entries}
    write_document(folder / "masks.json", head, lists)
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    about = {"status": "ok", "path": os.fsencode(picture), "sha256": digest, "size_bytes": picture.stat().st_size}
    rows = [{"image_key": image["file_name"], **about} for image in images]
    write_table(folder / "files.parquet", pa.Table.from_pylist(rows, FILES_SCHEMA), {"fingerprint": "f"})


def _mask(random: np.random.Generator) -> dict[str, object]:
    """A ragged disk, with a hole in every second."""
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    radius = random.uniform(5, 80)
    distance = np.hypot(y - random.uniform(0, SIZE_HW[0]), x - random.uniform(0, SIZE_HW[1]))
    distance = distance + 4 * np.sin(np.arctan2(y - 240, x - 320) * 40)
    inside = (distance < radius) & ((distance > radius / 3) | (random.random() < 0.5))
    code = rle.encode(inside)
    return {
        "category_id": 1,
        "segmentation": rle.compressed(code, SIZE_HW),
        "area": int(inside.sum()),
        "bbox": rle.true_box_xywh(code, SIZE_HW),
        **{"iscrowd": 0, "score": 0.9, "predicted_iou": 0.9, "stability_score": 0.95},
        **{"point_coords": [[0, 0]], "crop_box": [0, 0, SIZE_HW[1], SIZE_HW[0]]},
    }


def export(folder: Path, form: str, n_images: int, n_masks: int) -> None:
    """Write one form, and print seconds of CPU and the peak in MB."""
    source = folder / "masks.json"
    if form == "inputs":
        write_inputs(folder, n_images, n_masks)
    elif form == "sa1b":
        write_sa1b(source, folder / "out.tar", n_images)
    elif form == "polygons":
        write_polygons(source, folder / "out.json", n_images)
    elif form != "nothing":
        with atomic_folder(folder / form) as written:
            masks = MaskFile(source, folder / "files.parquet", n_images, 100_000_000)
            FOLDER_WRITERS[form](masks, written, OPTIONS[form]())
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{used.ru_utime + used.ru_stime:.1f} {used.ru_maxrss / 1024:.0f}")


def main() -> None:
    """Print a row a form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--masks", type=int, default=100, help="of each image")
    parser.add_argument("--forms", nargs="+", default=["sa1b", "polygons", *FOLDER_FORMS])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        folder, form, n_images = given.one
        export(Path(folder), form, int(n_images), given.masks)
        return
    print("form            " + "".join(f"{n * given.masks:>12,} masks: s, MB" for n in given.images))
    with tempfile.TemporaryDirectory() as root:
        for n_images in given.images:
            _measured(Path(root) / str(n_images), "inputs", n_images, given.masks)
        for form in ("nothing", *given.forms):
            cells = [_measured(Path(root) / str(n), form, n, given.masks) for n in given.images]
            print(f"{form:16}" + "".join(f"{cell:>25}" for cell in cells), flush=True)


# A process of its own also for the inputs: Linux hands a parent's peak on to its children.
def _measured(folder: Path, form: str, n_images: int, n_masks: int) -> str:
    command = [sys.executable, __file__, "--masks", str(n_masks), "--one", str(folder), form, str(n_images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
