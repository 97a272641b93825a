"""The summary for the command line: one line per setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from maskgrid.config.models import BASELINE
from maskgrid.config.settings import Setting, swept_parameters
from maskgrid.io.wording import NONE, difference, interval, number, parameter, share, table_lines

_WIDTH = 110
_LABEL_WIDTH = 24


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of text: the words of its heading, and its cells."""

    words: tuple[str, ...]
    cells: list[str]

    @property
    def width(self) -> int:
        return max(map(len, (*self.words, *self.cells)))


def summary_text(
    settings: Sequence[Setting],
    summary: pa.Table,
    max_rows: int = 40,
    accuracy: Mapping[str, dict[str, Any]] | None = None,
) -> str:
    """Lay out the summary for a terminal of 110 columns, with the swept parameters.

    Args:
        settings: the sweep, in any order.
        summary: the table from ``summary.summary_table``; the lines have its order.
        max_rows: maximum number of lines, including the baseline's; a note says how many are left out.
        accuracy: rows of the table ``accuracy_summary``, by setting id; empty without annotated objects.
    """
    rows = summary.to_pylist()
    shown = _shown(rows, max_rows)
    label = _Column(("setting",), [_label(row) for row in shown])
    results = [*_result_columns(shown), *_accuracy_columns(shown, accuracy or {})]
    parameters, n_hidden = _fitting(_parameter_columns(settings, shown), [label, *results])
    lines = _lay_out([label, *parameters, *results], [bool(row["is_baseline"]) for row in shown])
    return "\n".join([*lines, "", *_notes(rows, len(shown), n_hidden)]) + "\n"


def _shown(rows: list[dict[str, Any]], max_rows: int) -> list[dict[str, Any]]:
    """The baseline's row, and as many others as fit, from the one with the fewest masks to that with the most."""
    others = sorted((row for row in rows if not row["is_baseline"]), key=lambda row: row["n_masks_mean"] or 0.0)
    n_shown = min(max(max_rows - (len(rows) - len(others)), 0), len(others))
    places = {round(place * (len(others) - 1) / max(n_shown - 1, 1)) for place in range(n_shown)}
    shown = {others[place]["setting_id"] for place in places}
    return [row for row in rows if row["is_baseline"] or row["setting_id"] in shown]


def _label(row: dict[str, Any]) -> str:
    label: str = row["setting"]
    return label if len(label) <= _LABEL_WIDTH else label[: _LABEL_WIDTH - 1] + "…"


def _parameter_columns(settings: Sequence[Setting], rows: list[dict[str, Any]]) -> list[_Column]:
    values = {setting.id: setting.parameters() for setting in settings}
    return [
        _Column(tuple(name.split("_")), [_value(values[row["setting_id"]][name]) for row in rows])
        for name in swept_parameters(settings)
    ]


def _value(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value[-_LABEL_WIDTH:] if isinstance(value, str) else parameter(value)


def _result_columns(rows: list[dict[str, Any]]) -> list[_Column]:
    return [
        _Column(("masks", "per", "image"), [number(row["n_masks_mean"]) for row in rows]),
        _Column(("95 %", "interval"), [interval(row["n_masks_low"], row["n_masks_high"]) for row in rows]),
        _Column(("from", "baseline"), [_difference(row) for row in rows]),
        _Column(("area", "covered"), [share(row["coverage_frac_mean"]) for row in rows]),
    ]


def _accuracy_columns(rows: list[dict[str, Any]], accuracy: Mapping[str, dict[str, Any]]) -> list[_Column]:
    if not accuracy:
        return []
    found = [accuracy.get(row["setting_id"], {}) for row in rows]
    return [
        _Column(("F1", "at IoU", "0.5"), [number(row.get("f1_50"), 3) for row in found]),
        _Column(("recall", "AR@1000"), [number(row.get("ar_1000"), 3) for row in found]),
    ]


def _difference(row: dict[str, Any]) -> str:
    """The paired difference, with room for its star."""
    words = NONE if row["is_baseline"] else difference(*(row[f"n_masks_diff_{end}"] for end in ("mean", "low", "high")))
    return words if words.endswith("*") else words + " "


def _fitting(parameters: list[_Column], others: list[_Column]) -> tuple[list[_Column], int]:
    """As many parameters as fit the width, and the number left out."""
    room = _WIDTH - 2 - sum(column.width + 2 for column in others)
    kept: list[_Column] = []
    for column in parameters:
        room -= column.width + 2
        if room < 0:
            break
        kept.append(column)
    return kept, len(parameters) - len(kept)


def _lay_out(columns: list[_Column], marked: list[bool]) -> list[str]:
    """Headings, one word per line; a rule; the rows. The first column is left-aligned, the others right-aligned."""
    height = max(len(column.words) for column in columns)
    whole = [
        [*[""] * (height - len(column.words)), *column.words, "-" * column.width, *column.cells] for column in columns
    ]
    margins = [*["  "] * (height + 1), *("> " if mark else "  " for mark in marked)]
    lines = table_lines(list(zip(*whole, strict=True)))
    return [(margin + line).rstrip() for margin, line in zip(margins, lines, strict=True)]


def _notes(rows: list[dict[str, Any]], n_shown: int, n_hidden: int) -> list[str]:
    n_images = max((row["n_images"] for row in rows), default=0)
    baseline = next((_label(row) for row in rows if row["is_baseline"]), "baseline")
    difference = "* marks a difference, taken image by image, whose 95 % interval excludes 0."
    marks = [f"> marks the baseline; {difference}"]
    if baseline != BASELINE:  # which may have a long name
        marks = [f"> marks the baseline, {baseline}.", difference]
    notes = [
        *marks,
        f"{len(rows)} settings, {n_images} images. Intervals are bootstrapped over images.",
    ]
    if n_shown < len(rows):
        notes.append(
            f"{len(rows) - n_shown} more settings lie between them: maskgrid summary, statistics/summary.parquet."
        )
    if n_hidden:
        notes.append(f"{n_hidden} more of the swept parameters are in statistics/summary.parquet.")
    return notes
