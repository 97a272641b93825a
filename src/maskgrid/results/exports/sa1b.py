"""Masks in SA-1B's form: one JSON file per image, in a tar archive as SA-1B is published.

The form follows the dataset's page (https://ai.meta.com/datasets/segment-anything/): ``image`` with ``image_id``,
``width``, ``height``, ``file_name``; ``annotations`` with ``id``, ``segmentation``, ``bbox`` (XYWH), ``area``,
``predicted_iou``, ``stability_score``, ``point_coords``, ``crop_box`` (XYWH).
"""

from pathlib import Path
from typing import Any

from maskgrid.io.json_lines import dumps
from maskgrid.io.progress import shown
from maskgrid.masks.coco_reading import Entry, compressed, read_head, read_images
from maskgrid.results.exports.archives import new_archive
from maskgrid.results.notes import tar_headers

_FIELDS = ("id", "segmentation", "bbox", "area", "predicted_iou", "stability_score", "point_coords", "crop_box")


def write_sa1b(source: Path, path: Path, n_images: int) -> int:
    """Write a tar archive of ``sa_{image id}.json``, in the order of ids; its global header has the masks' fingerprint.

    ``image.file_name`` has the image's name, which may include folders. ``bbox`` is the mask's true extent; SA-1B's own
    boxes are a pixel short.

    Args:
        source: the COCO file of a setting.
        path: the output file; the same source gives the same bytes.
        n_images: number of images, for the progress bar.

    Returns:
        Number of masks written.

    Raises:
        maskgrid.io.errors.UserError: the source is missing or incomplete.
    """
    headers = tar_headers(read_head(source)["info"].get("fingerprint"))
    n_masks = 0
    with new_archive(path, headers) as add:
        for image, annotations in shown(read_images(source), n_images, "SA-1B", "images"):
            add(f"sa_{image['id']}.json", dumps(sa1b_record(image, annotations)) + b"\n")
            n_masks += len(annotations)
    return n_masks


def sa1b_record(image: Entry, annotations: list[Entry]) -> dict[str, Any]:
    """The content of one image's file."""
    about = {"image_id": image["id"], **{name: image[name] for name in ("width", "height", "file_name")}}
    masks = [
        {name: entry[name] for name in _FIELDS} | {"segmentation": compressed(entry["segmentation"])}
        for entry in annotations
    ]
    return {"image": about, "annotations": masks}
