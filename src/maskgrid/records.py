"""The records of masks that sam2's generator returns, made from a selection."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskgrid import rle
from maskgrid.config import GeneratorConfig

if TYPE_CHECKING:  # the replay brings torch, for which the COCO export need not wait
    from maskgrid.replay import Selection


def mask_records(selection: "Selection", generator: GeneratorConfig) -> list[dict[str, Any]]:
    """One dict a mask, with the keys, types and values of ``SAM2AutomaticMaskGenerator.generate``."""
    return [_record(selection, index, generator) for index in range(len(selection))]


def _record(selection: "Selection", index: int, generator: GeneratorConfig) -> dict[str, Any]:
    candidates = selection.passes[selection.layer[index]]
    rows, row, region = candidates.rows, selection.row[index], selection.regions[index]
    offset = candidates.recording.stability_score_offsets.index(float(generator.stability_score_offset))
    return {
        "segmentation": segmentation(
            rows.counts[row] if region is None else region.counts, candidates.size_hw, generator.output_mode
        ),
        "area": int(rows.area_px[row] if region is None else region.area_px),
        "bbox": xywh(rows.box_xyxy[row] if region is None else region.box_xyxy),
        "predicted_iou": float(rows.predicted_iou[row]),
        "point_coords": [rows.point_xy[row].tolist()],
        "stability_score": float(rows.stability_scores[row, offset]),
        "crop_box": xywh(candidates.crop_boxes_xyxy[rows.crop_index[row]]),
    }


def segmentation(counts: bytes, size_hw: tuple[int, int], output_mode: str) -> dict[str, Any] | NDArray[np.bool_]:
    """A mask in one of sam2's three forms."""
    if output_mode == "binary_mask":
        return rle.decode(counts, size_hw)
    return rle.compressed(counts, size_hw) if output_mode == "coco_rle" else rle.uncompressed(counts, size_hw)


def xywh(box_xyxy: NDArray[np.int32]) -> list[float]:
    """sam2's XYWH of its XYXY box: edges are inclusive there, so that width and height are one pixel short."""
    x0, y0, x1, y1 = (float(edge) for edge in box_xyxy)
    return [x0, y0, x1 - x0, y1 - y0]
