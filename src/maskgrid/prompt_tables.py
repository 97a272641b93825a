"""Prompts as a Parquet table: a row an object of the source, the bad ones too."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from maskgrid.prompts import Prompt, PromptRow
from maskgrid.tables import column, read_table

POINTS = pa.list_(pa.list_(pa.float64(), 2))
BOX = pa.list_(pa.float64(), 4)

# What the source says of an object, in this table and in those of the results.
OBJECT_COLUMNS = [
    column("image_key", pa.string(), "the image, as the source names it"),
    column("prompt_index", pa.int32(), "position among the image's objects, in the order of the source, from 0"),
    column("source_id", pa.string(), "the object's id in the source; the number of its row where it has none"),
    column("category_id", pa.int64(), "as in the source's categories", nullable=True),
    column("category", pa.string(), "the category's name", nullable=True),
]

PROMPTS = pa.schema(
    [
        *OBJECT_COLUMNS,
        column("point_coords", POINTS, "x and y", nullable=True),
        column("point_labels", pa.list_(pa.int32()), "1 on the object, 0 beside it", nullable=True),
        column("box_xyxy", BOX, "as given, not cut to the image", nullable=True),
        column("mask_counts", pa.binary(), "the mask prompt: COCO's compressed run-length code", nullable=True),
        column("normalized", pa.bool_(), "points and box are in 0..1 of the image, not in pixels"),
        column("reference_counts", pa.binary(), "the object's mask in the source, prompt or not", nullable=True),
        column("status", pa.string(), "ok, or in one word why the prompt cannot be used"),
        column("message", pa.string(), "the reason in words", nullable=True),
        column("shard", pa.string(), "the shard of the image; null where the image cannot be used", nullable=True),
    ]
)

_PROMPT_COLUMNS = ("point_coords", "point_labels", "box_xyxy", "mask_counts")


@dataclass(frozen=True, slots=True)
class ShardedPrompt:
    """A row of the table: an object, and the shard that its image is in."""

    row: PromptRow
    shard: str | None


def prompts_table(prompts: Iterable[ShardedPrompt]) -> pa.Table:
    """Rows of ``PROMPTS``, by shard, so that a job reads its own alone; the ones without a shard last."""
    table = pa.Table.from_pylist([_values(prompt) for prompt in prompts], PROMPTS)
    return table.sort_by([("shard", "ascending"), ("image_key", "ascending"), ("prompt_index", "ascending")])


def read_prompts(path: Path, shard: str) -> list[PromptRow]:
    """The prompts of a shard's images, by image key and in the order of the source.

    Raises:
        maskgrid.errors.UserError: the file is missing or cut off, or of another version.
    """
    table = read_table(path, filters=[("shard", "=", shard)], schema=PROMPTS)
    return [_row(values) for values in table.to_pylist()]


def read_unsharded(path: Path) -> list[PromptRow]:
    """The prompts of images that cannot be used or are not there.

    Raises:
        maskgrid.errors.UserError: as :func:`read_prompts`.
    """
    table = read_table(path, schema=PROMPTS)
    return [_row(values) for values in table.filter(table["shard"].is_null()).to_pylist()]


def _values(prompt: ShardedPrompt) -> dict[str, Any]:
    row = prompt.row
    values = {name: getattr(row, name) for name in PROMPTS.names if name in PromptRow.__slots__}
    values |= {"shard": prompt.shard, "normalized": row.prompt is not None and row.prompt.normalized}
    if row.prompt is not None:
        values |= {name: _plain(getattr(row.prompt, name)) for name in _PROMPT_COLUMNS}
    return values


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.tolist() if isinstance(value, np.ndarray) else value


def _row(values: dict[str, Any]) -> PromptRow:
    prompt = None
    if values["status"] == "ok":
        prompt = Prompt(
            point_coords=_array(values["point_coords"], np.float64),
            point_labels=_array(values["point_labels"], np.int32),
            box_xyxy=_array(values["box_xyxy"], np.float64),
            mask_counts=values["mask_counts"],
            normalized=values["normalized"],
        )
    fields = {name: values[name] for name in PromptRow.__slots__ if name != "prompt"}
    return PromptRow(prompt=prompt, **fields)


def _array(values: Any, dtype: Any) -> Any:  # noqa: ANN401
    return None if values is None else np.array(values, dtype)
