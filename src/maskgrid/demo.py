"""The demo's dataset: drawn scenes with their ground truth, and photographs that scikit-image carries."""

import io
from pathlib import Path

import numpy as np
import orjson
import PIL.Image
from numpy.typing import NDArray

from maskgrid.files import write_bytes

# Goes up when the pictures change, so that an index of the old ones is made anew.
DEMO_VERSION = "1"
GROUND_TRUTH = "ground_truth.json"

# Below 1,000,000: scenes that the demo model was not trained on.
_SEEDS = range(900_000, 900_008)
_SCENE_SIZE_HW = (256, 256)
_PHOTOS = ("astronaut", "chelsea", "coffee", "coins", "rocket")


def write_demo(folder: Path) -> None:
    """Write the demo's pictures and, as COCO, the ground truth of the drawn ones.

    Args:
        folder: gets ``scenes/*.png``, ``photos/*.png`` and ``ground_truth.json``. What is there already stays as it
            is, so that an index of the folder stays valid.
    """
    from maskgrid.scenes import draw_scene, scenes_as_coco

    scenes = [draw_scene(seed, _SCENE_SIZE_HW) for seed in _SEEDS]
    names = [f"scenes/{number:02d}.png" for number in range(1, len(scenes) + 1)]
    for name, scene in zip(names, scenes, strict=True):
        _write_once(folder / name, _png(scene.image))
    for name, pixels in _photos().items():
        _write_once(folder / "photos" / f"{name}.png", _png(pixels))
    _write_once(folder / GROUND_TRUTH, orjson.dumps(scenes_as_coco(scenes, names), option=orjson.OPT_INDENT_2))


def _photos() -> dict[str, NDArray[np.uint8]]:
    import skimage.data

    photos: dict[str, NDArray[np.uint8]] = {name: getattr(skimage.data, name)() for name in _PHOTOS}
    photos["motorcycle"] = skimage.data.stereo_motorcycle()[0]  # type: ignore[no-untyped-call]
    return photos


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def _write_once(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)
