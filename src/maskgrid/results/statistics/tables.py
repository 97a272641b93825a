"""The columns of the tables in the folder ``statistics``."""

from collections.abc import Collection

import pyarrow as pa

from maskgrid.automatic.tables import MASK_COUNTS
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import CHECKPOINT, PARAMETERS
from maskgrid.io.tables import column

_INTEGERS = frozenset({"points_per_side"})
INTERVAL = "95 % bootstrap interval over images"


def _parameter(name: str) -> pa.Field:
    field = GeneratorConfig.model_fields[name]
    kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    kind = kinds.get(type(field.default), pa.string())
    description = field.description or name
    if name == "point_grids":
        description += "; as JSON"
    return column(name, kind, description, nullable=name in ("points_per_side", "point_grids"))


PARAMETER_COLUMNS: tuple[pa.Field, ...] = (
    column(CHECKPOINT, pa.string(), "the network, as the config writes it"),
    *(_parameter(name) for name in PARAMETERS),
)

SETTING_COLUMNS = (
    column("setting_id", pa.string(), "short hash of the parameters that decide about masks"),
    column("setting", pa.string(), "the setting's first name, or its id where it has none"),
)

IN_GRID = column("in_grid", pa.bool_(), "part of the sweep's grid, zip or table, and not a single point alone")

SETTINGS = pa.schema(
    [
        *SETTING_COLUMNS,
        column("names", pa.list_(pa.string()), "all names that the config gives to it"),
        IN_GRID,
        *PARAMETER_COLUMNS,
    ]
)


def image_counts(swept: Collection[str]) -> pa.Schema:
    """The columns of ``mask_counts.parquet``; the swept parameters come before those that are the same everywhere."""
    first = [field for field in PARAMETER_COLUMNS if field.name in swept]
    counts = [field for field in MASK_COUNTS if field.name not in ("setting_id", "image_key")]
    # Plain text instead of MASK_COUNTS' dictionaries, which pandas would read as categories: they multiply in a
    # group-by.
    image_key = MASK_COUNTS.field("image_key").with_type(pa.string())
    constant = [field for field in PARAMETER_COLUMNS if field.name not in swept]
    return pa.schema([*SETTING_COLUMNS, IN_GRID, image_key, *first, *counts, *constant])


def _number(name: str, description: str) -> pa.Field:
    return column(name, pa.float64(), description, nullable=True)


def _with_interval(name: str, description: str) -> list[pa.Field]:
    return [
        _number(f"{name}_mean", f"{description}, mean over images"),
        _number(f"{name}_low", f"{INTERVAL} of this mean: its lower end"),
        _number(f"{name}_high", f"{INTERVAL} of this mean: its upper end"),
    ]


SUMMARY = pa.schema(
    [
        *SETTINGS,
        column("is_baseline", pa.bool_(), "the setting that differences are measured against"),
        column("n_images", pa.int64(), "images that the setting was answered for"),
        column("n_masks_total", pa.int64(), "masks of all images"),
        *_with_interval("n_masks", "masks of an image"),
        _number("n_masks_median", "median over images"),
        _number("n_masks_p10", "10 % quantile over images"),
        _number("n_masks_p90", "90 % quantile over images"),
        *_with_interval("coverage_frac", "share of an image's pixels that lie in a mask"),
        _number("overlap_frac_mean", "share of an image's pixels that lie in two masks or more, mean over images"),
        _number("n_small_mean", "masks of an image under 32 x 32 pixels, mean over images"),
        _number("n_medium_mean", "masks of an image up to 96 x 96 pixels, mean over images"),
        _number("n_large_mean", "masks of an image above that, mean over images"),
        _number("predicted_iou_mean", "over all masks kept"),
        _number("stability_score_mean", "over all masks kept"),
        _number("kept_frac", "share of the masks proposed that the setting keeps"),
        _number("dropped_pred_iou_frac", "share that pred_iou_thresh drops"),
        _number("dropped_stability_frac", "then stability_score_thresh"),
        _number("dropped_crop_edge_frac", "then the edges of crops"),
        _number("dropped_box_nms_frac", "then box_nms_thresh"),
        _number("dropped_crop_nms_frac", "then crop_nms_thresh"),
        _number("dropped_regions_frac", "then, after min_mask_region_area, the suppression of duplicates"),
        column("n_images_common", pa.int64(), "images that the baseline was answered for, too"),
        *_with_interval("n_masks_diff", "masks of an image more than at the baseline"),
        *_with_interval("coverage_frac_diff", "share of an image's pixels covered more than at the baseline"),
    ]
)

EFFECTS = pa.schema(
    [
        column("parameter", pa.string(), "a parameter with more than one value among the settings"),
        column("value", pa.string(), "one of its values, as JSON"),
        _number("value_number", "the value, where it is a number"),
        column("n_settings", pa.int64(), "settings that have this value"),
        _number("n_masks_mean", "mean of the settings' n_masks_mean"),
        _number("n_masks_effect", "this mean less the mean over all settings"),
        _number("coverage_frac_mean", "mean of the settings' coverage_frac_mean"),
        _number("coverage_frac_effect", "this mean less the mean over all settings"),
    ]
)

INTERACTIONS = pa.schema(
    [
        column("parameter_a", pa.string(), "a parameter with more than one value among the settings"),
        column("value_a", pa.string(), "one of its values, as JSON"),
        _number("value_a_number", "the value, where it is a number"),
        column("parameter_b", pa.string(), "another such parameter"),
        column("value_b", pa.string(), "one of its values, as JSON"),
        _number("value_b_number", "the value, where it is a number"),
        column("n_settings", pa.int64(), "settings that have both values"),
        _number("n_masks_mean", "mean of the settings' n_masks_mean"),
        _number("n_masks_interaction", "what this mean has beyond the overall mean and both main effects"),
        _number("coverage_frac_mean", "mean of the settings' coverage_frac_mean"),
        _number("coverage_frac_interaction", "what this mean has beyond the overall mean and both main effects"),
    ]
)
