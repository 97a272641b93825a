"""The parts of the report that are charts and pictures."""

from collections.abc import Sequence

from maskgrid import charts
from maskgrid.curves import (
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
from maskgrid.markup import NOTHING, Column, Html, Row, details, element, paragraph, section, table, text
from maskgrid.overlays import overlay
from maskgrid.report_data import ReportData
from maskgrid.report_tables import trade_off_table
from maskgrid.samples import Sample
from maskgrid.settings import Setting
from maskgrid.thumbnails import data_uri, jpeg
from maskgrid.wording import count, interval, number, parameter, share

_MAX_OVERLAY_SETTINGS = 6
_MAX_OVERLAY_IMAGES = 8
_OVERLAY_SIDE = 448
_MASKS = "mean masks per image"


def responses_section(data: ReportData) -> Html:
    """How the count responds to each parameter, and where it hardly does."""
    curves = response_curves(data.results, data.plan.baseline)
    if not curves:
        return NOTHING
    lines = [counts for key, counts in data.images.n_masks.items() if key in set(data.images.sampled)]
    n_lines = len(data.images.sampled)
    words = paragraph(
        f"The other parameters are at the baseline's values; the band is the 95 % interval of the mean; thin lines "
        f"are {count(n_lines, 'image')}, chosen by the hash of the name. The large dot is the baseline."
    )
    figures = [_response(curve, lines) for curve in curves]
    return section(
        "responses",
        "Response to each parameter",
        words,
        element("div", {"class": "figures"}, *figures),
        _flat_ranges(data, curves),
    )


def _response(curve: Curve, lines: Sequence[dict[str, int]]) -> Html:
    rows = [
        Row([text(f"{point.value:g}"), text(number(point.n_masks, 2)), text(interval(point.low, point.high, 2))])
        for point in curve.points
    ]
    columns = [Column(curve.parameter), Column("masks"), Column("95 % interval")]
    remark = "" if curve.at_baseline else " The grid does not hold the baseline's other values: means over the rest."
    return element(
        "figure",
        {},
        charts.response_chart(curve, lines, _MASKS),
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
    return Row(
        [text(flat.parameter), text(f"{flat.start:g}"), text(f"{flat.stop:g}"), text(interval(flat.low, flat.high, 2))]
    )


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
    figures = [element("figure", {"class": "wide"}, charts.heat_map(pair), _interaction(pair)) for pair in maps]
    return section("maps", "Pairs of parameters", paragraph(words), element("div", {"class": "maps"}, *figures))


def _interaction(pair: PairMap) -> Html:
    strongest = pair.strongest_interaction()
    if strongest is None:
        return NOTHING
    (across, down), effect = strongest
    at = " and ".join(parameter(values[place]) for values, place in zip(pair.values, (across, down), strict=True))
    return element("figcaption", {}, text(f"strongest interaction: {effect:+.2f} at {at}"))


def trade_off_section(data: ReportData) -> Html:
    """Coverage against count."""
    if len(data.results) < 2:
        return NOTHING
    best = not_dominated(data.results)
    words = (
        f"Each dot is a setting. {count(len(best), 'setting')} on the line: no other covers as much of the image with "
        "fewer masks, or more of it with as many."
    )
    chart = charts.trade_off_chart(data.results, best, data.plan.baseline.id)
    figure = element("figure", {}, element("div", {"class": "wide"}, chart))
    return section("trade-off", "Coverage against count", paragraph(words), figure, trade_off_table(data))


def effects_section(data: ReportData) -> Html:
    """Main effects."""
    if not data.effects:
        return NOTHING
    words = paragraph(
        "How far the mean count at a value lies from the mean over all settings. Over a full grid these are exact main "
        "effects; where settings are left out or parameters walk together, effects mix."
    )
    shown = data.effects[:80]
    chart = element("figure", {}, element("div", {"class": "wide"}, charts.effects_chart(shown)))
    columns = [Column("parameter", False), Column("value"), Column("settings"), Column("masks"), Column("effect")]
    columns += [Column("covered"), Column("effect on it")]
    rows = [
        Row(
            [
                text(row["parameter"]),
                text(row["value"][:40]),
                text(row["n_settings"]),
                text(number(row["n_masks_mean"], 2)),
                text(f"{row['n_masks_effect']:+.2f}"),
                text(share(row["coverage_frac_mean"])),
                text(f"{100 * row['coverage_frac_effect']:+.1f} %"),
            ]
        )
        for row in shown
    ]
    return section("effects", "Main effects", words, chart, details("Numbers", table("Main effects", columns, rows)))


def disagreement_section(data: ReportData) -> Html:
    """The images on which settings disagree most."""
    if not data.images.widest:
        return NOTHING
    words = paragraph("By the standard deviation of the count over all settings. The first of them are drawn below.")
    columns = [Column("image", False), Column("fewest masks"), Column("most masks"), Column("standard deviation")]
    rows = [
        Row([text(one.image_key), text(one.lowest), text(one.highest), text(number(one.deviation, 2))])
        for one in data.images.widest
    ]
    return section(
        "disagreement",
        "Images on which settings disagree",
        words,
        table("Images on which settings disagree most", columns, rows),
    )


def overlays_section(data: ReportData) -> Html:
    """The masks of the exported settings, side by side."""
    exported = data.plan.exported()
    shown = exported[:_MAX_OVERLAY_SETTINGS]
    if not data.samples:
        return NOTHING
    words = "Settings side by side. A mask keeps its colour from setting to setting."
    if len(exported) > len(shown):
        words += f" {count(len(exported) - len(shown), 'more exported setting')} not drawn."
    rows = [_overlay_row(sample, shown) for sample in data.samples[:_MAX_OVERLAY_IMAGES]]
    return section("overlays", "Masks", paragraph(words), *rows)


def _overlay_row(sample: Sample, settings: Sequence[Setting]) -> Html:
    figures = [_overlay(sample, setting) for setting in settings]
    remark = "" if sample.pixels is not None else " (the file has gone or changed since)"
    heading = element("h3", {}, text(sample.image_key + remark))
    return element("div", {}, heading, element("div", {"class": "overlays"}, *figures))


def _overlay(sample: Sample, setting: Setting) -> Html:
    drawn = overlay(sample, setting, _OVERLAY_SIDE)
    if drawn is None:
        return element("figure", {}, element("figcaption", {}, text(f"{setting.label}: no results")))
    pixels, n_masks = drawn
    height, width = pixels.shape[:2]
    words = f"{setting.label}: {count(n_masks, 'mask')}"
    attributes: dict[str, str | float] = {
        "src": data_uri(jpeg(pixels)),
        "width": width,
        "height": height,
        "alt": f"{sample.image_key} with {words}",
        "loading": "lazy",
    }
    return element("figure", {}, element("img", attributes), element("figcaption", {}, text(words)))
