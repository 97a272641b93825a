"""One image of the explorer: its picture, and its candidates pass by pass."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskgrid.automatic.candidates import Candidates
from maskgrid.masks.packing import packed
from maskgrid.masks.pictures import Pixels, Thumbnail, data_uri, jpeg
from maskgrid.pages.scripts import embedded, script
from maskgrid.results.accuracy.image_truth import TrueObjects

# Longer side of the picture in pixels; masks keep the image's own.
_SIDE = 1024
_THUMBNAIL_SIDE = 96


@dataclass(frozen=True, slots=True)
class ImageSource:
    """What the explorer shows of an image.

    Attributes:
        key: the image.
        size_hw: height and width in pixels.
        pixels: uint8 (H, W, 3); None if the file is gone or has changed.
        passes: candidates by the folder of their pass, such as ``demo/crop0-grid32``.
        in_image: the image's part of each region, as a run-length code, by the config's ``filters.region``.
        truth: the annotated objects, if there are any.
    """

    key: str
    size_hw: tuple[int, int]
    pixels: Pixels | None
    passes: Mapping[str, Candidates]
    in_image: Mapping[str, bytes]
    truth: TrueObjects | None


@dataclass(frozen=True, slots=True)
class ImageData:
    """An image as the page reads it.

    Attributes:
        head: plain values: the key, sizes, and the picture as a data URI.
        packs: packed columns and masks: ``extra``, and each pass by its folder.
    """

    head: dict[str, Any]
    packs: dict[str, str]

    @classmethod
    def of(cls, source: ImageSource) -> "ImageData":
        """Draw and pack an image."""
        shown = Thumbnail.fit(source.size_hw, _SIDE)
        head = {
            "key": source.key,
            "size_hw": source.size_hw,
            "has_pixels": source.pixels is not None,
            "pixels": data_uri(jpeg(shown.pixels(source.pixels))),
        }
        truth = source.truth or TrueObjects((), np.zeros(0, np.bool_))
        extra = {"regions": list(source.in_image), "crowd": truth.is_crowd.astype(np.uint8)}
        packs = {"extra": packed(extra, [*source.in_image.values(), *truth.counts])}
        return cls(head, packs | {name: _pass_pack(part) for name, part in source.passes.items()})

    def only(self, passes: set[str]) -> "ImageData":
        """The image with some of its passes."""
        return ImageData(self.head, {name: pack for name, pack in self.packs.items() if name in {"extra", *passes}})

    def script(self, fingerprint: str) -> bytes:
        """The file of the image: a script that hands it to the page."""
        return script("image", fingerprint, self.head, self.packs)

    def embedded(self) -> str:
        """The image as JSON for a script element."""
        return embedded([self.head, self.packs])


def file_name(image_key: str) -> str:
    """The name of an image's files, without a suffix: short, the same everywhere, and safe on every file system."""
    return hashlib.sha256(image_key.encode()).hexdigest()[:16]


def thumbnail(source: ImageSource) -> bytes:
    """A small JPEG of the image."""
    small = Thumbnail.fit(source.size_hw, _THUMBNAIL_SIDE)
    return jpeg(small.pixels(source.pixels), quality=70)


def _pass_pack(part: Candidates) -> str:
    """A pass, column by column; levels are positions in its recording."""
    rows, recording = part.rows, part.recording
    columns = {
        "recording": recording.as_dict(),
        "dtype": part.dtype,
        "proposed": part.proposed_iou,
        "crops": part.crop_boxes_xyxy,
        "id": rows.candidate_id,
        "crop": rows.crop_index,
        "level": np.searchsorted(np.array(recording.mask_thresholds, np.float64), rows.mask_threshold),
        "iou": rows.predicted_iou,
        "stability": [np.ascontiguousarray(column) for column in rows.stability_scores.T],
        "edge": rows.near_crop_edge.astype(np.uint8),
        "box": rows.box_xyxy.ravel(),
        "point": rows.point_xy.ravel(),
        "area": rows.area_px,
    }
    return packed(columns, rows.counts.tolist())
