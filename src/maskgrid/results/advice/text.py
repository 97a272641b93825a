"""Advice as text: the setting, why, how sure, the alternatives, and the config lines to copy."""

from collections.abc import Sequence

import yaml

from maskgrid.config.filters import filters_on
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import CHECKPOINT, Setting, differences, swept_parameters, values_of
from maskgrid.io.errors import UserError
from maskgrid.io.wording import NONE, count, interval, number, share
from maskgrid.plan.plan import Plan
from maskgrid.results.advice.evidence import Contender, Evidence, gather
from maskgrid.results.advice.goals import Goal
from maskgrid.results.statistics.curves import Answered, not_dominated

_MAX_OTHERS = 5
_MAX_NOT_BETTERED = 12
# A setting that is best in a smaller share of the resamplings is no rival.
_LEAST_FRAC = 0.05


def advice_text(plan: Plan, evidence: Evidence) -> str:
    """The recommendation for a terminal."""
    best = evidence.contenders[0]
    lines = [
        f"Goal: {evidence.goal.words()}.",
        "",
        f"Take {best.result.setting.label}: {differences(best.result.setting, plan.baseline)}",
        *_why(best, evidence),
        "",
        *_out_of_reach(evidence),
        *_how_sure(best, evidence, plan.baseline),
        "",
        *_not_bettered(evidence, plan.baseline),
        "",
        "To make it the baseline of your config:",
        "",
        config_block(best.result.setting, plan.settings),
    ]
    return "\n".join(lines)


def default_goal_line(goal: Goal) -> str:
    """Say by which goal ``recommend`` chooses if it was given none, why, and which others there are."""
    if goal.needs_truth:
        return "No goal was given: chosen by --f1, as there are annotated objects. Other goals: " + _other_goals(goal)
    return (
        f"No goal was given: chosen by --steady. Other goals: {_other_goals(goal)} (these two need annotated objects)"
    )


def _other_goals(goal: Goal) -> str:
    options = {"masks": "--masks N", "coverage": "--coverage SHARE", "steady": "--steady", "f1": "--f1"}
    return ", ".join([*(text for name, text in options.items() if name != goal.name), "--recall"])


def _why(best: Contender, evidence: Evidence) -> list[str]:
    row, found = best.result.row, evidence.accuracy.get(best.result.setting.id)
    lines = [
        f"  masks per image   {number(best.result.n_masks)} (95 % interval "
        f"{interval(row['n_masks_low'], row['n_masks_high'])})",
        f"  area covered      {share(best.result.coverage)} (95 % interval "
        f"{_share_interval(row['coverage_frac_low'], row['coverage_frac_high'])})",
    ]
    if found is not None:
        lines += [
            f"  {name:<16}  {number(found[key], 3)} (95 % interval "
            f"{interval(found[key + '_low'], found[key + '_high'], 3)})"
            for name, key in (("F1 at IoU 0.5", "f1_50"), ("recall at 0.5", "recall_50"), ("AR@1000", "ar_1000"))
        ]
    return [*lines, f"  steadiness        {_steadiness(best)}"]


def _share_interval(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{share(low)} to {share(high)}"


def _steadiness(contender: Contender) -> str:
    known = contender.steadiness
    if known is None:
        return "unknown: the sweep has no setting one step away"
    return (
        f"one step of one parameter changes the count by {share(known.mean_change, 0)} on average "
        f"({count(known.n_neighbours, 'neighbour')}), by {share(known.most_change, 0)} at most ({known.most_parameter})"
    )


def _out_of_reach(evidence: Evidence) -> list[str]:
    """Say so if the target is beyond all settings: then the sweep is at fault, not the choice."""
    values = [one.value for one in evidence.contenders]
    target = evidence.goal.target
    if target is None or min(values) <= target <= max(values):
        return []
    form = share if evidence.goal.name == "coverage" else number
    return [f"Out of reach: the settings give {form(min(values))} to {form(max(values))}. Widen the sweep."]


def _how_sure(best: Contender, evidence: Evidence, baseline: Setting) -> list[str]:
    others = evidence.contenders[1:]
    left_out = [f"{count(evidence.n_left_out, 'setting')} left out because of the number of masks."]
    limit = left_out if evidence.n_left_out else []
    if best.best_frac is None:
        limit = [line + " --min-masks 0 keeps those with few." for line in limit]
        lines = ["How sure: the change in count is measured on these images; its uncertainty is not estimated.", *limit]
        return [*lines, *_listed("Next:", others[:_MAX_OTHERS], evidence, baseline)]
    lines = [
        f"How sure: over 1,000 resamplings of the {count(evidence.n_images, 'image')} it is the best of "
        f"{count(len(evidence.contenders), 'setting')} in {share(best.best_frac, 0)}.",
        *limit,
    ]
    rivals = [one for one in others if one.best_frac is not None and one.best_frac >= _LEAST_FRAC]
    rivals.sort(key=lambda one: -(one.best_frac or 0.0))
    if rivals:
        title = "These images cannot tell it apart from:"
        return [*lines, *_listed(title, rivals[:_MAX_OTHERS], evidence, baseline)]
    return [*lines, *_listed("Next:", others[:_MAX_OTHERS], evidence, baseline)]


def _listed(title: str, contenders: Sequence[Contender], evidence: Evidence, baseline: Setting) -> list[str]:
    if not contenders:
        return []
    return [title, *(f"  {_one_line(one, evidence, baseline)}" for one in contenders)]


def _one_line(one: Contender, evidence: Evidence, baseline: Setting) -> str:
    as_shares = evidence.goal.name in ("coverage", "steady")
    digits = 3 if evidence.goal.needs_truth else 1
    value = share(one.value) if as_shares else number(one.value, digits)
    often = "" if one.best_frac is None else f", best in {share(one.best_frac, 0)}"
    masks = "" if evidence.goal.name == "masks" else f", {number(one.result.n_masks)} masks"
    return f"{one.result.setting.label}: {value}{often}{masks}; {differences(one.result.setting, baseline)}"


def _not_bettered(evidence: Evidence, baseline: Setting) -> list[str]:
    """The settings worth a look for any target."""
    results = [one.result for one in evidence.contenders]
    by_truth = bool(evidence.accuracy)

    def recall(one: Answered) -> float:
        return float(evidence.accuracy.get(one.setting.id, {}).get("ar_1000") or 0.0)

    best = not_dominated(results, recall) if by_truth else not_dominated(results)
    what = "finds as much (AR@1000)" if by_truth else "covers as much"
    step = -(-len(best) // _MAX_NOT_BETTERED)
    shown = best[::step]
    skipped = "" if step == 1 else f" ({len(shown)} of {len(best)} shown)"
    lines = [f"Best trade-offs: no other setting {what} with fewer masks{skipped}:"]
    return lines + [
        f"  {one.setting.label}: {number(one.n_masks)} masks, "
        + (f"AR {number(recall(one), 3)}" if by_truth else f"{share(one.coverage)} covered")
        + f"; {differences(one.setting, baseline)}"
        for one in shown
    ]


def config_block(setting: Setting, settings: Sequence[Setting]) -> str:
    """The config lines that make a setting the baseline: swept parameters and those that are not sam2's defaults."""
    swept = swept_parameters(settings)
    # Also what is off and so left out of files, such as tiles.
    values, defaults = ({**values_of(of), **of.model_dump()} for of in (setting.generator, GeneratorConfig()))
    generator = {name: value for name, value in values.items() if name in swept or value != defaults[name]}
    block: dict[str, object] = {"generator": generator} if generator else {}
    on = filters_on(setting.filters)
    filters = {name: value for name, value in setting.filters.model_dump().items() if name in swept or name in on}
    block |= {"filters": filters} if filters else {}
    if CHECKPOINT in swept:
        block = {"model": {"checkpoint": setting.checkpoint}, **block}
    text: str = yaml.safe_dump(block, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text.rstrip()


def recommend(plan: Plan, goal: Goal) -> str:
    """Recommend a setting for a goal, with reasons and config lines, as text.

    Raises:
        UserError: the goal makes no sense, or the statistics cannot answer it.
    """
    if goal.name == "coverage" and not 0.0 <= (goal.target or 0.0) <= 1.0:
        raise UserError(f"recommend: --coverage is a share of the image from 0 to 1, not {goal.target:g}")
    if min(goal.target or 0.0, goal.min_masks or 0.0, goal.max_masks or 0.0) < 0.0:
        raise UserError("recommend: the number of masks must not be negative")
    return advice_text(plan, gather(plan, goal))
