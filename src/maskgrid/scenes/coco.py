"""The ground truth of drawn scenes as a COCO dataset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskgrid.scenes.records import Scene


def scenes_as_coco(scenes: Sequence[Scene], file_names: Sequence[str]) -> dict[str, Any]:
    """Write the masks of scenes as a COCO dictionary.

    Args:
        scenes: the scenes, one for each image.
        file_names: the images' names, in the same order.

    Returns:
        ``images``, ``annotations`` and ``categories``; ids count from 1 over all scenes. Segmentations are
        compressed RLE with ``counts`` as text; ``bbox`` is the mask's true extent as x, y, width, height;
        ``part_of`` is the id of the whole that a mask is a part of, or None.
    """
    images = []
    annotations: list[dict[str, Any]] = []
    for image_id, (scene, name) in enumerate(zip(scenes, file_names, strict=True), start=1):
        height, width = scene.image.shape[:2]
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        annotations.extend(_annotations(scene, image_id, first_id=len(annotations) + 1))
    categories = [{"id": 1, "name": "object"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    found = []
    for index, (mask, whole) in enumerate(zip(scene.masks, scene.part_of, strict=True)):
        rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        found.append(
            {
                "id": first_id + index,
                "image_id": image_id,
                "category_id": 1,
                "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
                "bbox": [float(value) for value in coco_mask.toBbox(rle)],
                "area": int(coco_mask.area(rle)),
                "iscrowd": 0,
                "part_of": None if whole < 0 else first_id + int(whole),
            }
        )
    return found
