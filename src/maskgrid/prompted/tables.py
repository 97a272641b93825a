"""The columns of the prompted job's tables, and reading and writing the table of prompts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.dataset.annotations.objects import CATEGORY_COLUMNS, PromptRow, prompt_columns, prompt_of, prompt_values
from maskgrid.dataset.tables import BBOX, COUNTS
from maskgrid.io.tables import column, read_table, status_columns

# About an object, from the source; in the table of prompts and in those of the results.
OBJECT_COLUMNS = [
    column("image_key", pa.string(), "the image, as the source names it"),
    column("prompt_index", pa.int32(), "position among the image's objects, in the order of the source, from 0"),
    column("source_id", pa.string(), "the object's id in the source; the number of its row where it has none"),
    *CATEGORY_COLUMNS,
]

# One row per object of the source, including bad ones.
PROMPTS = pa.schema(
    [
        *OBJECT_COLUMNS,
        *prompt_columns(
            "x and y", "as given, not cut to the image", "the mask prompt: COCO's compressed run-length code"
        ),
        column("normalized", pa.bool_(), "points and box are in 0..1 of the image, not in pixels"),
        column("reference_counts", pa.binary(), "the object's mask in the source, prompt or not", nullable=True),
        *status_columns("ok, or in one word why the prompt cannot be used"),
        column("shard", pa.string(), "the shard of the image; null where the image cannot be used", nullable=True),
    ]
)

_AGREEMENT = [
    column("box_iou", pa.float64(), "IoU of the mask's extent with the given box, cut to the image", nullable=True),
    column("area_over_box", pa.float64(), "the mask's area over that box's", nullable=True),
    column("mask_iou", pa.float64(), "IoU with the mask that the source gives", nullable=True),
    column("area_over_mask", pa.float64(), "the mask's area over that mask's", nullable=True),
]
_STATUS = status_columns("ok, or in one word why there is no mask")
_KIND = column("kind", pa.string(), "the parts of the prompt: box, points, mask, joined by +", nullable=True)
_PREDICTED_IOU = column("predicted_iou", pa.float32(), "the network's estimate of the mask's IoU", nullable=True)
_AREA = column("area_px", pa.int32(), "pixels of the mask", nullable=True)

_SETTING_ID = column("setting_id", pa.string(), "the parameters: a row of prompted/settings.parquet")
_SETTING = column("setting", pa.string(), "the setting's name, or its id where it has none")

# One row per mask and setting, and one for each prompt without a mask.
PROMPTED = pa.schema(
    [
        _SETTING_ID,
        *OBJECT_COLUMNS,
        _KIND,
        *prompt_columns("the prompt's points, in image pixels", "the prompt's box, in image pixels"),
        *_STATUS,
        column("mask_index", pa.int8(), "the mask among those that the decoder returned", nullable=True),
        _PREDICTED_IOU,
        _AREA,
        BBOX,
        COUNTS.with_nullable(True),
        *_AGREEMENT,
    ]
)

# One row per prompt and setting.
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

# One row per setting. The parameters are in the order of maskgrid.config.settings.PROMPT_SWEEPABLE.
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


@dataclass(frozen=True, slots=True)
class ShardedPrompt:
    """A row of ``PROMPTS``: an object, and its image's shard."""

    row: PromptRow
    shard: str | None


def prompts_table(prompts: Iterable[ShardedPrompt]) -> pa.Table:
    """Build the table of ``PROMPTS``, sorted by shard so that a job reads only its own; those without one last."""
    table = pa.Table.from_pylist([_values(prompt) for prompt in prompts], PROMPTS)
    return table.sort_by([("shard", "ascending"), ("image_key", "ascending"), ("prompt_index", "ascending")])


def read_prompts(path: Path, shard: str) -> list[PromptRow]:
    """The prompts on a shard's images, by image key and in the order of the source.

    Raises:
        maskgrid.io.errors.UserError: the file is missing, truncated or from another version.
    """
    table = read_table(path, filters=[("shard", "=", shard)], schema=PROMPTS)
    return [_row(values) for values in table.to_pylist()]


def read_unsharded(path: Path) -> list[PromptRow]:
    """The prompts whose images are missing or unusable.

    Raises:
        maskgrid.io.errors.UserError: as :func:`read_prompts`.
    """
    table = read_table(path, schema=PROMPTS)
    return [_row(values) for values in table.filter(table["shard"].is_null()).to_pylist()]


def _values(prompt: ShardedPrompt) -> dict[str, Any]:
    row = prompt.row
    values = {name: getattr(row, name) for name in PROMPTS.names if name in PromptRow.__slots__}
    normalized = row.prompt is not None and row.prompt.normalized
    return {**values, "shard": prompt.shard, "normalized": normalized, **prompt_values(row.prompt)}


def _row(values: dict[str, Any]) -> PromptRow:
    prompt = prompt_of(values, values["normalized"]) if values["status"] == "ok" else None
    fields = {name: values[name] for name in PromptRow.__slots__ if name != "prompt"}
    return PromptRow(prompt=prompt, **fields)
