"""The columns of the tables of true objects in videos, and of accuracy."""

import pyarrow as pa

from maskgrid.dataset.tables import COUNTS
from maskgrid.io.tables import column, status_columns
from maskgrid.tracked.tables import KEY, SETTING

_STATUS = status_columns("ok, or in one word why it cannot be used")
_TRUE_ID = column("truth_id", pa.string(), "the object's id in the ground truth")

# One row per video of the ground truth, and of the source.
TRUE_VIDEOS = pa.schema(
    [
        KEY,
        *_STATUS,
        column("n_objects", pa.int32(), "true objects"),
        column("n_frames", pa.int32(), "annotated frames"),
        column("n_unusable", pa.int32(), "annotations that cannot be used"),
    ]
)

# One row per true object and annotated frame; also per annotation that cannot be used.
TRUE_MASKS = pa.schema(
    [
        KEY,
        _TRUE_ID.with_nullable(True),
        column("category", pa.string(), "its category there", nullable=True),
        column("frame", pa.int32(), "the video's frame, from 0", nullable=True),
        column("is_void", pa.bool_(), "pixels that count for nobody: DAVIS's 255, COCO's iscrowd"),
        *_STATUS,
        column("area_px", pa.int64(), "pixels of the object; 0 where it is not visible", nullable=True),
        COUNTS.with_nullable(True),
    ]
)


def _mean(name: str, words: str) -> pa.Field:
    return column(name, pa.float64(), words, nullable=True)


_J_AND_F = (
    _mean("j", "region similarity J: the IoU of masklet and object, the mean over the frames measured"),
    _mean("f", "contour accuracy F, the same"),
    _mean("j_and_f", "mean of j and f"),
)
# One row per true object of a run.
RUN_ACCURACY = pa.schema(
    [
        KEY,
        _TRUE_ID,
        column("category", pa.string(), "its category in the ground truth", nullable=True),
        *status_columns("ok, no_masklet (measured with empty masks) or no_frames (not measured)"),
        column("object_id", pa.int32(), "its masklet; null if none overlaps it", nullable=True),
        column("n_frames", pa.int32(), "frames measured"),
        *_J_AND_F,
    ]
)
ACCURACY = pa.schema([SETTING, *RUN_ACCURACY])

_COUNTED = (
    column("n_truth", pa.int32(), "true objects measured"),
    column("n_matched", pa.int32(), "of these, objects that a masklet of their own overlaps"),
    column("n_masklets", pa.int32(), "masklets with a mask on a frame measured"),
)
_MEASURED = (
    _mean("j", "mean of j over the true objects"),
    _mean("f", "mean of f over the true objects"),
    _mean("j_and_f", "mean of j and f"),
    _mean("hota", "HOTA: detection and association together, the mean over IoU 0.05, 0.1, ... 0.95"),
    _mean("det_a", "detection accuracy of HOTA: masks found, against missed and extra ones"),
    _mean("ass_a", "association accuracy of HOTA: how well masklets keep to their objects"),
    _mean("idf1", "IDF1: the share of masks that belong to the right masklet at IoU 0.5"),
)
# One row per video and setting.
ACCURACY_VIDEOS = pa.schema(
    [
        SETTING,
        KEY,
        *status_columns("ok, or in one word why nothing was measured"),
        column("n_frames", pa.int32(), "frames measured for all objects, those of hota and idf1"),
        *_COUNTED,
        *_MEASURED,
    ]
)
# One row per setting, over all its videos.
ACCURACY_SETTINGS = pa.schema(
    [
        SETTING,
        column("parameters", pa.string(), "of automatic and generator, as JSON; null with prompts", nullable=True),
        column("n_videos", pa.int32(), "videos measured"),
        *_COUNTED,
        *_MEASURED,
    ]
)
