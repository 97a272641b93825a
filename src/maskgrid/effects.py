"""Main effects: how much each value of a swept parameter moves the mean, over all that varies beside it.

Over a full grid these are the factorial design's main effects, exactly, and the effects of a parameter's
values add up to 0. Where settings are left out, or parameters were walked together, effects mix.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.result_schemas import EFFECTS
from maskgrid.settings import SWEEPABLE, Setting

_MEASURES = ("n_masks", "coverage_frac")


def swept_parameters(settings: Sequence[Setting]) -> dict[str, list[Any]]:
    """The parameters with more than one value among the settings, each with its values in order of size."""
    rows = [setting.parameters() for setting in settings]
    values = {name: _distinct([row[name] for row in rows]) for name in SWEEPABLE}
    return {name: found for name, found in values.items() if len(found) > 1}


def effects_table(settings: Sequence[Setting], summary: pa.Table) -> pa.Table:
    """Main effects on the masks of an image and on coverage (``result_schemas.EFFECTS``).

    Args:
        settings: the sweep; where it has a grid, only the settings of the grid are used.
        summary: the table of ``summary.summary_table``. Settings without images are left out.
    """
    means = {
        row["setting_id"]: [row[f"{name}_mean"] for name in _MEASURES]
        for row in summary.select(["setting_id", *(f"{name}_mean" for name in _MEASURES)]).to_pylist()
        if row["n_masks_mean"] is not None
    }
    answered = [setting for setting in settings if setting.id in means]
    used = [setting for setting in answered if setting.in_grid] or answered
    measured = np.array([means[setting.id] for setting in used], np.float64)
    rows = [
        _row(name, value, measured, _having(used, name, value))
        for name, values in swept_parameters(used).items()
        for value in values
    ]
    return pa.Table.from_pylist(rows, schema=EFFECTS)


def _having(settings: Sequence[Setting], name: str, value: Any) -> NDArray[np.bool_]:  # noqa: ANN401
    return np.array([setting.parameters()[name] == value for setting in settings])


def _row(name: str, value: Any, measured: NDArray[np.float64], having: NDArray[np.bool_]) -> dict[str, Any]:  # noqa: ANN401
    mean = measured[having].mean(axis=0)
    effect = mean - measured.mean(axis=0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "parameter": name,
        "value": orjson.dumps(value).decode(),
        "value_number": float(value) if is_number else None,
        "n_settings": int(having.sum()),
        **{f"{measure}_mean": float(mean[column]) for column, measure in enumerate(_MEASURES)},
        **{f"{measure}_effect": float(effect[column]) for column, measure in enumerate(_MEASURES)},
    }


def _distinct(values: list[Any]) -> list[Any]:
    """The distinct values: numbers by size, then all else by their JSON, null last."""
    found = {orjson.dumps(value): value for value in values}
    return sorted(found.values(), key=_order)


def _order(value: Any) -> tuple[int, float, bytes]:  # noqa: ANN401
    if isinstance(value, int | float):
        return 0, float(value), b""
    return (2, 0.0, b"") if value is None else (1, 0.0, orjson.dumps(value))
