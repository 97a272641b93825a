"""The report's section on the masks in other forms."""

from urllib.parse import quote

from maskgrid.io.wording import size
from maskgrid.pages.markup import NOTHING, Column, Html, Row, element, paragraph, section, table, text
from maskgrid.results.exports.listing import WORDS, WrittenExport
from maskgrid.results.report.data import ReportData


def exports_section(data: ReportData) -> Html:
    """The exports that are there, with links and sizes."""
    if not data.exports:
        return NOTHING
    columns = [
        Column("export", False),
        Column("masks of", False),
        Column("files"),
        Column("size"),
        Column("content", False),
    ]
    words = paragraph("The masks for other tools. Pictures that are only linked count as files, and not in the size.")
    return section("exports", "Exports", words, table("The masks for other tools", columns, map(_row, data.exports)))


def _row(export: WrittenExport) -> Row:
    # The page lies in results/report.
    link = element("a", {"href": f"../{quote(export.name)}"}, text(export.form))
    cells = (export.label or "the prompts", f"{export.n_files:,}", size(export.size_bytes), WORDS[export.form])
    return Row([link, *map(text, cells)])
