"""Evidence for each setting: its value over all images, and how often it is best when images are resampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.config.settings import Setting
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import Plan
from maskgrid.results.accuracy.summary import ratio_columns
from maskgrid.results.advice.goals import Goal
from maskgrid.results.advice.steadiness import Steadiness, steadiness_of
from maskgrid.results.report.data import read_accuracy
from maskgrid.results.statistics.bootstrap import ratio_replicates
from maskgrid.results.statistics.curves import Answered, answered

# Resample only this many settings, the nearest to the goal: those far from it are best in no replicate.
_MAX_RESAMPLED = 64
# Few masks change little. So unless the user sets a limit, the steadiest setting must have at least this share of the
# baseline's masks.
STEADY_LEAST_SHARE = 0.5
_COLUMNS = {"masks": "n_masks", "coverage": "coverage_frac", "f1": "f1_50", "recall": "ar_1000"}


@dataclass(frozen=True, slots=True)
class Contender:
    """A setting with its evidence.

    Attributes:
        result: the setting and its row of the summary.
        value: the goal's measure, over all images.
        low: lower end of the value's 95 % interval; None for steadiness, whose uncertainty is not estimated.
        high: upper end; None for steadiness.
        best_frac: share of the resamplings in which it is the best; None for steadiness.
        steadiness: how much its count changes when a threshold moves by one step; None without neighbours.
    """

    result: Answered
    value: float
    low: float | None
    high: float | None
    best_frac: float | None
    steadiness: Steadiness | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All settings within the limits, best first.

    Attributes:
        goal: the goal, with the limits that were applied.
        contenders: by value, best first; among equals the steadier one, then the one with fewer masks.
        n_images: number of images behind the values.
        n_left_out: number of settings left out for too few or too many masks.
        accuracy: rows of the accuracy summary by setting id; empty without ground truth.
    """

    goal: Goal
    contenders: tuple[Contender, ...]
    n_images: int
    n_left_out: int
    accuracy: Mapping[str, Mapping[str, float]]


def gather(plan: Plan, goal: Goal) -> Evidence:
    """Read the statistics and rank the settings.

    Raises:
        UserError: there are no statistics; the goal needs ground truth or neighbours, and there are none; or no setting
            is within the limits.
    """
    rows = read_table(plan.layout.statistics("summary")).to_pylist()
    results = answered(plan.settings, rows)
    if not results or not {row["setting_id"] for row in rows} <= {setting.id for setting in plan.settings}:
        raise UserError(
            f"recommend: {plan.layout.statistics('summary')} has other settings than this config; give the changes of "
            "the run (maskgrid recommend key=value) and its --results, or start maskgrid run"
        )
    accuracy = read_accuracy(plan)
    if goal.needs_truth and not accuracy:
        raise UserError(
            f"recommend: the goal is {goal.words()}, but there are none; set dataset.ground_truth (with "
            "segmentations), or choose another goal"
        )
    goal = _with_least(goal, results, plan.baseline)
    allowed = [one for one in results if goal.allows(one.n_masks)]
    if not allowed:
        fewest, most = (pick(one.n_masks for one in results) for pick in (min, max))
        raise UserError(
            f"recommend: no setting has this number of masks; the settings have {fewest:.1f} to {most:.1f} per image"
        )
    steadiness = steadiness_of(results)
    ranked = ranked_by(goal, allowed, accuracy, steadiness)
    if not ranked:
        raise UserError(
            "recommend: no two settings are one step of one parameter apart, so none is the steadiest; "
            "widen sweep.grid, or choose another goal, such as --masks N"
        )
    resampled = _resample(plan, goal, ranked[:_MAX_RESAMPLED])
    contenders = [_contender(one, _value(goal, one, accuracy, steadiness), resampled, steadiness) for one in ranked]
    n_images = accuracy[ranked[0].setting.id]["n_images"] if goal.needs_truth else ranked[0].row["n_images"]
    return Evidence(goal, tuple(contenders), int(n_images), len(results) - len(allowed), accuracy)


def ranked_by(
    goal: Goal,
    results: Sequence[Answered],
    accuracy: Mapping[str, Mapping[str, float]],
    steadiness: Mapping[str, Steadiness],
) -> list[Answered]:
    """The settings with a value of the goal's measure, best first; among equals the steadier, then with fewer masks."""
    values = {one.setting.id: _value(goal, one, accuracy, steadiness) for one in results}
    known = [one for one in results if np.isfinite(values[one.setting.id])]
    return sorted(known, key=lambda one: _order(goal, one, values[one.setting.id], steadiness))


def _with_least(goal: Goal, results: Sequence[Answered], baseline: Setting) -> Goal:
    """Return the goal; add a minimum number of masks to the goal ``steady`` if it has none."""
    base = next((one.n_masks for one in results if one.setting.id == baseline.id), None)
    if goal.name != "steady" or goal.min_masks is not None or base is None:
        return goal
    least = STEADY_LEAST_SHARE * base
    return goal if goal.max_masks is not None and goal.max_masks < least else replace(goal, min_masks=least)


def _contender(
    result: Answered,
    value: float,
    resampled: Mapping[str, tuple[float, float, float]],
    steadiness: Mapping[str, Steadiness],
) -> Contender:
    low, high, best_frac = resampled.get(result.setting.id, (None, None, None))
    return Contender(result, value, low, high, best_frac, steadiness.get(result.setting.id))


def _value(
    goal: Goal,
    result: Answered,
    accuracy: Mapping[str, Mapping[str, float]],
    steadiness: Mapping[str, Steadiness],
) -> float:
    if goal.name == "steady":
        return steadiness[result.setting.id].mean_change if result.setting.id in steadiness else np.nan
    if goal.needs_truth:
        value = accuracy.get(result.setting.id, {}).get(_COLUMNS[goal.name])
        return np.nan if value is None else float(value)
    return result.n_masks if goal.name == "masks" else result.coverage


def _order(
    goal: Goal, result: Answered, value: float, steadiness: Mapping[str, Steadiness]
) -> tuple[float, float, float, str]:
    # Rounded, so that equal settings compare equal despite differences in the last bit.
    loss = round(float(goal.loss(np.array(value))), 9)
    known = steadiness.get(result.setting.id)
    change = np.inf if known is None else round(known.mean_change, 9)
    return loss, change, round(result.n_masks, 9), result.setting.id


def _resample(plan: Plan, goal: Goal, results: Sequence[Answered]) -> dict[str, tuple[float, float, float]]:
    """Each setting's interval, and its share of replicates as the best; all settings share the draws of images."""
    if goal.name == "steady":
        return {}
    name = _COLUMNS[goal.name]
    table = "accuracy" if goal.needs_truth else "mask_counts"
    columns = [_image_columns(plan.layout.statistics(table), one.setting.id, name, goal) for one in results]
    keys = pc.unique(pa.chunked_array([part[0] for part in columns]))
    numerators, denominators = np.zeros((2, len(keys), len(results)))
    for place, (image_keys, value, weight) in enumerate(columns):
        at = pc.index_in(image_keys, value_set=keys).to_numpy()
        numerators[at, place], denominators[at, place] = value, weight
    replicates = ratio_replicates(numerators, denominators)
    loss = np.where(np.isnan(replicates), np.inf, goal.loss(replicates))
    # Settings that keep exactly the same masks are best together and split the credit.
    is_best = loss <= loss.min(axis=1, keepdims=True) + 1e-12
    best_frac = (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)
    low, high = np.nanquantile(replicates, (0.025, 0.975), axis=0)
    return {
        one.setting.id: (float(low[place]), float(high[place]), float(best_frac[place]))
        for place, one in enumerate(results)
    }


def _image_columns(
    path: Path, setting_id: str, name: str, goal: Goal
) -> tuple[pa.Array, NDArray[np.float64], NDArray[np.float64]]:
    """Image keys, the goal's value times its weight, and the weight."""
    if goal.needs_truth:
        table = read_table(path, filters=[("setting_id", "=", setting_id)])
        values, weights = ratio_columns(table, [name])
        value, weight = values[:, 0], weights[:, 0]
    else:
        table = read_table(path, ["image_key", name], [("setting_id", "=", setting_id)])
        value = table[name].to_numpy().astype(np.float64)
        weight = np.ones(len(value))
    return table["image_key"].combine_chunks(), value, weight
