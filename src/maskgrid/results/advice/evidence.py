"""What speaks for each setting: its value over all images, and how often it is best when images are resampled."""

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

# Settings that are resampled: the nearest to the goal. One far from it is best in no replicate.
_MAX_RESAMPLED = 64
# Few masks change little: without a limit of the user's, the steadiest setting has at least this share of the
# baseline's.
STEADY_LEAST_SHARE = 0.5
_COLUMNS = {"masks": "n_masks", "coverage": "coverage_frac", "f1": "f1_50", "recall": "ar_1000"}


@dataclass(frozen=True, slots=True)
class Contender:
    """A setting with what speaks for it.

    Attributes:
        result: the setting and its row of the summary.
        value: what the goal is about, over all images.
        low: lower end of the value's 95 % interval; None for steadiness, whose uncertainty is not estimated.
        high: upper end.
        best_frac: share of the resamplings of the images in which it is the best; None likewise.
        steadiness: how much its count changes when a threshold moves by a step; None without neighbours.
    """

    result: Answered
    value: float
    low: float | None
    high: float | None
    best_frac: float | None
    steadiness: Steadiness | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All settings that may be taken, the best first.

    Attributes:
        goal: what was looked for, with the limits that were applied.
        contenders: by the value, the best first; of equals the steadier, then the one of fewer masks.
        n_images: images that the values are from.
        n_left_out: settings that were left out for too few or too many masks.
        accuracy: rows of the summary of accuracies by setting's id; empty without ground truth.
    """

    goal: Goal
    contenders: tuple[Contender, ...]
    n_images: int
    n_left_out: int
    accuracy: Mapping[str, Mapping[str, float]]


def gather(plan: Plan, goal: Goal) -> Evidence:
    """Read the statistics and rank the settings.

    Raises:
        UserError: the statistics are not there; the goal needs ground truth, or neighbours, and there are none; no
            setting has such a number of masks.
    """
    results = answered(plan.settings, read_table(plan.layout.statistics("summary")).to_pylist())
    accuracy = read_accuracy(plan)
    if goal.needs_truth and not accuracy:
        raise UserError(
            f"recommend: the goal is {goal.words()}, but there are none; give dataset.ground_truth (one with "
            "segmentations), or another goal"
        )
    goal = _with_least(goal, results, plan.baseline)
    allowed = [one for one in results if goal.allows(one.n_masks)]
    if not allowed:
        fewest, most = (pick((one.n_masks for one in results), default=0.0) for pick in (min, max))
        raise UserError(
            f"recommend: no setting has such a number of masks; they have {fewest:.1f} to {most:.1f} an image"
        )
    steadiness = steadiness_of(results)
    values = {one.setting.id: _value(goal, one, accuracy, steadiness) for one in allowed}
    known = [one for one in allowed if np.isfinite(values[one.setting.id])]
    if not known:
        raise UserError("recommend: no setting of the sweep has a neighbour, one step of one parameter away")
    ranked = sorted(known, key=lambda one: _order(goal, one, values[one.setting.id], steadiness))
    resampled = _resample(plan, goal, ranked[:_MAX_RESAMPLED])
    contenders = [_contender(one, values[one.setting.id], resampled, steadiness) for one in ranked]
    n_images = accuracy[ranked[0].setting.id]["n_images"] if goal.needs_truth else ranked[0].row["n_images"]
    return Evidence(goal, tuple(contenders), int(n_images), len(results) - len(allowed), accuracy)


def _with_least(goal: Goal, results: Sequence[Answered], baseline: Setting) -> Goal:
    """The goal; that of a steady count with a least number of masks, where it says none."""
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
    # Rounded, so that equal settings are equal whatever the last bit says.
    loss = round(float(goal.loss(np.array(value))), 9)
    known = steadiness.get(result.setting.id)
    change = np.inf if known is None else round(known.mean_change, 9)
    return loss, change, round(result.n_masks, 9), result.setting.id


def _resample(plan: Plan, goal: Goal, results: Sequence[Answered]) -> dict[str, tuple[float, float, float]]:
    """Interval, and share of replicates in which it is the best, of each setting; images are drawn alike for all."""
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
    # Settings that keep the very same masks are best together, and each has its share of it.
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
    """Images with the goal's value times its weight, and the weight."""
    if goal.needs_truth:
        table = read_table(path, filters=[("setting_id", "=", setting_id)])
        values, weights = ratio_columns(table, [name])
        value, weight = values[:, 0], weights[:, 0]
    else:
        table = read_table(path, ["image_key", name], [("setting_id", "=", setting_id)])
        value = table[name].to_numpy().astype(np.float64)
        weight = np.ones(len(value))
    return table["image_key"].combine_chunks(), value, weight
