"""Sections of the report with words and tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from maskgrid.automatic.replay.drops import DROPS
from maskgrid.config.settings import differences, swept_parameters
from maskgrid.io.wording import NONE, count, difference, interval, number, parameter, share, tally
from maskgrid.pages.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    details,
    element,
    meanings,
    paragraph,
    section,
    table,
    text,
)
from maskgrid.results.report.data import ReportData
from maskgrid.results.statistics.curves import Answered, not_dominated
from maskgrid.results.statistics.tables import share_dropped

# More rows make the page too slow on a phone; the Parquet file has all of them.
MAX_ROWS = 2000

# The fates of proposed masks, in the generator's order: column of the summary, class, name.
FATES = (
    ("kept_frac", "kept", "kept"),
    ("dropped_pred_iou_frac", "iou", "pred_iou_thresh"),
    ("dropped_stability_frac", "stability", "stability_score_thresh"),
    ("dropped_crop_edge_frac", "edge", "edges of crops"),
    ("dropped_box_nms_frac", "nms", "box_nms_thresh"),
    ("dropped_crop_nms_frac", "crops", "crop_nms_thresh"),
    ("dropped_regions_frac", "regions", "min_mask_region_area"),
    *((share_dropped(column), "filter", key) for key, column in DROPS.items()),
)


def shown_rows(data: ReportData) -> list[Answered]:
    """The settings with a row in tables: all, up to a limit that keeps the page fast."""
    shown = list(data.results[:MAX_ROWS])
    base = data.baseline
    return shown if base is None or base in shown else [base, *shown[1:]]


def settings_section(data: ReportData) -> Html:
    """The table of settings, sortable."""
    shown = shown_rows(data)
    swept = list(swept_parameters(data.plan.settings))
    columns = [
        Column("setting", False),
        *(Column(name) for name in swept),
        Column("masks", hint="mean masks per image"),
        Column("95 % interval", hint="bootstrapped over images"),
        Column("vs. baseline", hint="mean difference, image by image; * its 95 % interval excludes 0"),
        Column("covered", hint="mean share of an image that lies in a mask"),
        Column("overlap", hint="mean share of an image that lies in two masks or more"),
        Column("small", hint="mean masks under 32 x 32 pixels"),
        Column("medium", hint="mean masks up to 96 x 96 pixels"),
        Column("large", hint="mean masks above 96 x 96 pixels"),
        Column("pred. IoU", hint="mean over the masks kept"),
        Column("stability", hint="mean over the masks kept"),
        Column("id", False, hint="setting_id in the tables"),
    ]
    rows = [_setting_row(result, swept, data) for result in shown]
    left_out = len(data.results) - len(shown)
    more = paragraph(f"{count(left_out, 'more setting')} in statistics/summary.parquet.") if left_out else NOTHING
    opens = " A name opens the explorer at that setting." if data.links.settings else ""
    hint = paragraph(f"Choose a heading to sort by it. The baseline is marked.{opens}")
    whole = table("Settings and their results", columns, rows, True)
    return section("settings", "Settings", hint, meanings(columns), whole, more)


def _setting_row(result: Answered, swept: Sequence[str], data: ReportData) -> Row:
    row, values = result.row, result.setting.parameters()
    cells = [
        setting_name(result, data),
        *(text(parameter(values[name])) for name in swept),
        text(number(row["n_masks_mean"])),
        text(interval(row["n_masks_low"], row["n_masks_high"])),
        text(_difference(row)),
        text(share(row["coverage_frac_mean"])),
        text(share(row["overlap_frac_mean"])),
        *(text(number(row[f"n_{size}_mean"])) for size in ("small", "medium", "large")),
        text(number(row["predicted_iou_mean"], 3)),
        text(number(row["stability_score_mean"], 3)),
        element("code", {}, text(result.setting.id)),
    ]
    return Row(cells, "baseline" if row["is_baseline"] else "")


def setting_name(result: Answered, data: ReportData) -> Html:
    """A setting's label, which opens the explorer at it."""
    return data.links.linked(text(result.setting.label), None, result.setting)


def _difference(row: Mapping[str, Any]) -> str:
    return NONE if row["is_baseline"] else difference(*(row[f"n_masks_diff_{end}"] for end in ("mean", "low", "high")))


def filters_section(data: ReportData) -> Html:
    """The fates of the masks that the network proposes, for each setting."""
    used = [fate for fate in FATES if fate[0] == "kept_frac" or any(one.row.get(fate[0]) for one in data.results)]
    columns = [Column("setting", False), Column("from proposed to kept", False), *(Column(name) for _, _, name in used)]
    rows = [_filter_row(result, used, data) for result in shown_rows(data)]
    words = paragraph("Of all masks that the network proposed: the share kept, and the share that each filter dropped.")
    caption = "What each filter dropped, as shares of the masks proposed"
    colours = legend((kind, name) for _, kind, name in used)
    return section("filters", "What each filter drops", words, colours, table(caption, columns, rows, True))


def legend(kinds: Iterable[tuple[str, str]]) -> Html:
    """The meaning of the colours of stacks; ``kinds`` are pairs of a class and a name."""
    return element(
        "p", {"class": "legend"}, *(element("span", {}, _swatch(kind), text(f" {name}")) for kind, name in kinds)
    )


def _swatch(kind: str) -> Html:
    return element("i", {"class": f"fate {kind}", "aria-hidden": "true"})


def stack(shares: Iterable[tuple[str, float]]) -> Html:
    """A stacked bar; ``shares`` are pairs of a class and a share of the width. The numbers are beside it."""
    parts = [
        element("i", {"class": f"fate {kind}", "style": f"width:{100 * part:.2f}%"}) for kind, part in shares if part
    ]
    return element("div", {"class": "stack", "aria-hidden": "true"}, *parts)


def _filter_row(result: Answered, used: Sequence[tuple[str, str, str]], data: ReportData) -> Row:
    shares = [(kind, result.row[name] or 0.0) for name, kind, _ in used]
    kind = "baseline" if result.row["is_baseline"] else ""
    return Row([setting_name(result, data), stack(shares), *(text(share(part, 2)) for _, part in shares)], kind)


def trade_off_table(data: ReportData) -> Html:
    """The settings that no other dominates."""
    columns = [Column("setting", False), Column("masks"), Column("covered"), Column("values", False)]
    rows = [
        Row(
            [
                setting_name(result, data),
                text(number(result.n_masks)),
                text(share(result.coverage)),
                text(differences(result.setting, data.plan.baseline)),
            ]
        )
        for result in not_dominated(data.results)
    ]
    return table("Settings that no other betters", columns, rows)


def failures_section(data: ReportData) -> Html:
    """The images without masks, with reasons."""
    failures = data.failures
    if not failures.n_all:
        return section("failures", "Failures", paragraph("None: every input became an image with its masks."))
    statuses = Counter(failure.status for failure in failures.first)
    words = f"{count(failures.n_all, 'input')} without masks"
    shown = f", of which the first {len(failures.first)} are listed" if failures.n_all > len(failures.first) else ""
    columns = [Column("image", False), Column("status", False), Column("reason", False)]
    rows = [Row.of(one.image_key, one.status, one.message) for one in failures.first]
    table_ = table("Inputs without masks", columns, rows)
    return section("failures", "Failures", paragraph(f"{words}{shown}: {tally(statuses)}."), table_)


def provenance_section(data: ReportData) -> Html:
    """What everything was made from and with."""
    made = data.provenance
    columns = [Column("of", False), Column("fingerprint", False)]
    prints = [Row([text(name), element("code", {}, text(value))]) for name, value in made.inputs.items()]
    versions = [Row.of(name, value) for name, value in made.packages.items()]
    config = yaml.safe_dump(made.config, sort_keys=False, allow_unicode=True)
    return section(
        "provenance",
        "Provenance",
        element("p", {"id": "run"}),
        table("Fingerprints of inputs", columns, prints),
        table("Packages that decide about masks", [Column("package", False), Column("version", False)], versions),
        details("The config, without what changes no mask", element("pre", {"tabindex": 0}, text(config))),
    )
