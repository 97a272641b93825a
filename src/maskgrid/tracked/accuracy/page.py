"""The tracking page's part on accuracy: settings, and the objects that were followed worst."""

from collections.abc import Sequence
from typing import Any

from maskgrid.io.wording import NONE, count, number
from maskgrid.pages.markup import Column, Html, join, meanings, paragraph, section, table
from maskgrid.pages.markup import Row as TableRow
from maskgrid.tracked.accuracy.merge import Accuracies
from maskgrid.tracked.accuracy.truth import NO_TRUTH

Row = dict[str, Any]

_MOST_OBJECTS = 100
_MEASURES = ("j_and_f", "j", "f", "hota", "det_a", "ass_a", "idf1")
_RANKED_BY = ("j_and_f", "hota")
_MEASURED = (
    Column("objects", hint="true objects measured"),
    Column("matched", hint="of these, objects that a masklet of their own overlaps"),
    Column("J&F", hint="DAVIS: mean of J and F over the objects"),
    Column("J", hint="IoU of masklet and object, mean over the frames"),
    Column("F", hint="accuracy of contours, mean over the frames"),
    Column("HOTA", hint="detection and association together"),
    Column("DetA", hint="HOTA: masks found, against missed and extra ones"),
    Column("AssA", hint="HOTA: how well masklets keep to their objects"),
    Column("IDF1", hint="share of masks that belong to the right masklet"),
)
_SETTINGS = (Column("setting", is_number=False), *_MEASURED, Column("parameters", is_number=False))
_VIDEOS = (Column("video", is_number=False), Column("setting", is_number=False), *_MEASURED)
_OBJECTS = (
    Column("object", is_number=False),
    Column("video", is_number=False),
    Column("setting", is_number=False),
    Column("category", is_number=False),
    Column("frames", hint="measured"),
    Column("J&F"),
    Column("J"),
    Column("F"),
    Column("masklet", hint="number of its masklet"),
)


def accuracy_sections(found: Accuracies | None) -> list[Html]:
    """The section, or nothing without ground truth; the settings best first, objects worst first."""
    if found is None:
        return []
    measured = sorted((row for row in found.objects if row["n_frames"]), key=lambda row: row["j_and_f"])
    videos = [row for row in found.videos if row["status"] == "ok"]
    parts = [
        paragraph(_first_words(found)),
        table("Accuracy by setting", _SETTINGS, map(_setting_row, best_first(found.settings))),
        meanings(_MEASURED),
    ]
    if len(videos) > 1:
        ordered = sorted(videos, key=lambda row: -1.0 if row["j_and_f"] is None else row["j_and_f"])
        parts.append(table("Accuracy by video, worst first", _VIDEOS, map(_video_row, ordered[:_MOST_OBJECTS])))
    if measured:
        parts.append(table("Objects, worst first", _OBJECTS, map(_object_row, measured[:_MOST_OBJECTS])))
    return [section("accuracy", "Against ground truth", join(parts))]


def best_first(settings: Sequence[Row]) -> list[Row]:
    """Settings by J&F, then HOTA, best first; of equal ones the baseline first; those without a figure last."""
    return sorted(settings, key=lambda row: tuple(1.0 if row[name] is None else -row[name] for name in _RANKED_BY))


def _first_words(found: Accuracies) -> str:
    rows = [row for row in found.videos if row["setting"] == found.settings[0]["setting"]]
    n_good = sum(row["status"] == "ok" for row in rows)
    words = f"{count(n_good, 'video')} of {len(rows)} measured. All figures are over the frames that are annotated."
    reasons = {row["message"] for row in rows if row["status"] not in ("ok", NO_TRUTH)}
    return words + (f" Not measured: {'; '.join(sorted(map(str, reasons))[:3])}." if reasons else "")


def _figures(row: Row) -> list[Any]:
    return [row["n_truth"], row["n_matched"], *(number(row[name], 3) for name in _MEASURES)]


def _setting_row(row: Row) -> TableRow:
    return TableRow.of(row["setting"], *_figures(row), row["parameters"] or NONE)


def _video_row(row: Row) -> TableRow:
    return TableRow.of(row["video_key"], row["setting"], *_figures(row))


def _object_row(row: Row) -> TableRow:
    return TableRow.of(
        row["truth_id"],
        row["video_key"],
        row["setting"],
        row["category"] or NONE,
        row["n_frames"],
        *(number(row[name], 3) for name in ("j_and_f", "j", "f")),
        NONE if row["object_id"] is None else row["object_id"],
    )
