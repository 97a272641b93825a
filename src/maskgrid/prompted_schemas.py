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

# A row a mask, and one for each prompt that has none.
PROMPTED = pa.schema(
    [
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

PROMPT_STATISTICS = pa.schema(
    [
        *OBJECT_COLUMNS,
        _KIND,
        *_STATUS,
        column(
            "agreement", pa.float64(), "mask_iou, else box_iou, else predicted_iou; rows ascend by it", nullable=True
        ),
        _PREDICTED_IOU,
        _AREA,
        *_AGREEMENT,
    ]
)
