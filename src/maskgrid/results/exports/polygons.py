"""COCO files with polygons instead of run-length codes, for tools that read nothing else.

Polygons follow the edges of pixels, so pycocotools draws exactly the same mask again, except for holes, which COCO's
polygons cannot have. The loss is measured for each mask.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgrid.io.json_lines import dumps, write_document
from maskgrid.io.progress import shown
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry, read_head, read_images
from maskgrid.masks.segmentations import code_of
from maskgrid.masks.windows import decode_window

# Enlarge each pixel to a square with this side: the contour through its outermost pixels then rounds to the edges.
_SCALE = 3


@dataclass(slots=True)
class Fidelity:
    """How well polygons preserve masks."""

    n_masks: int = 0
    n_changed: int = 0
    sum_iou: float = 0.0
    least_iou: float = 1.0

    def add(self, iou: float) -> None:
        """Add a mask."""
        self.n_masks += 1
        self.n_changed += iou < 1.0
        self.sum_iou += iou
        self.least_iou = min(self.least_iou, iou)

    def as_dict(self) -> dict[str, float | None]:
        """Return values for ``info`` and for people; the mean is over masks."""
        mean = self.sum_iou / self.n_masks if self.n_masks else None
        least = self.least_iou if self.n_masks else None
        return {"n_masks": self.n_masks, "n_changed": self.n_changed, "iou_mean": mean, "iou_min": least}


def write_polygons(source: Path, path: Path, n_images: int, tolerance_px: float = 0.0) -> Fidelity:
    """Write a COCO file with polygons.

    pycocotools draws each annotation's polygons: ``iou_with_mask`` is the IoU of the drawing with the mask, ``area`` is
    the drawing's area.

    Args:
        source: the COCO file of a setting.
        path: the output file; replaced atomically once complete.
        n_images: number of images, for the progress bar.
        tolerance_px: drop corners as long as the outline moves by less (Douglas and Peucker); 0 keeps all.

    Raises:
        maskgrid.io.errors.UserError: the source is missing or incomplete.
    """
    head, fidelity = read_head(source), Fidelity()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as images, tempfile.TemporaryFile(dir=path.parent) as annotations:
        for image, entries in shown(read_images(source), n_images, "polygons", "images"):
            images.write(dumps(image) + b"\n")
            for entry in _with_polygons(entries, tolerance_px, fidelity):
                annotations.write(dumps(entry) + b"\n")
        head["info"] |= {"polygons": {"tolerance_px": tolerance_px, **fidelity.as_dict()}}
        write_document(path, head, {"images": spooled_lines(images), "annotations": spooled_lines(annotations)})
    return fidelity


def _with_polygons(entries: list[Entry], tolerance_px: float, fidelity: Fidelity) -> Iterator[Entry]:
    for entry in entries:
        size_hw = tuple(entry["segmentation"]["size"])
        counts = code_of(entry["segmentation"], size_hw)
        polygons, drawn, iou = polygons_of(counts, size_hw, tolerance_px)
        fidelity.add(iou)
        area = rle.area_px(drawn, size_hw)
        yield {**entry, "segmentation": polygons, "area": area, "iou_with_mask": round(iou, 6)}


def polygons_of(counts: bytes, size_hw: tuple[int, int], tolerance_px: float) -> tuple[list[list[float]], bytes, float]:
    """A mask's outlines as :func:`outlines`, the mask that pycocotools draws from them, and the IoU of both."""
    window, (top, left) = decode_window(counts, size_hw)
    polygons = outlines(window, tolerance_px, (left, top))
    drawn = rle.from_polygons(polygons, size_hw)
    iou = float(rle.pairwise_iou([drawn], [counts], size_hw)[0, 0]) if polygons else 1.0  # an empty mask, exactly
    return polygons, drawn, iou


def outlines(
    mask: NDArray[np.bool_], tolerance_px: float = 0.0, corner_xy: tuple[int, int] = (0, 0)
) -> list[list[float]]:
    """The outer outlines of a mask along the edges of its pixels, as COCO's lists x, y, x, y, ...

    Args:
        mask: bool (H, W).
        tolerance_px: as in :func:`write_polygons`; an outline that would lose its area keeps all corners.
        corner_xy: where in the image the mask begins.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    shift_xy = left + corner_xy[0], top + corner_xy[1]
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
    large = part.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
    found, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour in found:
        corners = np.rint((contour + 0.5) / _SCALE).astype(np.int32)
        simple = cv2.approxPolyDP(corners, tolerance_px, True) if tolerance_px > 0 else corners
        kept = simple if len(simple) > 2 else corners
        polygons.append((kept[:, 0, :] + shift_xy).astype(np.float64).ravel().tolist())
    return polygons


def spooled_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines written to a temporary file."""
    stream.seek(0)
    return (line.rstrip(b"\n") for line in stream)


def fidelity_text(fidelity: Fidelity) -> str:
    """Describe in a sentence what the polygons lost."""
    found: dict[str, Any] = fidelity.as_dict()
    if not fidelity.n_masks:
        return "no masks"
    return (
        f"{fidelity.n_masks} masks; IoU of polygons and masks: mean {found['iou_mean']:.4f}, minimum "
        f"{found['iou_min']:.4f}; {fidelity.n_changed} masks differ by at least one pixel"
    )
