"""The stage ``tune``: search, judge what was found on images that were not searched, write the tables."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from maskgrid.config.messages import first_error
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import Setting
from maskgrid.config.tuning import TuneConfig
from maskgrid.io.errors import UserError
from maskgrid.io.progress import counted
from maskgrid.io.tables import write_table
from maskgrid.plan.passes import Recording, recording_of
from maskgrid.plan.plan import Plan
from maskgrid.results.advice.goals import Goal, GoalName
from maskgrid.results.advice.text import config_block
from maskgrid.results.notes import tuning_origin
from maskgrid.results.tuning.evaluation import Evaluator
from maskgrid.results.tuning.images import has_objects, read_images
from maskgrid.results.tuning.judgement import Figure, Judged, front, is_allowed, judge, loss, n_masks, quality, value
from maskgrid.results.tuning.search import Budget, Found, best_of, search
from maskgrid.results.tuning.space import Axis, SearchSpace, axes_for, stem_of
from maskgrid.results.tuning.tables import OUTCOME, tried_table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to choose a setting.

    Attributes:
        name: ``tuned``, ``sweep`` or ``default``.
        setting: its choice on all images.
        n_masks: masks per image there.
        value: the goal's value there.
        judged: what held-out images say.
    """

    name: str
    setting: Setting
    n_masks: float
    value: float
    judged: Judged


@dataclass(frozen=True, slots=True)
class Tuned:
    """The outcome.

    Attributes:
        goal: the goal.
        ways: the ways to choose, the search first.
        evaluator: everything that was tried.
        found: what the search chose.
        axes: what was searched.
        sweep_ids: the ids of the sweep's settings.
        floors: axes on which the best setting is at the floor of what was recorded.
        is_late: whether the time was up before the search was done.
    """

    goal: Goal
    ways: tuple[Way, ...]
    evaluator: Evaluator
    found: Found
    axes: tuple[Axis, ...]
    sweep_ids: frozenset[str]
    floors: tuple[str, ...]
    is_late: bool


def write_tuning(plan: Plan) -> Tuned:
    """Search as the config's section ``tune`` says, and write ``tuning/settings.parquet`` and ``outcome.parquet``.

    Raises:
        UserError: as :func:`tune`, or the config has no such section.
    """
    if plan.config.tune is None:
        raise UserError("tune: the config has no such section; add tune: {}")
    tuned, origin = tune(plan, plan.config.tune), tuning_origin(plan)
    write_table(plan.layout.tuning("settings"), settings_table(tuned), origin)
    write_table(plan.layout.tuning("outcome"), outcome_table(plan, tuned), origin)
    return tuned


def changed(config: TuneConfig | None, changes: Mapping[str, Any]) -> TuneConfig:
    """The section, or the defaults, with some values changed.

    Raises:
        UserError: an impossible value or combination.
    """
    try:
        return TuneConfig.model_validate({**(config or TuneConfig()).model_dump(), **changes})
    except ValidationError as error:
        raise UserError(f"tune: {first_error(error, TuneConfig)}") from None


def write_tried(tuned: Tuned, path: Path) -> None:
    """Write a row for each setting tried, wherever the user wants it.

    Raises:
        UserError: the file is not named as Parquet.
    """
    if path.suffix != ".parquet":
        raise UserError(f"tune: --output {path}: name a .parquet file")
    write_table(path, settings_table(tuned), {"goal": tuned.goal.words()})


def goal_of(plan: Plan, config: TuneConfig) -> Goal:
    """The goal, by default F1 with ground truth and steadiness without."""
    default: GoalName = "f1" if has_objects(plan) else "steady"
    return Goal(config.goal or default, config.target, config.min_masks, config.max_masks)


def tune(plan: Plan, config: TuneConfig) -> Tuned:
    """Search for the best setting.

    Raises:
        UserError: as :func:`maskgrid.results.tuning.images.read_images`; an unknown parameter in ``vary``; no setting
            within the limits.
    """
    goal = goal_of(plan, config)
    settings = list(plan.settings)
    images = read_images(plan, goal, config.images)
    axes = axes_for(config.vary, settings)
    lowest = min([axis.low for axis in axes if axis.name.endswith("_nms_thresh")] + [_least_nms(settings)])
    evaluator = Evaluator(images, goal, lowest)
    space = _space(plan, settings, axes, evaluator)
    evaluator.space = space
    default = _default(plan, space, evaluator)
    known = [*settings, *default]
    if goal.name == "steady" and goal.min_masks is None:
        evaluator.goal = goal = _with_least(goal, plan, evaluator)
    with counted(config.settings, "tune", "settings") as advance:
        budget = Budget(config.settings, None if config.minutes is None else 60 * config.minutes, advance)
        found = search(evaluator, space, known, config, budget)
        is_late = budget.is_late
    if not is_allowed(loss(goal, evaluator.of([found.best]).sum(axis=1)))[0]:
        raise UserError(f"tune: no setting tried fits the goal: {goal.words()}; widen the limits or record more")
    ways = _ways(evaluator, found, settings, default)
    sweep_ids = frozenset(setting.id for setting in settings)
    return Tuned(goal, ways, evaluator, found, tuple(axes), sweep_ids, _floors(found.best, space), is_late)


def _least_nms(settings: Sequence[Setting]) -> float:
    return min(min(one.generator.box_nms_thresh, one.generator.crop_nms_thresh) for one in settings)


def _space(plan: Plan, settings: Sequence[Setting], axes: Sequence[Axis], evaluator: Evaluator) -> SearchSpace:
    """The stems of the sweep, the baseline's first."""
    names = [axis.name for axis in axes]
    stems = {stem_of(setting, names): setting for setting in reversed([plan.baseline, *settings])}
    first = stem_of(plan.baseline, names)
    ordered = [stems.pop(first), *reversed(stems.values())]
    return SearchSpace.of(plan.config, ordered, axes, evaluator.recorded)


def _default(plan: Plan, space: SearchSpace, evaluator: Evaluator) -> list[Setting]:
    """The baseline at sam2's own thresholds, if they are within what was recorded."""
    own = GeneratorConfig().model_dump()
    thresholds = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh")
    setting = space.changed(plan.baseline, {name: own[name] for name in thresholds})
    _, recording = evaluator.recorded(plan.baseline)
    needed = recording_of(setting.generator)
    is_there = (
        recording.pred_iou_thresh <= needed.pred_iou_thresh
        and recording.stability_score_thresh <= needed.stability_score_thresh
    )
    return [setting] if is_there else []


def _with_least(goal: Goal, plan: Plan, evaluator: Evaluator) -> Goal:
    """Few masks change little: ask for half of the baseline's, as ``recommend`` does."""
    base = float(n_masks(evaluator.of([plan.baseline]).sum(axis=1))[0])
    least = base / 2
    if goal.max_masks is not None and goal.max_masks < least:
        return goal
    return Goal(goal.name, goal.target, least, goal.max_masks)


def _ways(evaluator: Evaluator, found: Found, sweep: Sequence[Setting], default: Sequence[Setting]) -> tuple[Way, ...]:
    """Judge the search, the sweep's best and sam2's default on the same folds."""
    everything = np.ones(len(evaluator.images), np.bool_)
    chosen = {
        "tuned": (found.best, found.tuned),
        "sweep": (
            best_of(sweep, evaluator, everything),
            tuple(best_of(sweep, evaluator, ~fold) for fold in found.folds),
        ),
    }
    if default:
        chosen["default"] = (default[0], tuple(default[0] for _ in found.folds))
    held_out = [_held_out(evaluator, by_fold, found.folds) for _, by_fold in chosen.values()]
    judged = judge(evaluator.goal, held_out)
    ways = []
    for (name, (setting, _)), one in zip(chosen.items(), judged, strict=True):
        sums = evaluator.of([setting]).sum(axis=1)
        ways.append(Way(name, setting, float(n_masks(sums)[0]), float(value(evaluator.goal, sums)[0]), one))
    return tuple(ways)


def _held_out(evaluator: Evaluator, by_fold: Sequence[Setting], folds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The columns of each image at the setting that was chosen without it: float64 (images, columns)."""
    columns = evaluator.of(by_fold)
    held_out = np.zeros(columns.shape[1:])
    for fold, of_setting in zip(folds, columns, strict=True):
        held_out[fold] = of_setting[fold]
    return held_out


def _floors(best: Setting, space: SearchSpace) -> tuple[str, ...]:
    """The scores' axes on which the best setting keeps all that was recorded, though more could have been."""
    values = best.parameters()
    names = [axis.name for axis in space.axes]
    place = [stem_of(stem, names) for stem in space.stems].index(stem_of(best, names))
    return tuple(
        scale.axis.name
        for scale in space.scales[place]
        if scale.axis.name in Recording.__slots__ and 0.0 < scale.values[0] == values[scale.axis.name]
    )


def settings_table(tuned: Tuned) -> pa.Table:
    """A row for each setting tried."""
    evaluator, settings = tuned.evaluator, list(tuned.evaluator.settings.values())
    sums = evaluator.of(settings).sum(axis=1)
    counts, qualities, values = n_masks(sums), quality(sums), value(tuned.goal, sums)
    on_front = set(front(counts, qualities))
    allowed = is_allowed(loss(tuned.goal, sums))
    chosen = [setting.id for setting in tuned.found.tuned]
    rows: list[dict[str, Any]] = [
        {
            "value": _cell(values[place]),
            "quality": _cell(qualities[place]),
            "n_masks": float(counts[place]),
            "is_allowed": bool(allowed[place]),
            "in_sweep": setting.id in tuned.sweep_ids,
            "on_front": place in on_front,
            "n_folds": chosen.count(setting.id),
            "is_best": setting.id == tuned.found.best.id,
        }
        for place, setting in enumerate(settings)
    ]
    return tried_table(settings, [axis.name for axis in tuned.axes], rows)


def outcome_table(plan: Plan, tuned: Tuned) -> pa.Table:
    """A row for each way to choose a setting (``tables.OUTCOME``)."""
    rows = [
        {
            "way": way.name,
            "goal": tuned.goal.words(),
            "setting_id": way.setting.id,
            "parameters": orjson.dumps(way.setting.parameters()).decode(),
            "config": config_block(way.setting, [*plan.settings, way.setting]),
            "n_masks": way.n_masks,
            "value": _cell(way.value),
            **{f"held_out{end}": _cell(figure) for end, figure in _ends(way.judged.held_out)},
            **{f"gain{end}": _cell(figure) for end, figure in _ends(way.judged.gain)},
            "is_noise": way.judged.is_noise,
            "n_images": len(tuned.evaluator.images),
            "n_folds": len(tuned.found.folds),
            "n_tried": len(tuned.evaluator.settings),
        }
        for way in tuned.ways
    ]
    return pa.Table.from_pylist(rows, schema=OUTCOME)


def _ends(figure: Figure) -> list[tuple[str, float]]:
    return [("", figure.value), ("_low", figure.low), ("_high", figure.high)]


def _cell(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
