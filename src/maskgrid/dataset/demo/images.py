"""The demo's dataset: drawn scenes with their ground truth, and photographs from scikit-image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from maskgrid.dataset.demo.records import Scene
from maskgrid.io.files import write_bytes
from maskgrid.masks import rle
from maskgrid.masks.pictures import png
from maskgrid.plan.layout import GROUND_TRUTH

# Raise it when the images change, so that an index of the old ones is rebuilt.
DEMO_VERSION = "1"
# The folder of the demo's videos, which are drawn below its images when tracking asks for them.
CLIPS = "clips"

# Below 1,000,000: scenes that the demo model was not trained on.
_SEEDS = range(900_000, 900_008)
_SCENE_SIZE_HW = (256, 256)
_PHOTOS = ("astronaut", "chelsea", "coffee", "coins", "rocket")


def write_demo(folder: Path) -> None:
    """Write the demo's images and, as COCO, the ground truth of the drawn ones.

    Args:
        folder: for ``scenes/*.png``, ``photos/*.png`` and ``ground_truth.json``. Identical files that are already
            there are not rewritten, so that an index of the folder stays valid.
    """
    from maskgrid.dataset.demo import draw_scene, scenes_as_coco

    scenes = [draw_scene(seed, _SCENE_SIZE_HW) for seed in _SEEDS]
    names = [f"scenes/{number:02d}.png" for number in range(1, len(scenes) + 1)]
    for name, scene in zip(names, scenes, strict=True):
        _write_once(folder / name, png(scene.image))
    for name, pixels in _photos().items():
        _write_once(folder / "photos" / f"{name}.png", png(pixels))
    _write_once(folder / GROUND_TRUTH, orjson.dumps(scenes_as_coco(scenes, names), option=orjson.OPT_INDENT_2))


def _photos() -> dict[str, NDArray[np.uint8]]:
    import skimage.data

    photos: dict[str, NDArray[np.uint8]] = {name: getattr(skimage.data, name)() for name in _PHOTOS}
    photos["motorcycle"] = skimage.data.stereo_motorcycle()[0]  # type: ignore[no-untyped-call]
    return photos


def _write_once(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)


def scenes_as_coco(scenes: Sequence[Scene], file_names: Sequence[str]) -> dict[str, Any]:
    """Convert the masks of scenes to a COCO dictionary.

    Args:
        scenes: one per image.
        file_names: the images' names, in the same order.

    Returns:
        ``images``, ``annotations`` and ``categories``; ids count from 1 over all scenes. Segmentations are
        compressed RLE with ``counts`` as text; ``bbox`` is the mask's true extent as x, y, width, height;
        ``part_of`` is the annotation id of the whole that a mask belongs to, or None.
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
        size_hw, counts = mask.shape, rle.encode(mask)
        found.append(
            {
                "id": first_id + index,
                "image_id": image_id,
                "category_id": 1,
                "segmentation": rle.compressed(counts, size_hw),
                "bbox": rle.true_box_xywh(counts, size_hw),
                "area": rle.area_px(counts, size_hw),
                "iscrowd": 0,
                "part_of": None if whole < 0 else first_id + int(whole),
            }
        )
    return found
