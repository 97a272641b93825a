"""Results derived from the summary: responses to one or two parameters, flat ranges, non-dominated settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import orjson

from maskgrid.config.settings import SWEEPABLE, Setting, swept_parameters

SummaryRow = Mapping[str, Any]
# A range of a threshold is flat if the mean count changes by less than this share of the baseline's.
FLAT_SHARE = 0.05
# A heat map with more values is unreadable.
_MAX_VALUES_IN_MAP = 24
MAX_MAPS = 15


@dataclass(frozen=True, slots=True)
class Answered:
    """A setting with its row of the summary; only settings with results for at least one image."""

    setting: Setting
    row: SummaryRow

    @property
    def n_masks(self) -> float:
        """Mean number of masks per image."""
        return float(self.row["n_masks_mean"])

    @property
    def coverage(self) -> float:
        """Mean share of an image covered by masks."""
        return float(self.row["coverage_frac_mean"])


@dataclass(frozen=True, slots=True)
class Point:
    """A parameter value and the mean count there; with interval and setting id if the count is of one setting."""

    value: float
    n_masks: float
    low: float | None
    high: float | None
    setting_id: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """How the mean count responds to a parameter.

    Attributes:
        parameter: the parameter.
        points: by ascending value.
        at_baseline: True if all other parameters are at the baseline's values; else each point is a mean over them.
        baseline_value: the baseline's value, if it is a number.
    """

    parameter: str
    points: tuple[Point, ...]
    at_baseline: bool
    baseline_value: float | None


@dataclass(frozen=True, slots=True)
class PairMap:
    """Mean counts over two parameters.

    Attributes:
        names: the parameters, across and down.
        values: their values.
        means: mean over all settings with both values, by the positions of the values.
        baseline: the position of the baseline, if it is on the map.
    """

    names: tuple[str, str]
    values: tuple[tuple[Any, ...], tuple[Any, ...]]
    means: Mapping[tuple[int, int], float]
    baseline: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class FlatRange:
    """A range of a parameter over which the mean count hardly changes."""

    parameter: str
    start: float
    stop: float
    low: float
    high: float


def answered(settings: Sequence[Setting], rows: Sequence[SummaryRow]) -> list[Answered]:
    """The settings with results, in the order of the sweep."""
    known = {row["setting_id"]: row for row in rows if row["n_masks_mean"] is not None}
    return [Answered(setting, known[setting.id]) for setting in settings if setting.id in known]


def response_curves(results: Sequence[Answered], baseline: Setting) -> list[Curve]:
    """A curve for each swept numeric parameter."""
    swept = swept_parameters([result.setting for result in results])
    return [_curve(name, results, baseline) for name, values in swept.items() if sum(map(_is_number, values)) > 1]


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float) and not isinstance(value, bool)


def _curve(name: str, results: Sequence[Answered], baseline: Setting) -> Curve:
    base = baseline.parameters()
    others = [other for other in SWEEPABLE if other != name]
    by_value: dict[float, list[Answered]] = {}
    alone: dict[float, Answered] = {}
    for result in results:
        values = result.setting.parameters()
        if not _is_number(values[name]):
            continue
        by_value.setdefault(float(values[name]), []).append(result)
        if all(values[other] == base[other] for other in others):
            alone[float(values[name])] = result
    base_value = float(base[name]) if _is_number(base[name]) else None
    if len(alone) > 1:
        points = [
            Point(value, one.n_masks, one.row["n_masks_low"], one.row["n_masks_high"], one.setting.id)
            for value, one in sorted(alone.items())
        ]
        return Curve(name, tuple(points), True, base_value)
    means = [(value, sum(one.n_masks for one in group) / len(group)) for value, group in sorted(by_value.items())]
    return Curve(name, tuple(Point(value, mean, None, None) for value, mean in means), False, base_value)


def flat_ranges(curve: Curve, baseline_count: float, flat_share: float = FLAT_SHARE) -> list[FlatRange]:
    """The widest ranges of a curve, two values or more, whose counts differ by less than a share of the baseline's."""
    limit = flat_share * baseline_count
    counts = [point.n_masks for point in curve.points]
    found: list[FlatRange] = []
    last_stop = 0
    for start in range(len(counts) - 1):
        stop = start
        while stop + 1 < len(counts) and max(counts[start : stop + 2]) - min(counts[start : stop + 2]) < limit:
            stop += 1
        if stop > max(start, last_stop):
            low, high = min(counts[start : stop + 1]), max(counts[start : stop + 1])
            found.append(FlatRange(curve.parameter, curve.points[start].value, curve.points[stop].value, low, high))
            last_stop = stop
    return found


def pair_maps(results: Sequence[Answered], baseline: Setting) -> tuple[list[PairMap], int]:
    """A map for each pair of swept parameters, at most ``MAX_MAPS``, and the number of pairs left out."""
    used = [result for result in results if result.setting.in_grid] or list(results)
    swept = swept_parameters([result.setting for result in used])
    names = [name for name, values in swept.items() if len(values) <= _MAX_VALUES_IN_MAP]
    pairs = list(combinations(names, 2))
    n_all = len(swept) * (len(swept) - 1) // 2
    maps = [_pair_map(pair, (swept[pair[0]], swept[pair[1]]), used, baseline) for pair in pairs[:MAX_MAPS]]
    return maps, n_all - len(maps)


def _pair_map(
    names: tuple[str, str], values: tuple[list[Any], list[Any]], results: Sequence[Answered], baseline: Setting
) -> PairMap:
    places = [{orjson.dumps(value): place for place, value in enumerate(listed)} for listed in values]
    sums: dict[tuple[int, int], list[float]] = {}
    for result in results:
        across, down = _place(result.setting, names, places)
        if across is not None and down is not None:
            sums.setdefault((across, down), []).append(result.n_masks)
    means = {place: sum(counts) / len(counts) for place, counts in sums.items()}
    across, down = _place(baseline, names, places)
    marked = None if across is None or down is None else (across, down)
    return PairMap(names, (tuple(values[0]), tuple(values[1])), means, marked)


def _place(
    setting: Setting, names: tuple[str, str], places: Sequence[Mapping[bytes, int]]
) -> tuple[int | None, int | None]:
    values = setting.parameters()
    across, down = (places[axis].get(orjson.dumps(values[name])) for axis, name in enumerate(names))
    return across, down


def not_dominated(
    results: Sequence[Answered], gain: Callable[[Answered], float] = lambda one: one.coverage
) -> list[Answered]:
    """The Pareto front: settings for which no other gains as much with fewer masks, or more with as many.

    Args:
        results: the settings.
        gain: the benefit to weigh against the number of masks; by default coverage.
    """
    best: list[Answered] = []
    for result in sorted(results, key=lambda one: (one.n_masks, -gain(one), one.setting.id)):
        if not best or gain(result) > gain(best[-1]):
            best.append(result)
    return best
