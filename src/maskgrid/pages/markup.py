"""Build HTML as text. All content passes through :func:`text`, so that no file name can become a tag."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import NewType

# Text that is already HTML; mypy keeps it apart from text that must still be escaped.
Html = NewType("Html", str)
Attributes = Mapping[str, str | float]

NOTHING = Html("")
# A cell with more letters than this takes several lines on a phone.
_LONG = 20
_WITHOUT_END = frozenset({"img", "br", "hr", "meta"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, what it means, and whether it holds numbers."""

    title: str
    is_number: bool = True
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its cells, the first of which names it, and a CSS class."""

    cells: Sequence[Html]
    kind: str = ""

    @classmethod
    def of(cls, *values: object) -> "Row":
        """A row of plain values."""
        return cls([text(value) for value in values])


def text(value: object) -> Html:
    """Escape a value for HTML content and attributes."""
    return Html(escape(str(value), quote=True))


def join(parts: Iterable[Html]) -> Html:
    """Join parts of HTML."""
    return Html("".join(parts))


def element(tag: str, attributes: Attributes, *children: Html) -> Html:
    """An element; attributes get escaped, children are HTML."""
    opening = "".join([f"<{tag}", *(f' {name}="{text(value)}"' for name, value in attributes.items()), ">"])
    return Html(opening if tag in _WITHOUT_END else f"{opening}{join(children)}</{tag}>")


def paragraph(words: str) -> Html:
    """A paragraph of plain text."""
    return element("p", {}, text(words))


def section(name: str, title: str, *children: Html) -> Html:
    """A section of the page with a heading; ``name`` is its link target."""
    heading = element("h2", {"id": f"{name}-title"}, text(title))
    return element("section", {"id": name, "aria-labelledby": f"{name}-title"}, heading, *children)


def details(summary: str, *children: Html) -> Html:
    """A part that opens on click or by keyboard."""
    return element("details", {}, element("summary", {}, text(summary)), *children)


def table(caption: str, columns: Sequence[Column], rows: Iterable[Row], sortable: bool = False) -> Html:
    """A table in its own scrolling box, so that the page is never wider than a phone."""
    heads = join(_head(column, sortable) for column in columns)
    body = join(_row(row, columns) for row in rows)
    whole = element(
        "table",
        {"class": "sortable"} if sortable else {},
        element("caption", {}, text(caption)),
        element("thead", {}, element("tr", {}, heads)),
        element("tbody", {}, body),
    )
    # A scrolling box must be reachable by keyboard, and so needs a name.
    return element("div", {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": caption}, whole)


def breakable(name: str) -> Html:
    """A parameter's name that may wrap after each underscore."""
    return Html(text(name).replace("_", "_<wbr>"))


def meanings(columns: Iterable[Column]) -> Html:
    """The meanings of the headings as a list, for users who cannot hover: on a phone or by keyboard."""
    pairs = [
        join([element("dt", {}, text(column.title)), element("dd", {}, text(column.hint))])
        for column in columns
        if column.hint
    ]
    return details("What the columns mean", element("dl", {}, *pairs))


def _head(column: Column, sortable: bool) -> Html:
    attributes: dict[str, str | float] = {"scope": "col"}
    if column.is_number:
        attributes["class"] = "number"
    if column.hint:
        attributes["title"] = column.hint
    title = breakable(column.title)
    return element("th", attributes, element("button", {"type": "button"}, title) if sortable else title)


def _row(row: Row, columns: Sequence[Column]) -> Html:
    first, *rest = (
        element("th" if position == 0 else "td", _cell_attributes(column, position, cell), cell)
        for position, (cell, column) in enumerate(zip(row.cells, columns, strict=True))
    )
    return element("tr", {"class": row.kind} if row.kind else {}, first, *rest)


def _cell_attributes(column: Column, position: int, cell: Html) -> dict[str, str | float]:
    attributes: dict[str, str | float] = {"scope": "row"} if position == 0 else {}
    kind = "number" if column.is_number else "long" if len(cell) > _LONG else ""
    return attributes | ({"class": kind} if kind else {})


def page(template: str, parts: dict[str, str]) -> bytes:
    """Fill a template with parts that are already HTML, CSS or JavaScript."""
    return Template(asset(template)).substitute(parts).encode()


def asset(name: str) -> Html:
    """The text of a file in the package's folder ``pages``."""
    return Html((files("maskgrid") / "pages" / name).read_text(encoding="utf-8"))
