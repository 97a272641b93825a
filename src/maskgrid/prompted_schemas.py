"""The columns of the tables of prompted segmentation."""

import pyarrow as pa

from maskgrid.prompt_tables import BOX, OBJECT_COLUMNS, POINTS
from maskgrid.tables import column

_AGREEMENT = [
    column("box_iou", pa.float64(), "IoU of the mask's extent with the given box, cut to the image", nullable=True),
    column("area_over_box", pa.float64(), "the mask's area over that box's", nullable=True),
    column("mask_iou", pa.float64(), "IoU with the mask that the source gives", nullable=True),
    column("area_over_mask", pa.float64(), "the mask's area over that mask's", nullable=True),
]
_STATUS = [
    column("status", pa.string(), "ok, or in one word why there is no mask"),
    column("message", pa.string(), "the reason in words", nullable=True),
]
_KIND = column("kind", pa.string(), "the parts of the prompt: box, points, mask, joined by +", nullable=True)
_PREDICTED_IOU = column("predicted_iou", pa.float32(), "the network's estimate of the mask's IoU", nullable=True)
_AREA = column("area_px", pa.int32(), "pixels of the mask", nullable=True)

_SETTING_ID = column("setting_id", pa.string(), "the parameters: a row of prompted/settings.parquet")
_SETTING = column("setting", pa.string(), "the setting's name, or its id where it has none")

# A row a mask at a setting, and one for each prompt that has none.
PROMPTED = pa.schema(
    [
        _SETTING_ID,
        *OBJECT_COLUMNS,
        _KIND,
        column("point_coords", POINTS, "the prompt's points, in image pixels", nullable=True),
        column("point_labels", pa.list_(pa.int32()), "1 on the object, 0 beside it", nullable=True),
        column("box_xyxy", BOX, "the prompt's box, in image pixels", nullable=True),
        *_STATUS,
        column("mask_index", pa.int8(), "the mask among those that the decoder returned", nullable=True),
        _PREDICTED_IOU,
        _AREA,
        column("bbox_xywh", pa.list_(pa.int32(), 4), "the mask's true extent", nullable=True),
        column("counts", pa.binary(), "COCO's compressed run-length code", nullable=True),
        *_AGREEMENT,
    ]
)

# A row a prompt at a setting.
PROMPT_STATISTICS = pa.schema(
    [
        _SETTING_ID,
        _SETTING,
        *OBJECT_COLUMNS,
        _KIND,
        *_STATUS,
        column(
            "agreement",
            pa.float64(),
            "mask_iou, else box_iou, else predicted_iou; a setting's rows ascend by it",
            nullable=True,
        ),
        _PREDICTED_IOU,
        _AREA,
        *_AGREEMENT,
    ]
)

_MEANS = {
    "area_px": "pixels of the mask, over the objects that have one",
    "predicted_iou": "the network's estimate, over the objects that have a mask",
    "box_iou": "IoU of the mask's extent with the given box, over the objects that have one; 0 where nothing was drawn",
    "area_over_box": "the mask's area over that box's, over the same",
    "mask_iou": "IoU with the mask that the source gives, over the objects that have one; 0 where nothing was drawn",
    "area_over_mask": "the mask's area over that mask's, over the same",
}

# A row a setting. The parameters stand in the order of prompt_settings.PROMPT_SWEEPABLE.
PROMPT_SETTINGS = pa.schema(
    [
        _SETTING_ID,
        _SETTING,
        column("in_grid", pa.bool_(), "of a sweep's grid, zip or table"),
        column("multimask_output", pa.bool_(), "as in the config"),
        column("refine_rounds", pa.int32(), "as in the config"),
        column("mask_threshold", pa.float64(), "as in the config"),
        column("max_hole_area", pa.float64(), "as in the config"),
        column("max_sprinkle_area", pa.float64(), "as in the config"),
        column("n_prompts", pa.int64(), "given objects"),
        column("n_ok", pa.int64(), "of these with a mask"),
        column("n_no_mask", pa.int64(), "of these for which the network drew nothing"),
        *(column(f"{name}_mean", pa.float64(), f"mean of {words}", nullable=True) for name, words in _MEANS.items()),
    ]
)
