"""COCO annotations: the entries of the file, as JSON.

The fields are COCO's, with sam2's words beside them. Boxes are the masks' true extent, where sam2's own are a
pixel short, and ids start at 1, because evaluation takes an annotation 0 for none.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import orjson

from maskgrid import rle
from maskgrid.kept import KeptMasks
from maskgrid.records import xywh
from maskgrid.settings import Setting

CATEGORY = {"id": 1, "name": "object", "supercategory": "object"}


def dumps(entry: dict[str, Any] | list[Any]) -> bytes:
    """JSON on one line; numpy's float32 as the shortest decimals that read back to the same float32."""
    return orjson.dumps(entry, option=orjson.OPT_SERIALIZE_NUMPY)


def info(setting: Setting, checkpoint_id: str, fingerprint: str | None = None) -> dict[str, Any]:
    """What the file is and which setting it holds; no time, so that equal masks give equal files."""
    return {
        "description": "SAM 2 automatic masks, made by maskgrid",
        "maskgrid_version": maskgrid_version(),
        "setting_id": setting.id,
        "setting_names": list(setting.names),
        "checkpoint_id": checkpoint_id,
        "parameters": setting.parameters(),
        "fingerprint": fingerprint,
    }


def maskgrid_version() -> str:
    """The installed version of maskgrid."""
    try:
        return version("maskgrid")
    except PackageNotFoundError:  # run from a checkout without an installation
        return "unknown"


def image_entry(image_id: int, row: dict[str, Any]) -> dict[str, Any]:
    """An entry of ``images`` from a row of ``images.parquet``; sizes are as displayed, which masks fit."""
    return {
        "id": image_id,
        "file_name": row["image_key"],
        "width": row["width"],
        "height": row["height"],
        "sha256": row["sha256"],
        "exif_orientation": row["exif_orientation"],
    }


def annotation_entries(
    masks: KeptMasks, image_id: int, size_hw: tuple[int, int], output_mode: str
) -> list[dict[str, Any]]:
    """The entries of ``annotations`` of one image, still without their own ``id``.

    Args:
        masks: the masks.
        image_id: the image's id in this file.
        size_hw: the image's height and width in pixels.
        output_mode: ``uncompressed_rle`` gives lists of runs. ``coco_rle`` gives COCO's compressed code, and
            so does ``binary_mask``, as JSON has no form for arrays of pixels.

    Raises:
        ValueError: a mask is not of the image's size, or a score is no number.
    """
    if not (np.isfinite(masks.predicted_iou).all() and np.isfinite(masks.stability_score).all()):
        raise ValueError(f"{masks.image_key}: a score is not a finite number")
    form = rle.uncompressed if output_mode == "uncompressed_rle" else rle.compressed
    rle.check_all(masks.counts, size_hw)
    boxes_xywh, areas_px = rle.true_boxes_xywh(masks.counts, size_hw), masks.area_px.tolist()
    entries = []
    for index, counts in enumerate(masks.counts):
        scores = {
            "predicted_iou": masks.predicted_iou[index],
            "stability_score": masks.stability_score[index],
        }
        entries.append(
            {
                "image_id": image_id,
                "category_id": CATEGORY["id"],
                "segmentation": form(counts, size_hw),
                "area": areas_px[index],
                "bbox": boxes_xywh[index],
                "iscrowd": 0,
                "score": masks.predicted_iou[index],
                **scores,
                "point_coords": masks.point_xy[index : index + 1],
                "crop_box": xywh(masks.crop_box_xyxy[index]),
                "attributes": scores,
            }
        )
    return entries
