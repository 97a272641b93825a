"""Make the figures of docs/microscopy.md and docs/maps.md: made-up files, as maskgrid reads them, with their masks.

python scripts/deep_figures.py docs/images
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import tifffile
import torch
from docs_figures import BLUE, ORANGE, SIDE, enlarge, label
from numpy.typing import NDArray

from maskgrid import MaskGenerator, load_model
from maskgrid.config.pixels import PixelsConfig
from maskgrid.dataset.demo import draw_scene
from maskgrid.dataset.georeference import Georeference, read_georeference
from maskgrid.dataset.pixels.images import rgb_pixels
from maskgrid.io.wording import count
from maskgrid.masks.pictures import Pixels, grid, jpeg, tint
from maskgrid.plan.tiles import tile_boxes
from maskgrid.results.exports.outlines import polygons_with_holes

SEED, SIZE_HW, TILE = 9_000_002, (256, 256), (160, 64)
DEMO = {"points_per_side": 24, "pred_iou_thresh": 0.7, "stability_score_thresh": 0.85, "box_nms_thresh": 0.5}
LARGEST_FRAC, LEAST_PX = 0.1, 60  # as filters.max_area_frac and min_area_px in the pages' configs
COLOURS = (BLUE, ORANGE, (0, 200, 120), (230, 60, 160))
# GeoTIFF's tags: pixels of 10 m, the upper left corner, and the code of UTM 33 N.
PLACE = [
    (33550, "d", 3, (10.0, 10.0, 0.0), True),
    (33922, "d", 6, (0, 0, 0, 400000.0, 5600000.0, 0), True),
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]


def main(folder: Path) -> None:
    """Write the figures into a folder."""
    model = load_model("demo", device="cpu")
    with tempfile.TemporaryDirectory() as work:
        figures = {"microscopy": microscopy(Path(work), model), "maps": maps(Path(work), model)}
    for name, tiles in figures.items():
        sheet = grid([np.asarray(tile) for tile in tiles], len(tiles), gap_px=10)
        (folder / f"{name}.jpg").write_bytes(jpeg(sheet, quality=85))


def microscopy(work: Path, model: torch.nn.Module) -> list[PIL.Image.Image]:
    """Draw a picture of 12 bits of which few are used: by the type's range, stretched, and with masks."""
    tifffile.imwrite(work / "cells.tif", cells(), photometric="minisblack")
    dark = rgb_pixels(work / "cells.tif", pixels=PixelsConfig(stretch="none"))
    shown = rgb_pixels(work / "cells.tif")
    masks = medium(MaskGenerator(model, **DEMO).generate(shown))
    return [
        label(enlarge(dark), "12 bits in 16, stretch: none"),
        label(enlarge(shown), "stretch: percentile, the default"),
        label(enlarge(painted(shown, masks)), count(len(masks), "mask")),
    ]


def maps(work: Path, model: torch.nn.Module) -> list[PIL.Image.Image]:
    """Draw a GeoTIFF with its tiles, with masks, and the masks' polygons on the map."""
    scene = draw_scene(SEED, SIZE_HW).image
    tifffile.imwrite(work / "scene.tif", scene, photometric="rgb", extratags=PLACE)
    shown = rgb_pixels(work / "scene.tif")
    tiles = enlarge(shown)
    for number, box in enumerate(tile_boxes(SIZE_HW, *TILE)):
        corners = (np.array(box) * SIDE / SIZE_HW[0]).tolist()
        PIL.ImageDraw.Draw(tiles).rectangle(
            (corners[0] + number, corners[1] + number, corners[2] - 1 - number, corners[3] - 1 - number),
            outline=COLOURS[number % 4],
            width=2,
        )
    masks = medium(MaskGenerator(model, **DEMO, tile_size_px=TILE[0], tile_overlap_px=TILE[1]).generate(shown))
    with (work / "scene.tif").open("rb") as stream:
        place = read_georeference(stream)
    assert place is not None
    return [
        label(tiles, f"tile_size_px: {TILE[0]}, tile_overlap_px: {TILE[1]}"),
        label(enlarge(painted(shown, masks)), count(len(masks), "mask")),
        label(on_map(masks, place), f"polygons in {place.crs}, metres"),
    ]


def cells() -> NDArray[np.uint16]:
    """Draw bright cells on a dark ground, with the noise of a camera of 12 bits: uint16 (H, W)."""
    rng = np.random.default_rng(SEED)
    picture = np.full(SIZE_HW, 120, np.float32)
    for row in range(4):
        for column in range(4):
            x, y = (int(64 * cell + 32 + rng.integers(-8, 9)) for cell in (column, row))
            axes = int(rng.integers(12, 22)), int(rng.integers(12, 22))
            cv2.ellipse(picture, (x, y), axes, int(rng.integers(180)), 0, 360, float(rng.integers(500, 1000)), -1)
            cv2.circle(picture, (x, y), 5, float(rng.integers(250, 400)), -1)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.2)
    return rng.poisson(picture).astype(np.uint16)


def medium(masks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The masks without those of the ground and of specks."""
    most = LARGEST_FRAC * SIZE_HW[0] * SIZE_HW[1]
    return [mask for mask in masks if LEAST_PX <= mask["area"] <= most]


def painted(picture: Pixels, masks: list[dict[str, Any]]) -> Pixels:
    """The masks, largest first, over a picture."""
    for number, mask in enumerate(sorted(masks, key=lambda mask: -mask["area"])):
        picture = tint(picture, mask["segmentation"], COLOURS[number % 4], 0.6)
    return picture


def on_map(masks: list[dict[str, Any]], place: Georeference) -> PIL.Image.Image:
    """The outlines of masks on the map, with coordinates along two edges."""
    (left, top), (right, bottom) = place.place(0, 0), place.place(*SIZE_HW)
    tile = PIL.Image.new("RGB", (SIDE, SIDE), "white")
    draw = PIL.ImageDraw.Draw(tile)

    def spot(x: float, y: float) -> tuple[float, float]:
        return (x - left) / (right - left) * SIDE, (y - top) / (bottom - top) * SIDE

    for number, mask in enumerate(sorted(masks, key=lambda mask: -mask["area"])):
        for polygon in polygons_with_holes(mask["segmentation"]):
            for ring in polygon:
                draw.polygon([spot(*place.place(x, y)) for x, y in ring.tolist()], outline=COLOURS[number % 4], width=2)
    for metres in (500, 1500):
        for at, words in ((spot(left + metres, bottom), f"{left + metres:.0f}"), (spot(left, top - metres), "")):
            x, y = at
            draw.line((x, SIDE - 6, x, SIDE) if words else (0, y, 6, y), fill="black", width=2)
            words = words or f"{top - metres:.0f}"
            draw.text((x + 3, SIDE - 16) if x else (9, y - 6), words, fill="black")
    return tile


if __name__ == "__main__":
    main(Path(sys.argv[1]))
