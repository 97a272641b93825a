"""The columns of the tables of ground truth and accuracy."""

import pyarrow as pa

from maskgrid.dataset.tables import COUNTS, IMAGE_KEY
from maskgrid.io.tables import column, status_columns
from maskgrid.results.statistics.tables import INTERVAL, PARAMETER_COLUMNS, SETTING_COLUMNS

_STATUS = status_columns("ok, or in one word why it cannot be used")

TRUE_IMAGES = pa.schema(
    [
        IMAGE_KEY,
        *_STATUS,
        column("shard", pa.string(), "the image's shard", nullable=True),
        column("n_objects", pa.int32(), "usable objects, without crowds"),
        column("n_crowds", pa.int32(), "regions of many objects (iscrowd: 1)"),
        column("n_unusable", pa.int32(), "objects that cannot be used"),
    ]
)

TRUE_OBJECTS = pa.schema(
    [
        IMAGE_KEY,
        column("source_id", pa.string(), "the object's id in the annotations"),
        column("category_id", pa.int64(), "its category there", nullable=True),
        column("is_crowd", pa.bool_(), "COCO's iscrowd"),
        *_STATUS,
        column("area_px", pa.int64(), "pixels of the object", nullable=True),
        COUNTS.with_nullable(True),
    ]
)


def _share(name: str, description: str) -> pa.Field:
    return column(name, pa.float64(), description, nullable=True)


_SIZES = (("small", "up to 32 x 32 pixels"), ("medium", "from there to 96 x 96 pixels"), ("large", "above"))
_MEASURED = (
    column("n_truth", pa.int32(), "true objects, crowds not counted"),
    *(column(f"n_truth_{size}", pa.int32(), f"of these {words}") for size, words in _SIZES),
    column("n_masks", pa.int32(), "masks that the setting keeps"),
    column("n_ignored_50", pa.int32(), "of these in crowds, and so not judged"),
    column("n_found_50", pa.int32(), "objects that a mask of their own matches at IoU 0.5"),
    column("n_found_75", pa.int32(), "at IoU 0.75"),
    _share("recall_50", "n_found_50 over n_truth"),
    _share("recall_75", "n_found_75 over n_truth"),
    *(
        _share(
            f"ar_{limit}", f"recall averaged over IoU 0.5, 0.55, ... 0.95, of the {limit} masks of best predicted IoU"
        )
        for limit in (10, 100, 1000)
    ),
    *(_share(f"ar_{size}", f"ar_1000 of objects {words}") for size, words in _SIZES),
    _share("best_iou_mean", "mean over objects of the IoU with the mask that fits best"),
    _share("precision_50", "n_found_50 over the masks judged; masks of what is not annotated count against it"),
    _share("f1_50", "harmonic mean of recall_50 and precision_50"),
    column("n_over_segmented", pa.int32(), "objects not found that consist of two masks or more"),
    column("n_under_segmented", pa.int32(), "masks without a match that consist of two objects or more"),
)
MEASURED: tuple[str, ...] = tuple(field.name for field in _MEASURED)
# A shard's evaluation; and that of all shards, with the parameters.
SHARD_ACCURACY = pa.schema([SETTING_COLUMNS[0], IMAGE_KEY, *_MEASURED])
ACCURACY = pa.schema([*SETTING_COLUMNS, IMAGE_KEY, *PARAMETER_COLUMNS, *_MEASURED])

# Measures averaged over all images, and their weights: a column, the number of masks judged, or that plus n_truth.
WEIGHTS = {
    "recall_50": "n_truth",
    "recall_75": "n_truth",
    "ar_10": "n_truth",
    "ar_100": "n_truth",
    "ar_1000": "n_truth",
    **{f"ar_{size}": f"n_truth_{size}" for size, _ in _SIZES},
    "best_iou_mean": "n_truth",
    "precision_50": "n_judged",
    "f1_50": "n_judged_and_truth",
}


def _with_interval(name: str) -> list[pa.Field]:
    description = (ACCURACY.field(name).metadata or {})[b"description"].decode()
    return [
        _share(name, f"{description}; over all images"),
        _share(f"{name}_low", f"{INTERVAL}: its lower end"),
        _share(f"{name}_high", f"{INTERVAL}: its upper end"),
    ]


ACCURACY_SUMMARY = pa.schema(
    [
        *SETTING_COLUMNS,
        column("n_images", pa.int64(), "annotated images that the setting was answered for"),
        column("n_truth", pa.int64(), "true objects in them"),
        column("n_masks", pa.int64(), "masks in them"),
        *(field for name in WEIGHTS for field in _with_interval(name)),
        column("n_over_segmented", pa.int64(), "objects not found that consist of two masks or more"),
        column("n_under_segmented", pa.int64(), "masks without a match that consist of two objects or more"),
    ]
)
