"""The columns of the tables in the folder ``tuning``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import Setting, swept_parameters
from maskgrid.io.tables import column

_INTERVAL = "95 % bootstrap interval over images"


def _number(name: str, description: str) -> pa.Field:
    return column(name, pa.float64(), description, nullable=True)


_TRIED = (
    _number("value", "the goal's measure over all images"),
    _number("quality", "the measure against ground truth, or without it the share of the pixels in a mask"),
    _number("n_masks", "masks per image"),
    column("is_allowed", pa.bool_(), "within the goal's limits on masks per image"),
    column("in_sweep", pa.bool_(), "one of the sweep's settings"),
    column("on_front", pa.bool_(), "no other setting tried has as much quality with fewer masks, or more with as many"),
    column("n_folds", pa.int32(), "folds for whose images it was chosen"),
    column("is_best", pa.bool_(), "the best over all images"),
)

OUTCOME = pa.schema(
    [
        column("way", pa.string(), "tuned, sweep (the sweep's best) or default (sam2's own thresholds)"),
        column("goal", pa.string(), "what was searched for"),
        column("setting_id", pa.string(), "the setting, chosen on all images"),
        column("parameters", pa.string(), "its parameters, as JSON"),
        column("config", pa.string(), "the lines of the config that make it the baseline"),
        _number("n_masks", "its masks per image"),
        _number("value", "its goal's measure on all images; better than on others, because it was chosen on these"),
        _number("held_out", "the measure over all images, each at the setting that was chosen without it"),
        _number("held_out_low", f"{_INTERVAL}: its lower end"),
        _number("held_out_high", f"{_INTERVAL}: its upper end"),
        _number("gain", "by how much tuned is better on held-out images; for a target, how much nearer"),
        _number("gain_low", f"{_INTERVAL}: its lower end"),
        _number("gain_high", f"{_INTERVAL}: its upper end"),
        column("is_noise", pa.bool_(), "the interval contains 0: these images cannot tell tuned from this way"),
        column("n_images", pa.int64(), "images"),
        column("n_folds", pa.int64(), "folds"),
        column("n_tried", pa.int64(), "settings tried"),
    ]
)


def tried_table(settings: Sequence[Setting], names: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A row for each setting tried: its id, the parameters that differ or were searched, and what came of it."""
    listed = [setting.parameters() for setting in settings]
    wanted = list(dict.fromkeys([*names, *swept_parameters(settings)]))
    fields, columns = [column("setting_id", pa.string(), "short hash of the parameters")], [[s.id for s in settings]]
    for name in wanted:
        values = [values[name] for values in listed]
        field = GeneratorConfig.model_fields.get(name)
        is_number = all(value is None or type(value) in (int, float) for value in values)
        kind = pa.float64() if is_number else pa.string()
        fields.append(column(name, kind, (field and field.description) or name, nullable=True))
        columns.append(values if is_number else [_text(value) for value in values])
    fields += _TRIED
    columns += [[row[field.name] for row in rows] for field in _TRIED]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
    return pa.table(arrays, schema=pa.schema(fields))


def _text(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else orjson.dumps(value).decode()
