"""The report's charts, each with a label that describes it in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskgrid.automatic.replay.curves import CountCurve
from maskgrid.config.settings import Setting
from maskgrid.io.wording import number, parameter, share
from maskgrid.pages.markup import Html
from maskgrid.pages.svg import Frame, Scale, area, box, dot, frame, line, picture, words
from maskgrid.results.statistics.curves import Curve, PairMap

_NAMED_DOTS = 8
# A chart is not much wider than so many pixels.
_MOST_STEPS = 500
# Upper limit of the average width of a letter in titles, in pixels.
_LETTER_W = 6.8


def response_chart(
    curve: Curve, lines: Sequence[Mapping[str, int]], title: str, exact: CountCurve | None = None
) -> Html:
    """Plot the mean count against a parameter, with its interval and a thin line for each of a few images.

    Args:
        curve: the response.
        lines: for each image, its counts by setting.
        title: what the y axis shows.
        exact: the count at every value, drawn in steps instead of straight lines between the points.
    """
    steps = [] if exact is None else stepped(exact, curve.points[0].value, curve.points[-1].value)
    traces = [
        [(point.value, float(counts[point.setting_id])) for point in curve.points if point.setting_id in counts]
        for counts in lines
    ]
    highest = [point.high if point.high is not None else point.n_masks for point in curve.points]
    lowest = [point.low if point.low is not None else point.n_masks for point in curve.points]
    y_values = [*highest, *lowest, *(y for trace in [*traces, steps] for _, y in trace)]
    chart = frame([point.value for point in curve.points], y_values, (curve.parameter, title))
    marks = [line(_placed(chart, trace), "thin") for trace in traces if len(trace) > 1]
    if any(point.low is not None for point in curve.points):
        upper = [(point.value, y) for point, y in zip(curve.points, highest, strict=True)]
        lower = [(point.value, y) for point, y in zip(curve.points, lowest, strict=True)]
        marks.append(area(_placed(chart, upper), _placed(chart, lower), "band"))
    marks.append(line(_placed(chart, steps or [(point.value, point.n_masks) for point in curve.points]), "line"))
    marks += [_response_dot(chart, curve, index) for index in range(len(curve.points))]
    first, last = curve.points[0], curve.points[-1]
    label = (
        f"{title} against {curve.parameter}: {number(first.n_masks)} at {first.value:g}, "
        f"{number(last.n_masks)} at {last.value:g}"
    )
    ticks = [point.value for point in curve.points] if len(curve.points) <= 8 else None
    return chart.draw(label, marks, ticks)


def stepped(curve: CountCurve, low: float, high: float) -> list[tuple[float, float]]:
    """A curve's corners from one value to another; of too many steps for a chart, the extremes of each stretch."""
    inside = (curve.starts > low) & (curve.starts <= high)
    starts = np.concatenate([[low], curve.starts[inside]])
    counts = np.concatenate([[curve.at(low)], curve.counts[inside]]).astype(float)
    if len(starts) <= _MOST_STEPS:
        xs, ys = np.repeat(starts, 2)[1:], np.repeat(counts, 2)[:-1]
        corners = [*zip(xs.tolist(), ys.tolist(), strict=True), (starts[-1], counts[-1]), (high, counts[-1])]
        return list(dict.fromkeys((float(x), float(y)) for x, y in corners))
    edges = np.searchsorted(starts, np.linspace(low, high, _MOST_STEPS + 1)[:-1])
    corners = []
    # Stretches after the last step have none of their own.
    for part in np.split(np.arange(len(starts)), np.unique(edges[edges < len(starts)])[1:]):
        ys, x = counts[part], float(starts[part[0]])
        corners += [(x, float(y)) for y in (ys[0], ys.min(), ys.max(), ys[-1])]
    return [*dict.fromkeys(corners), (high, float(counts[-1]))]


def _response_dot(chart: Frame, curve: Curve, index: int) -> Html:
    point = curve.points[index]
    kind = "dot baseline" if curve.at_baseline and point.value == curve.baseline_value else "dot"
    interval = "" if point.low is None else f", {number(point.low)} to {number(point.high)}"
    title = f"{curve.parameter} {point.value:g}: {number(point.n_masks)}{interval}"
    return dot(chart.x.at(point.value), chart.y.at(point.n_masks), 6 if "baseline" in kind else 4, kind, title)


def _placed(chart: Frame, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(chart.x.at(x), chart.y.at(y)) for x, y in points]


def heat_map(pair: PairMap) -> Html:
    """Plot mean counts over two parameters, darker for more, with a frame around the baseline."""
    left, top, cell_w, cell_h = 74.0, 8.0, 56.0, 34.0
    across, down = pair.values
    title = f"{pair.names[0]} →   up: {pair.names[1]}"
    width = left + max(cell_w * len(across), _LETTER_W * len(title)) + 8
    height = top + cell_h * len(down) + 44
    means = pair.means.values()
    shade = Scale(min(means), max(means), 0.06, 1.0)
    marks = []
    for (x_at, y_at), mean in sorted(pair.means.items()):
        x, y = left + x_at * cell_w, top + (len(down) - 1 - y_at) * cell_h
        opacity = shade.at(mean)
        values = f"{pair.names[0]} {parameter(across[x_at])}, {pair.names[1]} {parameter(down[y_at])}"
        marks.append(box(x + 1, y + 1, cell_w - 2, cell_h - 2, "cell", opacity, f"{values}: {number(mean)}"))
        kind = "cell-text dark" if opacity > 0.55 else "cell-text"
        marks.append(words(x + cell_w / 2, y + cell_h / 2 + 4, number(mean), f"{kind} middle"))
    if pair.baseline is not None:
        x, y = left + pair.baseline[0] * cell_w, top + (len(down) - 1 - pair.baseline[1]) * cell_h
        marks.append(box(x + 1, y + 1, cell_w - 2, cell_h - 2, "frame", 1, "the baseline's values"))
    marks += [*_map_ticks(pair, left, top, cell_w, cell_h, height), words(left, height - 8, title, "axis")]
    label = f"Mean masks per image over {pair.names[0]} and {pair.names[1]}, {number(min(means))} to "
    return picture(width, height, label + number(max(means)), marks)


def _map_ticks(pair: PairMap, left: float, top: float, cell_w: float, cell_h: float, height: float) -> list[Html]:
    across, down = pair.values
    ticks = [
        words(left + (at + 0.5) * cell_w, height - 28, parameter(value)[-9:], "tick middle")
        for at, value in enumerate(across)
    ]
    ticks += [
        words(left - 6, top + (len(down) - 1 - at + 0.5) * cell_h + 4, parameter(value)[-9:], "tick end")
        for at, value in enumerate(down)
    ]
    return ticks


@dataclass(frozen=True, slots=True)
class SettingDot:
    """A setting as a dot: its position and its tooltip."""

    setting: Setting
    x: float
    y: float
    title: str


def settings_chart(
    dots: Sequence[SettingDot], best_ids: Sequence[str], baseline_id: str, titles: tuple[str, str], measure: str
) -> Html:
    """Plot a dot for each setting; a line joins those that no other dominates, from left to right.

    Args:
        dots: the settings.
        best_ids: those that no other dominates, from left to right.
        baseline_id: the baseline's id.
        titles: of the x and y axes.
        measure: the name of the quantity plotted against masks per image.
    """
    chart = frame([one.x for one in dots], [one.y for one in dots], titles, (640, 340))
    by_id = {one.setting.id: one for one in dots}
    best = [by_id[setting_id] for setting_id in best_ids]
    marks = [line(_placed(chart, [(one.x, one.y) for one in best]), "line")]
    for one in sorted(dots, key=lambda one: (one.setting.id == baseline_id, one.setting.id in best_ids)):
        kind = "dot" if one.setting.id in best_ids else "dot dim"
        kind += " baseline" if one.setting.id == baseline_id else ""
        marks.append(dot(chart.x.at(one.x), chart.y.at(one.y), 6 if "baseline" in kind else 4, kind, one.title))
    marks += _dot_names(chart, best)
    label = f"{measure} against masks per image for {len(dots)} settings, of which {len(best)} are not bettered"
    return chart.draw(label, marks)


def _dot_names(chart: Frame, best: Sequence[SettingDot]) -> list[Html]:
    """Label the best settings that the config names, or else the two ends of the line."""
    named = [one for one in best if one.setting.names] or [best[0], best[-1]]
    marks = []
    for one in {one.setting.id: one for one in named[:_NAMED_DOTS]}.values():
        x, y = chart.x.at(one.x), chart.y.at(one.y)
        is_right = x > (chart.x.start + chart.x.stop) / 2
        kind = "tick end" if is_right else "tick"
        marks.append(words(x + (-9 if is_right else 9), y + 15, one.setting.label[:24], kind))
    return marks


def effects_chart(effects: Sequence[Mapping[str, Any]]) -> Html:
    """Plot main effects as bars to the left and right of 0."""
    row_h, room = 22.0, 44.0
    names = [f"{row['parameter']} {row['value'][:16]}" for row in effects]
    # Narrow enough for a phone, whatever the names.
    left = _LETTER_W * max(map(len, names)) * 0.9
    width = max(left + 2 * room + 100, 366.0)
    most = max(abs(row["n_masks_effect"]) for row in effects) or 1.0
    scale = Scale(-most, most, left + room, width - room)
    marks, y, previous = [], 6.0, None
    for row, name in zip(effects, names, strict=True):
        if row["parameter"] != previous:
            y += 8 if previous is not None else 0
            previous = row["parameter"]
        effect = row["n_masks_effect"]
        start, stop = sorted((scale.at(0.0), scale.at(effect)))
        kind = "bar" if effect >= 0 else "bar less"
        marks.append(words(left, y + 15, name, "tick end"))
        marks.append(box(start, y + 3, max(stop - start, 1), row_h - 6, kind, 1, f"{name}: {effect:+.2f}"))
        at_end = stop + 4 if effect >= 0 else start - 4
        marks.append(words(at_end, y + 15, f"{effect:+.1f}", "tick" if effect >= 0 else "tick end"))
        y += row_h
    marks.insert(0, line([(scale.at(0.0), 4), (scale.at(0.0), y + 2)], "rule"))
    return picture(width, y + 6, "Main effects on the mean masks per image; the table below has the numbers", marks)


def histogram(shares: Sequence[float], thresholds: Sequence[float], baseline: float, title: str) -> Html:
    """Plot the shares of masks by a score from 0 to 1, with a line for each threshold.

    Args:
        shares: for bins of equal width.
        thresholds: the values that the sweep tries.
        baseline: the baseline's value.
        title: the name of the score.
    """
    percent = [100 * part for part in shares]
    chart = frame([0.0, 1.0], [0.0, max(percent)], (title, "% of masks"), (480, 260))
    step = 1 / len(shares)
    marks = []
    for at, part in enumerate(percent):
        x, y = chart.x.at(at * step), chart.y.at(part)
        width = chart.x.at((at + 1) * step) - x - 0.5
        named = f"{at * step:.2f} to {(at + 1) * step:.2f}: {part:.1f}%"
        marks.append(box(x, y, width, chart.y.at(0.0) - y, "bar", 1, named))
    for value in sorted({*thresholds, baseline}):
        x = chart.x.at(value)
        kind = "limit baseline" if value == baseline else "limit"
        marks.append(line([(x, chart.y.start), (x, chart.y.stop)], kind))
    below = sum(shares[: round(baseline * len(shares))])
    return chart.draw(f"Distribution of {title}: {share(below)} of masks lie below the baseline's {baseline:g}", marks)
