"""The tracking page: each video with its overlay, its objects, and any problems."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from maskgrid.config.models import BASELINE
from maskgrid.io.wording import NONE, count, number, share
from maskgrid.pages.markup import Column, Html, asset, details, element, join, page, paragraph, section, table, text
from maskgrid.pages.markup import Row as TableRow
from maskgrid.plan.plan import Plan
from maskgrid.tracked.masklets import Run

Row = dict[str, Any]

# More would make the page too slow for browsers; the Parquet files have everything.
_MOST_VIDEOS = 200
_MOST_OBJECTS = 500

_SETTING_COLUMNS = (
    Column("setting", is_number=False),
    Column("masklets"),
    Column("mean length", hint="frames with a mask"),
    Column("masks a frame"),
    Column("coverage", hint="share of a frame under masks"),
    Column("gaps", hint="times that an object went out of sight and came back"),
    Column("parameters", is_number=False),
)
_VIDEO_COLUMNS = (
    Column("video", is_number=False),
    Column("setting", is_number=False),
    Column("status", is_number=False),
    Column("frames", hint="after range and stride"),
    Column("objects"),
    Column("masklets", hint="objects that are seen on one frame at least"),
    Column("mean length", hint="frames with a mask"),
    Column("gaps", hint="times that an object went out of sight and came back"),
    Column("masks a frame"),
    Column("coverage", hint="share of a frame under masks"),
)
_OBJECT_COLUMNS = (
    Column("object", is_number=False),
    Column("category", is_number=False),
    Column("status", is_number=False),
    Column("frames"),
    Column("seen on"),
    Column("first"),
    Column("last"),
    Column("gaps"),
    Column("mean area"),
)


def tracking_page(
    plan: Plan,
    runs: Sequence[Run],
    objects: Sequence[Row],
    summary: Sequence[Row],
    settings: Sequence[Row],
    fingerprint: str,
    more: Sequence[Html] = (),
) -> bytes:
    """The page as one HTML file; it belongs beside the folder of overlays.

    Args:
        plan: the plan.
        runs: the tracked videos.
        objects: rows of ``OBJECTS``.
        summary: rows of ``SUMMARY``.
        settings: rows of ``SETTINGS``.
        fingerprint: the inputs' fingerprint, for the page's head.
        more: further sections, before the videos.
    """
    names = {(run.setting, run.video.video_key): run.name for run in runs}
    shown = [row for row in summary if _place(row) in names][:_MOST_VIDEOS]
    exports = plan.tracking.exports
    videos = table("Videos", _VIDEO_COLUMNS, map(_video_row, summary))
    content = [
        *([_settings_section(settings)] if len(settings) > 1 else []),
        *more,
        section("videos", "Videos", paragraph(_first_words(summary, shown)), videos),
        *(_video_section(row, names[_place(row)], objects, exports) for row in shown),
    ]
    links = element("a", {"href": "#videos"}, text("Videos"))
    if "player" in exports:
        links = join([links, element("a", {"href": "player.html"}, text("Player"))])
    parts = {"style": asset("pages.css"), "fingerprint": fingerprint, "links": links, "content": join(content)}
    return page("tracking.html", {name: str(part) for name, part in parts.items()})


def _first_words(summary: Sequence[Row], shown: Sequence[Row]) -> str:
    n_good = sum(row["status"] == "ok" for row in summary)
    words = f"{count(len(summary), 'video')}, {n_good} of them with masklets."
    n_more = sum(row["n_frames_read"] is not None for row in summary) - len(shown)
    return f"{words} Below are the first {len(shown)}; {n_more} more are in the tables." if n_more > 0 else words


def _video_row(row: Row) -> TableRow:
    columns = (("mean_length", 1), ("n_gaps", 0), ("masks_per_frame", 1))
    numbers = (number(row[name], digits) for name, digits in columns)
    return TableRow.of(
        row["video_key"],
        row["setting"],
        _status(row),
        NONE if row["n_frames_read"] is None else row["n_frames_read"],
        row["n_objects"],
        row["n_masklets"],
        *numbers,
        share(row["coverage_frac"]),
    )


def _place(row: Row) -> tuple[str, str]:
    return row["setting"], row["video_key"]


def _settings_section(settings: Sequence[Row]) -> Html:
    rows = (
        TableRow.of(
            row["setting"],
            row["n_masklets"],
            number(row["mean_length"]),
            number(row["masks_per_frame"]),
            share(row["coverage_frac"]),
            row["n_gaps"],
            row["parameters"] or NONE,
        )
        for row in settings
    )
    return section("settings", "Settings", table("Settings", _SETTING_COLUMNS, rows))


def _video_section(row: Row, name: str, objects: Sequence[Row], exports: Sequence[str]) -> Html:
    key = row["video_key"]
    mine = [one for one in objects if _place(one) == _place(row)]
    title = key if row["setting"] == BASELINE else f"{key}, {row['setting']}"
    parts = [table(f"Objects of {key}", _OBJECT_COLUMNS, (_object_row(one) for one in mine[:_MOST_OBJECTS]))]
    if "overlay" in exports:
        moving = _picture(f"overlay/{name}.webp", f"{key} with its masks")
        sheet = _picture(f"overlay/{name}.jpg", f"frames of {key}")
        parts = [element("p", {}, moving), details("Frames side by side", sheet), *parts]
    if "player" in exports:
        place = urlencode({"video": key} | ({} if row["setting"] == BASELINE else {"setting": row["setting"]}))
        parts = [element("p", {}, element("a", {"href": f"player.html#{place}"}, text("Play"))), *parts]
    return section(f"video-{name}", title, *parts)


def _picture(address: str, words: str) -> Html:
    return element("img", {"src": address, "alt": words, "loading": "lazy"})


def _object_row(row: Row) -> TableRow:
    first, last = (NONE if row.get(name) is None else row[name] for name in ("first_frame", "last_frame"))
    return TableRow.of(
        row["source_id"],
        row["category"] or NONE,
        _status(row),
        row["n_frames"],
        row["n_visible"],
        first,
        last,
        row["n_gaps"],
        share(row.get("mean_area_frac"), 2),
    )


def _status(row: Row) -> str:
    return str(row["status"]) if not row["message"] else f"{row['status']}: {row['message']}"
