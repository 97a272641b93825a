"""A picture of the prompted masks with the lowest agreement."""

from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.dataset.pixels.pictures import read_picture
from maskgrid.dataset.tables import files_by_key
from maskgrid.io.files import write_bytes
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.masks.pictures import Pixels, grid, jpeg, tint, words_strip
from maskgrid.plan.layout import Layout

_N_TILES = 12
_COLUMNS = 4
_TILE_PX = 256
_CAPTION_PX = 36
_MASK_RGB = (30, 144, 255)
_BOX_RGB = (255, 176, 0)
_LABEL_RGB = {1: (0, 200, 0), 0: (230, 0, 0)}


def draw_worst(layout: Layout, statistics: pa.Table, fingerprint: str) -> None:
    """Write ``prompted/worst.jpg``: the first masks of the statistics, each with its prompt.

    Masks are blue and boxes orange; points on the object are green, others red.

    Args:
        layout: the results folder.
        statistics: from :func:`maskgrid.prompted.statistics.statistics_table`.
        fingerprint: the masks' fingerprint, for the picture's comment.
    """
    drawn = statistics.filter(pc.equal(statistics["status"], "ok")).slice(0, _N_TILES).to_pylist()
    places = files_by_key(layout.files, [row["image_key"] for row in drawn])
    found = [(row, place) for row in drawn if (place := places.get(row["image_key"])) and place["shard"]]
    blank = np.full((_TILE_PX, _TILE_PX, 3), 255, np.uint8)
    tiles = [_tile(layout, row, place) for row, place in found] or [_captioned(blank, ["no mask to show"])]
    write_bytes(layout.prompted_worst, jpeg(grid(tiles, _COLUMNS, gap_px=0), quality=88, comment=fingerprint))


def _tile(layout: Layout, row: dict[str, Any], place: dict[str, Any]) -> Pixels:
    caption = [f"{row['image_key']}  {row['source_id']}", f"agreement {row['agreement']:.3f}"]
    filters = [(name, "=", row[name]) for name in ("setting_id", "image_key", "prompt_index")]
    masks = read_table(layout.prompted(place["shard"]), filters=filters).to_pylist()
    best = max(masks, key=lambda mask: mask["predicted_iou"])
    try:
        # No size limit: the index has checked the image's size.
        pixels = read_picture(place, 1 << 62)
    except BadImageError as error:
        return _captioned(np.full((_TILE_PX, _TILE_PX, 3), 220, np.uint8), [*caption[:1], error.message])
    return _captioned(_cutout(pixels, best), caption)


def _cutout(pixels: Pixels, mask: dict[str, Any]) -> Pixels:
    """The mask's surroundings as a square tile, with the mask and the prompt drawn in."""
    height, width = pixels.shape[:2]
    drawn = tint(pixels, rle.decode(mask["counts"], (height, width)), _MASK_RGB, 0.5)
    box_xyxy = None if mask["box_xyxy"] is None else np.clip(mask["box_xyxy"], 0, [width, height, width, height])
    x0, y0, side = _window(mask["bbox_xywh"], box_xyxy, width, height)
    scale = _TILE_PX / side
    # From the image to the tile; the tile stays grey beyond the image.
    matrix = np.array([[scale, 0, -x0 * scale], [0, scale, -y0 * scale]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cut = drawn[max(0, y0) : y0 + side, max(0, x0) : x0 + side]
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    tile = np.full((_TILE_PX, _TILE_PX, 3), 220, np.uint8)
    left, top = round(max(0, -x0) * scale), round(max(0, -y0) * scale)
    part = cv2.resize(cut, size, interpolation=method)[: _TILE_PX - top, : _TILE_PX - left]
    tile[top : top + part.shape[0], left : left + part.shape[1]] = part
    if box_xyxy is not None:
        corners = (matrix @ np.array([[*box_xyxy[:2], 1], [*box_xyxy[2:], 1]]).T).T.round().astype(int)
        cv2.rectangle(tile, tuple(corners[0].tolist()), tuple(corners[1].tolist()), _BOX_RGB, 2)
    for point, label in zip(mask["point_coords"] or [], mask["point_labels"] or [], strict=True):
        centre = (matrix @ np.array([*point, 1])).round().astype(int)
        cv2.circle(tile, tuple(centre.tolist()), 4, _LABEL_RGB[label], -1)
    return tile


def _window(
    bbox_xywh: list[int], box_xyxy: NDArray[np.float64] | None, width: int, height: int
) -> tuple[int, int, int]:
    """Left, top and side of a square, with a margin, around a mask's extent and its box, both within the image."""
    x, y, w, h = bbox_xywh
    extent_xyxy = np.array([x, y, x + w, y + h], np.float64)
    boxes = np.array([extent_xyxy, extent_xyxy if box_xyxy is None else box_xyxy])
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = int(np.clip(1.3 * (high - low).max(), 48, max(width, height)))
    x0, y0 = ((low + high - side) / 2).round().astype(int).tolist()
    return x0, y0, side


def _captioned(tile: Pixels, lines: list[str]) -> Pixels:
    return np.vstack([tile, words_strip([line[-42:] for line in lines], (_CAPTION_PX, _TILE_PX), 14, 0.38)])
