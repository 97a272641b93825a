"""Effects: how much each value of a swept parameter shifts the mean, averaged over all other parameters.

Over a full grid these are exactly the factorial design's main effects, and the effects of a parameter's values sum
to 0. If settings are excluded, or parameters were walked together, effects mix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.config.settings import Setting, swept_parameters
from maskgrid.results.statistics.tables import EFFECTS, INTERACTIONS

_MEASURES = ("n_masks", "coverage_frac")


def effects_table(settings: Sequence[Setting], summary: pa.Table) -> pa.Table:
    """Main effects on the masks per image and on coverage (``statistics.tables.EFFECTS``).

    Args:
        settings: the sweep; if it has a grid, only the grid's settings are used.
        summary: the table of ``summary.summary_table``. Settings without images are left out.
    """
    used, measured = _measured(settings, summary)
    rows = []
    for level in levels_of(used):
        mean = measured[level.having].mean(axis=0)
        row = {"parameter": level.parameter, "value": level.text, "value_number": level.number}
        rows.append(row | _results(mean, mean - measured.mean(axis=0), int(level.having.sum()), "effect"))
    return pa.Table.from_pylist(rows, schema=EFFECTS)


def is_full_grid(settings: Sequence[Setting]) -> bool:
    """Return whether every combination of the swept values occurs once, so that effects and interactions are exact."""
    used = [setting for setting in settings if setting.in_grid] or list(settings)
    return len(used) == prod(len(values) for values in swept_parameters(used).values())


def interactions_table(settings: Sequence[Setting], summary: pa.Table) -> pa.Table:
    """Interactions of each pair of swept parameters (``statistics.tables.INTERACTIONS``).

    The effect of two values together beyond their separate effects: mean at both - mean at a - mean at b + mean.
    Pairs of values that no setting combines have no row. Arguments as for :func:`effects_table`.
    """
    used, measured = _measured(settings, summary)
    rows = []
    for a, b in combinations(levels_of(used), 2):
        both = a.having & b.having
        if a.parameter == b.parameter or not both.any():
            continue
        mean = measured[both].mean(axis=0)
        alone = measured[a.having].mean(axis=0) + measured[b.having].mean(axis=0)
        row = {
            "parameter_a": a.parameter,
            "value_a": a.text,
            "value_a_number": a.number,
            "parameter_b": b.parameter,
            "value_b": b.text,
            "value_b_number": b.number,
        }
        interaction = mean - alone + measured.mean(axis=0)
        rows.append(row | _results(mean, interaction, int(both.sum()), "interaction"))
    return pa.Table.from_pylist(rows, schema=INTERACTIONS)


@dataclass(frozen=True, slots=True)
class Level:
    """A value of a swept parameter, and a mask of the settings that have it: bool (settings,)."""

    parameter: str
    value: Any
    having: NDArray[np.bool_]

    @property
    def text(self) -> str:
        """The value as JSON."""
        return orjson.dumps(self.value).decode()

    @property
    def number(self) -> float | None:
        """The value; None if it is no number."""
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return float(self.value) if is_number else None


def _measured(settings: Sequence[Setting], summary: pa.Table) -> tuple[list[Setting], NDArray[np.float64]]:
    """The settings to use, and their means: float64 (settings, measures)."""
    means = {
        row["setting_id"]: [row[f"{name}_mean"] for name in _MEASURES]
        for row in summary.select(["setting_id", *(f"{name}_mean" for name in _MEASURES)]).to_pylist()
        if row["n_masks_mean"] is not None
    }
    answered = [setting for setting in settings if setting.id in means]
    used = [setting for setting in answered if setting.in_grid] or answered
    return used, np.array([means[setting.id] for setting in used], np.float64)


def levels_of(settings: Sequence[Setting]) -> list[Level]:
    """The values of the swept parameters, parameter by parameter, each by size."""
    rows = [setting.parameters() for setting in settings]
    return [
        Level(name, value, np.array([row[name] == value for row in rows]))
        for name, values in swept_parameters(settings).items()
        for value in values
    ]


def _results(mean: NDArray[np.float64], change: NDArray[np.float64], n_settings: int, kind: str) -> dict[str, Any]:
    means = {f"{measure}_mean": float(mean[column]) for column, measure in enumerate(_MEASURES)}
    changes = {f"{measure}_{kind}": float(change[column]) for column, measure in enumerate(_MEASURES)}
    return {"n_settings": n_settings, **means, **changes}
