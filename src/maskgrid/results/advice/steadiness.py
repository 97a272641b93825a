"""How much a setting's mask count changes when one parameter moves to the next value of the sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from maskgrid.config.settings import SWEEPABLE, swept_parameters
from maskgrid.results.statistics.curves import Answered


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Relative changes of the mean count from a setting to its neighbours.

    Attributes:
        n_neighbours: number of settings that differ in one parameter, by one step of its values.
        mean_change: mean of the absolute changes, as shares of the setting's own count.
        most_change: the largest change.
        most_parameter: the parameter that causes the largest change.
    """

    n_neighbours: int
    mean_change: float
    most_change: float
    most_parameter: str


def steadiness_of(results: Sequence[Answered]) -> dict[str, Steadiness]:
    """The steadiness of each setting with neighbours and masks, by setting id. Only ordered parameters count."""
    values = [result.setting.parameters() for result in results]
    by_values = {_key(row): result for row, result in zip(values, results, strict=True)}
    steps = {
        name: found
        for name, found in swept_parameters([result.setting for result in results]).items()
        if all(isinstance(value, int | float) for value in found)
    }
    found: dict[str, Steadiness] = {}
    for row, result in zip(values, results, strict=True):
        changes = [
            (abs(neighbour.n_masks - result.n_masks) / result.n_masks, name)
            for name, tried in steps.items()
            for neighbour in _neighbours(row, name, tried, by_values)
            if result.n_masks > 0
        ]
        if changes:
            most, parameter = max(changes)
            mean = sum(change for change, _ in changes) / len(changes)
            found[result.setting.id] = Steadiness(len(changes), mean, most, parameter)
    return found


def _neighbours(
    row: Mapping[str, Any], name: str, tried: Sequence[Any], by_values: Mapping[bytes, Answered]
) -> list[Answered]:
    place = tried.index(row[name])
    moved = [{**row, name: tried[at]} for at in (place - 1, place + 1) if 0 <= at < len(tried)]
    return [by_values[key] for key in map(_key, moved) if key in by_values]


def _key(row: Mapping[str, Any]) -> bytes:
    return orjson.dumps([row[name] for name in SWEEPABLE])
