"""Pages put together from their parts: one file each, with style and script inside and nothing from elsewhere."""

from importlib.resources import files
from string import Template

from maskgrid.lineage import report_fingerprint
from maskgrid.markup import Html, element, join, text
from maskgrid.report_accuracy import accuracy_section
from maskgrid.report_data import ReportData
from maskgrid.report_figures import effects_section, maps_section, responses_section, trade_off_section
from maskgrid.report_pictures import disagreement_section, overlays_section
from maskgrid.report_scores import scores_section, sizes_section
from maskgrid.report_tables import (
    failures_section,
    filters_section,
    provenance_section,
    settings_section,
    summary_section,
)

_PARTS = (
    ("summary", "Summary", summary_section),
    ("settings", "Settings", settings_section),
    ("filters", "Filters", filters_section),
    ("scores", "Scores", scores_section),
    ("responses", "Responses", responses_section),
    ("maps", "Pairs", maps_section),
    ("trade-off", "Coverage", trade_off_section),
    ("accuracy", "Accuracy", accuracy_section),
    ("sizes", "Sizes", sizes_section),
    ("effects", "Effects", effects_section),
    ("disagreement", "Disagreement", disagreement_section),
    ("overlays", "Masks", overlays_section),
    ("failures", "Failures", failures_section),
    ("provenance", "Provenance", provenance_section),
)


def report_page(data: ReportData) -> bytes:
    """The report as one HTML file."""
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
            "content": join(content for _, _, content in parts),
        },
    )


def page(template: str, parts: dict[str, str]) -> bytes:
    """Fill a template; what is filled in is HTML, CSS or JavaScript already."""
    return Template(asset(template)).substitute(parts).encode()


def asset(name: str) -> Html:
    """A file of the package's folder ``pages``."""
    return Html((files("maskgrid") / "pages" / name).read_text(encoding="utf-8"))
