"""Outlines of masks: through pixel centres, as OpenCV draws them, and along pixel edges, with holes."""

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from maskgrid.masks import rle

# Enlarge each pixel to a square with this side: the contour through its outermost pixels then rounds to the edges.
_SCALE = 3
# Fewer make no polygon for LabelMe, and a box for Ultralytics.
_LEAST_CORNERS = 3

Corners: TypeAlias = NDArray[np.int32]  # (n, 2), x and y
Polygon: TypeAlias = list[Corners]  # the outer ring, then its holes


def polygons_with_holes(
    mask: NDArray[np.bool_], tolerance_px: float = 0.0, corner_xy: tuple[int, int] = (0, 0)
) -> list[Polygon]:
    """The outlines of a mask (H, W) along the edges of its pixels.

    Pixels that share an edge make one polygon. Rings touch one another in single points at most, so with a tolerance of
    0 the polygons are valid as GeoJSON and OGC want them.

    Args:
        mask: bool (H, W).
        tolerance_px: drop corners as long as an outline moves by less; one that would lose its area keeps all.
        corner_xy: where in the image the mask begins.
    """
    window, first_xy = _window(mask)
    first_xy = first_xy + np.array(corner_xy, np.int32)
    n_parts, parts = cv2.connectedComponents(window, connectivity=4)
    polygons = []
    for part in range(1, n_parts):
        alone, offset_xy = _window(parts == part)
        large = np.pad(alone.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1), 1)
        found, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        corners = [contour[:, 0, :].astype(np.int32) - 1 for contour in found]
        rings = [_edges(one, tolerance_px) + (first_xy + offset_xy) for one in corners]
        outer = max(range(len(rings)), key=lambda number: cv2.contourArea(found[number]))
        polygons.append([rings[outer], *(ring for number, ring in enumerate(rings) if number != outer)])
    return polygons


def _edges(contour: Corners, tolerance_px: float) -> Corners:
    """A contour of enlarged pixels as corners of pixels, without repeated ones."""
    corners = np.rint((contour + 0.5) / _SCALE).astype(np.int32)
    corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    simple = _simplified(corners, tolerance_px)
    return simple if len(simple) > 2 else corners


def _simplified(corners: Corners, tolerance_px: float) -> Corners:
    """Drop corners by Douglas and Peucker."""
    if tolerance_px <= 0:
        return corners
    simple: Corners = cv2.approxPolyDP(corners[:, None], tolerance_px, True)[:, 0].astype(np.int32)
    return simple


def centre_outlines(
    mask: NDArray[np.bool_], tolerance_px: float = 0.0, corner_xy: tuple[int, int] = (0, 0)
) -> list[Corners]:
    """A closed line for each part of a mask through the centres of its outermost pixels.

    OpenCV, LabelMe and Ultralytics draw the pixels under a line too, and so the mask again, without holes. A line has
    three corners at least; a part of one or two pixels repeats its last.

    Args:
        mask: bool (H, W).
        tolerance_px: as above.
        corner_xy: as above.
    """
    window, first_xy = _window(mask)
    first_xy = first_xy + np.array(corner_xy, np.int32)
    found, _ = cv2.findContours(window, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    lines = (_simplified(part[:, 0, :].astype(np.int32), tolerance_px) for part in found)
    return [np.concatenate([line, *[line[-1:]] * max(0, _LEAST_CORNERS - len(line))]) + first_xy for line in lines]


def joined(lines: Sequence[Corners]) -> Corners:
    """One line of several, which leads from part to part and back, as Ultralytics joins them."""
    line, *parts = sorted(lines, key=len, reverse=True)
    for part in parts:
        distances, places = cKDTree(line).query(part)
        there = int(np.argmin(distances))
        here = int(places[there])
        line = np.concatenate([line[: here + 1], part[there:], part[: there + 1], line[here:]])
    return line


def drawn_area(lines: Sequence[Corners], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (H, W) in or under any of the lines, as ``cv2.fillPoly`` draws each."""
    canvas = np.zeros(size_hw, np.uint8)
    for line in lines:
        cv2.fillPoly(canvas, [line.astype(np.int32)], 1)
    return canvas.view(np.bool_)


def drawn_iou(lines: Sequence[Corners], counts: bytes, size_hw: tuple[int, int]) -> float:
    """The IoU of what is drawn with a mask."""
    corner_xy, part_hw = _around(lines)
    drawn = drawn_area([line - corner_xy for line in lines], (part_hw[0] + 1, part_hw[1] + 1))
    left, top = corner_xy.tolist()
    code = rle.encode_window(drawn[: size_hw[0] - top, : size_hw[1] - left], (top, left), size_hw)
    return float(rle.pairwise_iou([code], [counts], size_hw)[0, 0])


def drawn_with_holes(polygons: Sequence[Polygon], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (H, W) in an odd number of rings."""
    inside = np.zeros(size_hw, np.bool_)
    for ring in (ring for polygon in polygons for ring in polygon):
        inside ^= rle.decode(rle.from_polygons([ring.ravel().tolist()], size_hw), size_hw)
    return inside


def code_with_holes(polygons: Sequence[Polygon], size_hw: tuple[int, int]) -> bytes:
    """The code of the pixels in an odd number of rings; of one ring at least."""
    corner_xy, part_hw = _around([ring for polygon in polygons for ring in polygon])
    drawn = drawn_with_holes([[ring - corner_xy for ring in polygon] for polygon in polygons], part_hw)
    left, top = corner_xy.tolist()
    return rle.encode_window(drawn, (top, left), size_hw)


def _around(lines: Sequence[Corners]) -> tuple[Corners, tuple[int, int]]:
    """The first column and row of some lines, and the height and width to their last."""
    corners = np.concatenate(lines)
    first, last = corners.min(axis=0), corners.max(axis=0)
    return first, (int(last[1] - first[1]), int(last[0] - first[0]))


def _window(mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The part of a mask that holds all its pixels, and its first column and row."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros((1, 1), np.uint8), np.zeros(2, np.int32)
    top, left = int(rows[0]), int(columns[0])
    part = np.ascontiguousarray(mask[top : rows[-1] + 1, left : columns[-1] + 1]).astype(np.uint8)
    return part, np.array([left, top], np.int32)
