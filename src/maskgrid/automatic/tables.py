"""The columns of the tables between the stages."""

import pyarrow as pa

from maskgrid.automatic.replay.drops import DROPS
from maskgrid.dataset.tables import IMAGE_KEY
from maskgrid.io.tables import column, status_columns, with_fields_after

_BOX = pa.list_(pa.int32(), 4)
# Where an image or a setting has many rows, each name is stored once.
_NAME = pa.dictionary(pa.int32(), pa.string())
_KEY = IMAGE_KEY.with_type(_NAME)
_SETTING_ID = column("setting_id", _NAME, "the setting")

CANDIDATES = pa.schema(
    [
        _KEY,
        column("candidate_id", pa.int32(), "(crop x points + point) x masks per point + mask, within the pass"),
        column("crop_index", pa.int16(), "crop of the layer, in sam2's order"),
        column("point_xy", pa.list_(pa.float32(), 2), "the prompt, in image pixels"),
        column("predicted_iou", pa.float32(), "the network's estimate of the mask's IoU with the object"),
        column("mask_threshold", pa.float64(), "the logit at which the mask is drawn"),
        column("stability_scores", pa.list_(pa.float32()), "one for each stability_score_offset of the recording"),
        column("near_crop_edge", pa.bool_(), "touches a crop's edge inside the image: sam2 drops it"),
        column("box_xyxy", _BOX, "sam2's box in image pixels, right and bottom edge inclusive"),
        column("area_px", pa.int32(), "pixels of the mask"),
        column("counts", pa.binary(), "COCO's compressed run-length code; null near a crop's edge", nullable=True),
    ]
)

PASS_IMAGES = pa.schema(
    [
        IMAGE_KEY,
        *status_columns("ok, or why the image has no candidates"),
        column("height", pa.int32(), "pixels, as displayed", nullable=True),
        column("width", pa.int32(), "pixels, as displayed", nullable=True),
        column("crop_boxes_xyxy", pa.list_(_BOX), "the layer's crops in image pixels", nullable=True),
        column("proposed_iou", pa.list_(pa.float32()), "predicted IoU of all masks proposed, sorted", nullable=True),
    ]
)

SELECTIONS = pa.schema(
    [
        _SETTING_ID,
        _KEY,
        column("rank", pa.int32(), "position in sam2's order, from 0"),
        column("layer", pa.int16(), "crop layer: which of the setting's passes the candidate is from"),
        column("candidate_id", pa.int32(), "the candidate in that pass"),
        column("counts", pa.binary(), "the mask, where min_mask_region_area redrew it", nullable=True),
        column("area_px", pa.int32(), "its pixels, likewise", nullable=True),
        column("box_xyxy", _BOX, "its box, likewise", nullable=True),
    ]
)

MASK_COUNTS = pa.schema(
    [
        _SETTING_ID,
        _KEY,
        column("n_masks", pa.int32(), "masks that the setting keeps"),
        column("n_proposed", pa.int32(), "masks that the network proposed"),
        column("n_dropped_pred_iou", pa.int32(), "of these dropped by pred_iou_thresh"),
        column("n_dropped_stability", pa.int32(), "then by stability_score_thresh"),
        column("n_dropped_crop_edge", pa.int32(), "then at the edges of crops"),
        column("n_dropped_box_nms", pa.int32(), "then as duplicates within a crop, by box_nms_thresh"),
        column("n_dropped_crop_nms", pa.int32(), "then as duplicates between crops, by crop_nms_thresh"),
        column("n_dropped_regions", pa.int32(), "then as duplicates after min_mask_region_area"),
        column("n_small", pa.int32(), "masks under 32 x 32 pixels, COCO's small"),
        column("n_medium", pa.int32(), "masks up to 96 x 96 pixels, COCO's medium"),
        column("n_large", pa.int32(), "masks above, COCO's large"),
        column("coverage_frac", pa.float64(), "share of the image's pixels that lie in a mask"),
        column("overlap_frac", pa.float64(), "share of the image's pixels that lie in two masks or more"),
        column("area_frac_p10", pa.float64(), "10 % quantile of mask area over image area", nullable=True),
        column("area_frac_p50", pa.float64(), "median", nullable=True),
        column("area_frac_p90", pa.float64(), "90 % quantile", nullable=True),
        column("predicted_iou_mean", pa.float64(), "over the masks kept", nullable=True),
        column("stability_score_mean", pa.float64(), "over the masks kept", nullable=True),
    ]
)

# After n_dropped_regions, in tables of settings of which any has a filter of the config's ``filters`` on.
FILTER_DROPS = tuple(column(name, pa.int32(), f"then by {key}") for key, name in DROPS.items())


def mask_counts_schema(with_filters: bool) -> pa.Schema:
    """``MASK_COUNTS``, with the columns of the config's ``filters`` if any of them is on."""
    return with_fields_after(MASK_COUNTS, "n_dropped_regions", FILTER_DROPS) if with_filters else MASK_COUNTS
