"""The columns of the tables in the folder ``statistics``."""

from collections.abc import Collection

import pyarrow as pa

from maskgrid.automatic.replay.drops import DROPS
from maskgrid.automatic.tables import mask_counts_schema
from maskgrid.config.filters import FilterFields
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import CHECKPOINT, PARAMETERS
from maskgrid.config.tiles import TileFields
from maskgrid.io.tables import column, with_fields_after

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


def _meaning(name: str) -> str:
    return FilterFields.model_fields[name].description or name


PARAMETER_COLUMNS: tuple[pa.Field, ...] = (
    column(CHECKPOINT, pa.string(), "the network, as the config writes it"),
    *(_parameter(name) for name in PARAMETERS),
)

# Only in tables of settings of which any has a filter or tiles on.
FILTER_COLUMNS: tuple[pa.Field, ...] = (
    *(
        column(name, pa.int64(), field.description or name, nullable=True)
        for name, field in TileFields.model_fields.items()
    ),
    column("min_area_px", pa.int64(), _meaning("min_area_px")),
    column("max_area_px", pa.int64(), _meaning("max_area_px"), nullable=True),
    column("min_area_frac", pa.float64(), _meaning("min_area_frac")),
    column("max_area_frac", pa.float64(), _meaning("max_area_frac")),
    column("border", pa.int64(), _meaning("border"), nullable=True),
    column("min_fill_frac", pa.float64(), _meaning("min_fill_frac")),
    column("max_aspect_ratio", pa.float64(), _meaning("max_aspect_ratio"), nullable=True),
    column("region", pa.string(), _meaning("region"), nullable=True),
    column("min_region_frac", pa.float64(), _meaning("min_region_frac"), nullable=True),
    column("mask_nms_thresh", pa.float64(), _meaning("mask_nms_thresh")),
    column("max_containment_frac", pa.float64(), _meaning("max_containment_frac")),
    column("containment_keeps", pa.string(), _meaning("containment_keeps")),
    column("max_masks", pa.int64(), _meaning("max_masks"), nullable=True),
)

SETTING_COLUMNS = (
    column("setting_id", pa.string(), "short hash of the parameters that decide about masks"),
    column("setting", pa.string(), "the setting's first name; without one, its swept values in short, as p16_iou0.7"),
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


def image_counts_schema(swept: Collection[str], with_filters: bool) -> pa.Schema:
    """The columns of ``mask_counts.parquet``; the swept parameters come before those that are the same everywhere.

    Args:
        swept: the names of the swept parameters and filters.
        with_filters: whether any setting has a filter on; if so, there are columns for filters.
    """
    parameters = (*PARAMETER_COLUMNS, *FILTER_COLUMNS) if with_filters else PARAMETER_COLUMNS
    measured = mask_counts_schema(with_filters)
    # Plain text instead of dictionaries, which pandas would read as categories: they multiply in a group-by.
    image_key = measured.field("image_key").with_type(pa.string())
    return pa.schema(
        [
            *SETTING_COLUMNS,
            IN_GRID,
            image_key,
            *(field for field in parameters if field.name in swept),
            *(field for field in measured if field.name not in ("setting_id", "image_key")),
            *(field for field in parameters if field.name not in swept),
        ]
    )


def summary_schema(with_filters: bool) -> pa.Schema:
    """``SUMMARY``, with the filters' columns if any is on."""
    if not with_filters:
        return SUMMARY
    fields = [_number(share_dropped(name), f"then {key}") for key, name in DROPS.items()]
    return with_fields_after(with_filter_columns(SUMMARY, True), "dropped_regions_frac", fields)


def with_filter_columns(schema: pa.Schema, with_filters: bool) -> pa.Schema:
    """A schema that has the parameters, with the filters after them if any is on."""
    return with_fields_after(schema, PARAMETER_COLUMNS[-1].name, FILTER_COLUMNS) if with_filters else schema


def share_dropped(column_name: str) -> str:
    """The summary's column for a column of what is dropped: ``dropped_border_frac`` for ``n_dropped_border``."""
    return f"{column_name.removeprefix('n_')}_frac"


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
