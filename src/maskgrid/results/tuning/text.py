"""What ``tune`` found, as text: the setting, how good it is on other images, trade-offs, config lines."""

import numpy as np

from maskgrid.config.settings import differences
from maskgrid.io.wording import count, interval, number, share, table_lines
from maskgrid.plan.plan import Plan
from maskgrid.results.advice.goals import Goal
from maskgrid.results.advice.text import config_block
from maskgrid.results.tuning.judgement import Figure, front, n_masks, quality
from maskgrid.results.tuning.stage import Tuned, Way

_MOST_ON_FRONT = 12
WAYS = {"tuned": "tuned", "sweep": "the sweep's best", "default": "sam2's default thresholds"}


def tuned_text(plan: Plan, tuned: Tuned) -> str:
    """The outcome for a terminal."""
    best = tuned.ways[0].setting
    late = " The time was up before all were tried." if tuned.is_late else ""
    searched = ", ".join(axis.name for axis in tuned.axes)
    images, folds = len(tuned.evaluator.images), len(tuned.found.folds)
    lines = [
        f"Goal: {tuned.goal.words()}.",
        f"Tried {count(len(tuned.evaluator.settings), 'setting')} over {count(images, 'image')} ({searched}).{late}",
        "",
        f"Take {differences(best, plan.baseline)}",
        "",
        *table_lines(_rows(tuned)),
        "",
        f"Held out: in {count(folds, 'fold')}, each image is judged at the setting that was chosen on the others; only "
        "these figures say what to expect of other images.",
        *(gain_words(way) for way in tuned.ways[1:]),
        *(f"{name} is at the floor of what was recorded: record.{name} records more." for name in tuned.floors),
        "",
        *_trade_offs(plan, tuned),
        "",
        "To make it the baseline of your config:",
        "",
        config_block(best, [*plan.settings, best]),
    ]
    return "\n".join(lines)


def figure(goal: Goal, value: float) -> str:
    """A value of the goal's measure."""
    return share(value) if goal.name in ("coverage", "steady") else number(value, 1 if goal.name == "masks" else 3)


def ends(goal: Goal, of: Figure) -> str:
    """A figure's interval."""
    if goal.name in ("coverage", "steady"):
        return f"{share(of.low)} to {share(of.high)}"
    return interval(of.low, of.high, 1 if goal.name == "masks" else 3)


def gain_words(way: Way) -> str:
    """Whether the search is better than another way to choose, in a sentence."""
    gain, other = way.judged.gain, WAYS[way.name]
    if way.judged.is_noise:
        return f"Against {other}: noise. These images cannot tell which is better; more images would."
    better = "better" if gain.low > 0.0 else "worse"
    return f"Against {other}: {better}, beyond what the choice of images explains."


def _rows(tuned: Tuned) -> list[list[str]]:
    goal = tuned.goal
    head = ["", "masks", "all images", "held out", "95 % interval", "tuned is better by", "95 % interval"]
    rows = [head]
    for way in tuned.ways:
        held_out, gain = way.judged.held_out, way.judged.gain
        compared = ["", ""] if way.name == "tuned" else [figure(goal, gain.value), ends(goal, gain)]
        values = [number(way.n_masks), figure(goal, way.value), figure(goal, held_out.value), ends(goal, held_out)]
        rows.append([WAYS[way.name], *values, *compared])
    return rows


def _trade_offs(plan: Plan, tuned: Tuned) -> list[str]:
    settings = list(tuned.evaluator.settings.values())
    sums = tuned.evaluator.of(settings).sum(axis=1)
    counts, qualities = n_masks(sums), quality(sums)
    best = front(counts, qualities)
    places = np.unique(np.linspace(0, len(best) - 1, min(len(best), _MOST_ON_FRONT)).round().astype(int))
    of = "covers as much" if not tuned.goal.needs_truth else "is as good"
    skipped = f" ({len(places)} of {len(best)} shown)" if len(places) < len(best) else ""
    lines = [f"Best trade-offs on all images: no other setting tried {of} with fewer masks{skipped}:"]
    for place in (best[at] for at in places):
        value = number(qualities[place], 3) if tuned.goal.needs_truth else f"{share(qualities[place])} covered"
        lines.append(f"  {number(counts[place])} masks, {value}; {differences(settings[place], plan.baseline)}")
    return lines
