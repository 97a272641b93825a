"""Sections of the report with charts."""

from collections.abc import Mapping, Sequence
from typing import Any

from maskgrid.automatic.replay.curves import CountCurve
from maskgrid.io.wording import count, interval, number, share
from maskgrid.pages.markup import NOTHING, Column, Html, Row, details, element, paragraph, section, table, text
from maskgrid.results.report import charts
from maskgrid.results.report.data import ReportData
from maskgrid.results.report.overview import trade_off_table
from maskgrid.results.statistics.curves import (
    FLAT_SHARE,
    MAX_MAPS,
    Curve,
    FlatRange,
    PairMap,
    flat_ranges,
    not_dominated,
    pair_maps,
    response_curves,
)
from maskgrid.results.statistics.effects import is_full_grid

_MAX_EFFECTS = 80
_MAX_INTERACTIONS = 12
_MASKS = "mean masks per image"


def responses_section(data: ReportData) -> Html:
    """How the count responds to each parameter, and the ranges where it hardly changes."""
    curves = response_curves(data.results, data.plan.baseline)
    if not curves:
        return NOTHING
    lines = [counts for key, counts in data.images.n_masks.items() if key in set(data.images.sampled)]
    n_lines = len(data.images.sampled)
    words = paragraph(
        f"The other parameters are at the baseline's values; the band is the 95 % interval of the mean; thin lines "
        f"are {count(n_lines, 'image')}, chosen by the hash of the name. The large dot is the baseline."
    )
    exact = _exact_words(data) if data.exact.curves else NOTHING
    figures = [_response(curve, lines, data.exact.curves.get(curve.parameter)) for curve in curves]
    return section(
        "responses",
        "Response to each parameter",
        words,
        exact,
        element("div", {"class": "figures"}, *figures),
        _flat_ranges(data, curves),
    )


def _exact_words(data: ReportData) -> Html:
    of = "all images" if data.exact.of_all else f"{count(data.exact.n_images, 'image')}, chosen by the hash of the name"
    return paragraph(
        f"The steps are exact at every value of a threshold, not only at the sweep's: the mean over {of}, all else at "
        "the baseline, by replay of what was recorded."
    )


def _response(curve: Curve, lines: Sequence[dict[str, int]], exact: CountCurve | None) -> Html:
    rows = [
        Row.of(f"{point.value:g}", number(point.n_masks, 2), interval(point.low, point.high, 2))
        for point in curve.points
    ]
    columns = [Column(curve.parameter), Column("masks"), Column("95 % interval")]
    remark = "" if curve.at_baseline else " The grid does not hold the baseline's other values: means over the rest."
    return element(
        "figure",
        {},
        charts.response_chart(curve, lines, _MASKS, exact),
        element("figcaption", {}, element("b", {}, text(curve.parameter)), text(remark)),
        details("Numbers", table(f"Mean masks per image against {curve.parameter}", columns, rows)),
    )


def _flat_ranges(data: ReportData, curves: Sequence[Curve]) -> Html:
    base = data.baseline
    if base is None:
        return NOTHING
    found = [flat for curve in curves for flat in flat_ranges(curve, base.n_masks)]
    heading = element("h3", {}, text("Flat ranges"))
    limit = f"less than {share(FLAT_SHARE, 0)} of the baseline's {number(base.n_masks)}"
    if not found:
        return Html(heading + paragraph(f"No parameter can move by a step with the mean count changing by {limit}."))
    words = paragraph(
        f"Here a parameter can move, and the mean count changes by {limit}: the exact value matters little."
    )
    columns = [Column("parameter", False), Column("from"), Column("to"), Column("masks")]
    return Html(heading + words + table("Flat ranges", columns, [_flat_row(flat) for flat in found]))


def _flat_row(flat: FlatRange) -> Row:
    return Row.of(flat.parameter, f"{flat.start:g}", f"{flat.stop:g}", interval(flat.low, flat.high, 2))


def maps_section(data: ReportData) -> Html:
    """A heat map for each pair of swept parameters."""
    maps, n_left_out = pair_maps(data.results, data.plan.baseline)
    if not maps:
        return NOTHING
    words = (
        f"{_MASKS.capitalize()} for each pair of values, a mean over the rest. The frame marks the baseline's values."
    )
    if n_left_out:
        words += f" {count(n_left_out, 'more pair')} not shown: {MAX_MAPS} at most, and parameters of few values."
    figures = [_map(pair, data) for pair in maps]
    return section("maps", "Pairs of parameters", paragraph(words), element("div", {"class": "maps"}, *figures))


def _map(pair: PairMap, data: ReportData) -> Html:
    # A scrolling box must be reachable by keyboard, and so needs a name.
    label = f"Masks over {' and '.join(pair.names)}"
    box: dict[str, str | float] = {"class": "wide", "tabindex": 0, "role": "region", "aria-label": label}
    return element("figure", {}, element("div", box, charts.heat_map(pair)), _interaction(pair, data))


def _interaction(pair: PairMap, data: ReportData) -> Html:
    """The strongest interaction; nothing if the map has gaps, because then interactions mix with main effects."""
    rows = [row for row in data.interactions if (row["parameter_a"], row["parameter_b"]) == pair.names]
    if len(rows) < len(pair.values[0]) * len(pair.values[1]):
        return NOTHING
    row = max(rows, key=_strength)
    words = f"strongest interaction: {row['n_masks_interaction']:+.2f} at {row['value_a']} and {row['value_b']}"
    return element("figcaption", {}, text(words))


def _strength(row: Mapping[str, Any]) -> float:
    # Rounded, so that the first of equals is chosen despite differences in the last bit.
    return round(abs(float(row["n_masks_interaction"])), 9)


def trade_off_section(data: ReportData) -> Html:
    """Coverage against count."""
    if len(data.results) < 2:
        return NOTHING
    best = not_dominated(data.results)
    words = (
        f"Each dot is a setting. {count(len(best), 'setting')} on the line: no other covers as much of the image with "
        "fewer masks, or more of it with as many."
    )
    dots = [
        charts.SettingDot(
            one.setting,
            one.n_masks,
            100 * one.coverage,
            f"{one.setting.label}: {number(one.n_masks)} masks, {share(one.coverage)} covered",
        )
        for one in data.results
    ]
    chart = charts.settings_chart(
        dots,
        [one.setting.id for one in best],
        data.plan.baseline.id,
        (_MASKS, "mean coverage, %"),
        "Coverage",
    )
    figure = element("figure", {}, element("div", {"class": "fitted"}, chart))
    beside = element("div", {"class": "beside"}, figure, trade_off_table(data))
    return section("trade-off", "Coverage against count", paragraph(words), beside)


def effects_section(data: ReportData) -> Html:
    """Main effects and interactions."""
    if not data.effects:
        return NOTHING
    exact = is_full_grid([result.setting for result in data.results])
    words = paragraph(
        "How far the mean count at a value lies from the mean over all settings. "
        + (
            "Every combination of the grid's values is there, so these are its exact main effects."
            if exact
            else "Settings are left out of the grid, or parameters walk together: effects mix."
        )
    )
    shown = data.effects[:_MAX_EFFECTS]
    chart = element("figure", {}, charts.effects_chart(shown))
    columns = [Column("parameter", False), Column("value"), Column("settings"), Column("masks"), Column("effect")]
    columns += [Column("covered"), Column("effect on it")]
    rows = [
        Row.of(
            row["parameter"],
            row["value"][:40],
            row["n_settings"],
            number(row["n_masks_mean"], 2),
            f"{row['n_masks_effect']:+.2f}",
            share(row["coverage_frac_mean"]),
            f"{100 * row['coverage_frac_effect']:+.1f} %",
        )
        for row in shown
    ]
    numbers = details("Numbers", table("Main effects", columns, rows))
    effects = element("div", {}, words, chart, numbers)
    beside = element("div", {"class": "beside"}, effects, element("div", {}, _interactions(data)))
    return section("effects", "Main effects and interactions", beside)


def _interactions(data: ReportData) -> Html:
    """The strongest interactions of pairs of values."""
    strongest = sorted(data.interactions, key=_strength, reverse=True)[:_MAX_INTERACTIONS]
    if not strongest:
        return NOTHING
    words = paragraph(
        "What two values do together beyond both main effects. Where it is small, thresholds can be chosen one by one."
    )
    columns = [Column("value", False), Column("with", False), Column("settings"), Column("masks")]
    columns += [Column("interaction"), Column("on what is covered")]
    rows = [
        Row.of(
            f"{row['parameter_a']} {row['value_a'][:16]}",
            f"{row['parameter_b']} {row['value_b'][:16]}",
            row["n_settings"],
            number(row["n_masks_mean"], 2),
            f"{row['n_masks_interaction']:+.2f}",
            f"{100 * row['coverage_frac_interaction']:+.1f} %",
        )
        for row in strongest
    ]
    heading = element("h3", {}, text("Strongest interactions"))
    return Html(heading + words + table("Strongest interactions", columns, rows))
