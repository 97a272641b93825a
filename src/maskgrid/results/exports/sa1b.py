"""Masks in the form of SA-1B: a JSON file an image, in a tar archive as SA-1B is published.

The form is that of the dataset's page (https://ai.meta.com/datasets/segment-anything/): ``image`` with ``image_id``,
``width``, ``height``, ``file_name``; ``annotations`` with ``id``, ``segmentation``, ``bbox`` (XYWH), ``area``,
``predicted_iou``, ``stability_score``, ``point_coords``, ``crop_box`` (XYWH).
"""

import io
import tarfile
from pathlib import Path
from typing import Any

from maskgrid.io.files import atomic_write
from maskgrid.io.json_lines import dumps
from maskgrid.io.progress import shown
from maskgrid.masks.coco_reading import Entry, compressed, read_head, read_images

_FIELDS = ("id", "segmentation", "bbox", "area", "predicted_iou", "stability_score", "point_coords", "crop_box")


def write_sa1b(source: Path, path: Path, n_images: int) -> int:
    """Write a tar archive of ``sa_{image id}.json``, in the order of ids.

    Names of images, which may lie in folders, are in ``image.file_name``; ``bbox`` is the mask's true extent, where
    SA-1B's own boxes are a pixel short.

    Args:
        source: the COCO file of a setting.
        path: where to; the same bytes for the same source.
        n_images: for the progress.

    Returns:
        How many masks were written.

    Raises:
        maskgrid.io.errors.UserError: the source is missing or incomplete.
    """
    read_head(source)
    n_masks = 0
    with atomic_write(path) as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for image, annotations in shown(read_images(source), n_images, "SA-1B", "images"):
            content = dumps(sa1b_record(image, annotations)) + b"\n"
            # Time, owner and rights are the defaults of TarInfo and not those of this machine.
            member = tarfile.TarInfo(f"sa_{image['id']}.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            n_masks += len(annotations)
    return n_masks


def sa1b_record(image: Entry, annotations: list[Entry]) -> dict[str, Any]:
    """One image's file."""
    about = {"image_id": image["id"], **{name: image[name] for name in ("width", "height", "file_name")}}
    masks = [
        {name: entry[name] for name in _FIELDS} | {"segmentation": compressed(entry["segmentation"])}
        for entry in annotations
    ]
    return {"image": about, "annotations": masks}
