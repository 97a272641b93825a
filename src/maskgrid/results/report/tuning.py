"""The report's section on what ``tune`` found."""

from collections.abc import Mapping
from typing import Any

from maskgrid.io.wording import count, interval, number
from maskgrid.pages.markup import NOTHING, Column, Html, Row, element, join, paragraph, section, table, text
from maskgrid.pages.svg import dot, frame, line
from maskgrid.results.report.data import ReportData

_WAYS = {"tuned": "tuned", "sweep": "the sweep's best", "default": "sam2's default thresholds"}
# More dots make the page slow and tell no more.
_MOST_DOTS = 2000


def tuning_section(data: ReportData) -> Html:
    """The best setting off the grid, what held-out images say of it, and the trade-offs."""
    if not data.tuning:
        return NOTHING
    best = data.tuning[0]
    words = paragraph(
        f"Goal: {best['goal']}. {count(best['n_tried'], 'setting')} tried over {count(best['n_images'], 'image')}. "
        f"Held out: in {count(best['n_folds'], 'fold')}, each image is judged at the setting chosen on the others; "
        "only these figures say what to expect of other images."
    )
    lines = element("pre", {"tabindex": 0}, text(best["config"]))
    return section("tuning", "The best setting off the grid", words, _ways(data), lines, _chart(data))


def _ways(data: ReportData) -> Html:
    columns = [
        Column("chosen by", False),
        Column("masks", hint="per image, at the setting chosen on all images"),
        Column("all images"),
        Column("held out"),
        Column("95 % interval", hint="of the figure held out, bootstrapped over images"),
        Column("tuned is better by", hint="on the images held out"),
        Column("its interval"),
        Column("verdict", False),
    ]
    caption = "What held-out images say"
    return table(caption, columns, [_way(row) for row in data.tuning])


def _way(row: Mapping[str, Any]) -> Row:
    is_tuned = row["way"] == "tuned"
    verdict = "noise" if row["is_noise"] else "tuned is better" if (row["gain"] or 0.0) > 0 else "tuned is worse"
    cells = [
        _WAYS[row["way"]],
        number(row["n_masks"]),
        number(row["value"], 3),
        number(row["held_out"], 3),
        interval(row["held_out_low"], row["held_out_high"], 3),
        "" if is_tuned else number(row["gain"], 3),
        "" if is_tuned else interval(row["gain_low"], row["gain_high"], 3),
        "" if is_tuned else verdict,
    ]
    return Row([text(cell) for cell in cells], "baseline" if is_tuned else "")


def _chart(data: ReportData) -> Html:
    """Quality against the number of masks, for the settings tried; those that no other betters on a line."""
    known = [row for row in data.tried if row["quality"] is not None]
    best = sorted((row for row in known if row["on_front"]), key=lambda row: row["n_masks"])
    others = [row for row in known if not row["on_front"]]
    shown = [*others[:: max(1, -(-len(others) // _MOST_DOTS))], *best]
    if not best:
        return NOTHING
    xs, ys = [row["n_masks"] for row in shown], [row["quality"] for row in shown]
    chart = frame(xs, ys, ("masks per image", "quality"), (640, 340))
    marks = [line([(chart.x.at(row["n_masks"]), chart.y.at(row["quality"])) for row in best], "line")]
    for row in shown:
        kind = "dot baseline" if row["is_best"] else "dot" if row["on_front"] else "dot dim"
        place = chart.x.at(row["n_masks"]), chart.y.at(row["quality"])
        title = f"{row['setting_id']}: {number(row['n_masks'])} masks, {number(row['quality'], 3)}"
        marks.append(dot(*place, 6 if row["is_best"] else 3, kind, title))
    label = f"Quality against masks per image for {len(shown)} settings tried, of which {len(best)} are not bettered"
    words = (
        "Quality is the measure against annotated objects, or without them the share of the pixels in a mask, on all "
        "images. On the line: no other setting tried is as good with fewer masks. The table of all is "
        "tuning/settings.parquet."
    )
    caption = element("figcaption", {}, text(words))
    return join([element("figure", {}, element("div", {"class": "fitted"}, chart.draw(label, marks)), caption)])
