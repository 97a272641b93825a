"""Assemble the report's pages: self-contained HTML files with style and script inside."""

import logging
from dataclasses import replace

from maskgrid.io.files import write_bytes
from maskgrid.io.progress import shown
from maskgrid.pages.markup import asset, element, join, page, text
from maskgrid.plan.plan import Plan
from maskgrid.results.explorer.groups import listed_settings
from maskgrid.results.explorer.page import images_inside, write_explorer_page
from maskgrid.results.notes import report_fingerprint
from maskgrid.results.report.data import ReportData, read_report_data
from maskgrid.results.report.exports import exports_section
from maskgrid.results.report.figures import effects_section, maps_section, responses_section, trade_off_section
from maskgrid.results.report.head import head, summary_section, title
from maskgrid.results.report.links import links_to
from maskgrid.results.report.overview import failures_section, filters_section, provenance_section, settings_section
from maskgrid.results.report.pictures import (
    disagreement_section,
    overlays_section,
    pictures_section,
    write_contact_sheet,
)
from maskgrid.results.report.scores import accuracy_section, scores_section, sizes_section
from maskgrid.results.report.tuning import tuning_section

_PARTS = (
    ("pictures", "Pictures", pictures_section),
    ("summary", "Summary", summary_section),
    ("disagreement", "Disagreement", disagreement_section),
    ("settings", "Settings", settings_section),
    ("responses", "Responses", responses_section),
    ("maps", "Pairs", maps_section),
    ("effects", "Effects", effects_section),
    ("trade-off", "Coverage", trade_off_section),
    ("accuracy", "Accuracy", accuracy_section),
    ("tuning", "Tuning", tuning_section),
    ("filters", "Filters", filters_section),
    ("scores", "Scores", scores_section),
    ("sizes", "Sizes", sizes_section),
    ("overlays", "More", overlays_section),
    ("exports", "Exports", exports_section),
    ("failures", "Failures", failures_section),
    ("provenance", "Provenance", provenance_section),
)

log = logging.getLogger(__name__)


def report_page(data: ReportData) -> bytes:
    """Make the report, one HTML file."""
    parts = [(name, words, make(data)) for name, words, make in _PARTS]
    there = [(name, words) for name, words, content in parts if content]
    links = [element("a", {"href": "explorer.html", "class": "button"}, text("Explorer"))]
    links += [element("a", {"href": f"#{name}"}, text(words)) for name, words in there]
    return page(
        "report.html",
        {
            "style": asset("pages.css") + asset("report.css"),
            "script": "\n".join([asset("links.js"), asset("report.js")]),
            "fingerprint": report_fingerprint(data.plan),
            "title": text(title(data.plan)),
            "links": join(links),
            "content": join([head(data), *(content for _, _, content in parts)]),
        },
    )


def write_report(plan: Plan) -> None:
    """Write the report, the explorer, and a contact sheet for each exported setting.

    The same data give the same bytes, however images are split into shards.

    Raises:
        maskgrid.io.errors.UserError: a table is missing or truncated.
    """
    data = read_report_data(plan)
    folder = plan.layout.root / "report"
    fingerprint = report_fingerprint(plan)
    exported = plan.exported()
    for setting in shown(exported, len(exported), "contact sheets", "settings"):
        write_contact_sheet(folder / "overlays" / f"{setting.label}.jpg", data.samples, setting, fingerprint)
    inside = images_inside(plan, data.samples)
    images = None if plan.config.explorer == "all" else [one.head["key"] for one in inside]
    links = links_to(images if data.samples else [], listed_settings(plan), plan.baseline)
    write_bytes(folder / "index.html", report_page(replace(data, links=links)))
    write_explorer_page(plan, inside)
    log.info("report: %s", folder / "index.html")
