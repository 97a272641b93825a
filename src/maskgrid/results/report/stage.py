"""Assemble the report's pages: self-contained HTML files with style and script inside."""

import logging

from maskgrid.io.files import write_bytes
from maskgrid.io.progress import shown
from maskgrid.pages.markup import asset, element, join, page, text
from maskgrid.plan.plan import Plan
from maskgrid.results.explorer.page import toy_note, write_explorer_page
from maskgrid.results.notes import report_fingerprint
from maskgrid.results.report.data import ReportData, read_report_data
from maskgrid.results.report.exports import exports_section
from maskgrid.results.report.figures import effects_section, maps_section, responses_section, trade_off_section
from maskgrid.results.report.overview import (
    failures_section,
    filters_section,
    provenance_section,
    settings_section,
    summary_section,
)
from maskgrid.results.report.pictures import disagreement_section, overlays_section, write_contact_sheet
from maskgrid.results.report.scores import accuracy_section, scores_section, sizes_section
from maskgrid.results.report.tuning import tuning_section

_PARTS = (
    ("summary", "Summary", summary_section),
    ("settings", "Settings", settings_section),
    ("filters", "Filters", filters_section),
    ("scores", "Scores", scores_section),
    ("responses", "Responses", responses_section),
    ("maps", "Pairs", maps_section),
    ("trade-off", "Coverage", trade_off_section),
    ("accuracy", "Accuracy", accuracy_section),
    ("tuning", "Tuning", tuning_section),
    ("sizes", "Sizes", sizes_section),
    ("effects", "Effects", effects_section),
    ("disagreement", "Disagreement", disagreement_section),
    ("overlays", "Masks", overlays_section),
    ("exports", "Exports", exports_section),
    ("failures", "Failures", failures_section),
    ("provenance", "Provenance", provenance_section),
)

log = logging.getLogger(__name__)


def report_page(data: ReportData) -> bytes:
    """Make the report, one HTML file."""
    parts = [(name, title, make(data)) for name, title, make in _PARTS]
    there = [(name, title) for name, title, content in parts if content]
    links = [element("a", {"href": "explorer.html"}, text("Explorer"))]
    links += [element("a", {"href": f"#{name}"}, text(title)) for name, title in there]
    return page(
        "report.html",
        {
            "style": asset("pages.css"),
            "script": "\n".join([asset("links.js"), asset("report.js")]),
            "fingerprint": report_fingerprint(data.plan),
            "links": join(links),
            "content": join([toy_note(data.plan), *(content for _, _, content in parts)]),
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
    write_bytes(folder / "index.html", report_page(data))
    write_explorer_page(plan, data.samples)
    log.info("report: %s", folder / "index.html")
