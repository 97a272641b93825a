"""Sections of the report with pictures: a few large ones, images on which settings disagree, masks side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskgrid.automatic.replay.selection import Selection
from maskgrid.config.settings import Setting, differences
from maskgrid.io.files import write_bytes
from maskgrid.io.wording import count, number
from maskgrid.masks.pictures import Pixels, Thumbnail, centred, colour, data_uri, grid, jpeg, paint
from maskgrid.pages.markup import NOTHING, Column, Html, Row, element, join, paragraph, section, table, text
from maskgrid.results.report.data import ReportData
from maskgrid.results.report.samples import Sample, is_answered

_N_LARGE = 4
_LARGE_SIDE = 960
# Width by height of a row of pictures; a wider one would be low.
_MAX_RATIO_OF_ROW = 4.2
_MAX_OVERLAY_SETTINGS = 6
_MAX_OVERLAY_IMAGES = 8
_MAX_EXTREMES = 4
_OVERLAY_SIDE = 448
# As the explorer hides them: masks of whole images would tint all others.
_MAX_FILLED_FRAC = 0.9


def pictures_section(data: ReportData) -> Html:
    """A few images with the baseline's masks, large."""
    if not data.samples:
        return NOTHING
    rows = [
        element(
            "div",
            {"class": "pictures large"},
            *(_overlay(sample, data.plan.baseline, data, _LARGE_SIDE) for sample in row),
        )
        for row in _rows(_first(data))
    ]
    opens = " A picture opens the explorer there." if data.links.settings else ""
    words = paragraph(f"At the baseline. Masks of over 90 % of an image are only outlined.{opens}")
    return section("pictures", "Pictures", words, *rows)


def _rows(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The pictures in one row or two, the widest beside the narrowest, so that rows are about equally high."""
    ordered = sorted(samples, key=lambda sample: -_ratio(sample))
    if len(ordered) < _N_LARGE or sum(map(_ratio, ordered)) <= _MAX_RATIO_OF_ROW:
        return [ordered]
    return [[ordered[at], ordered[-1 - at]] for at in range(len(ordered) // 2)]


def _ratio(sample: Sample) -> float:
    height, width = sample.size_hw
    return width / height


def _first(data: ReportData) -> list[Sample]:
    """The images to show first: others than those on which settings disagree most, which follow, if there are any."""
    widest = {spread.image_key for spread in data.images.widest}
    drawn = [sample.image_key for sample in data.samples if sample.image_key in widest][:_MAX_EXTREMES]
    ordered = sorted(data.samples, key=lambda sample: sample.image_key in drawn)
    return ordered[:_N_LARGE]


def disagreement_section(data: ReportData) -> Html:
    """The images on which settings disagree most."""
    if not data.images.widest:
        return NOTHING
    words = paragraph(
        "By the standard deviation of the count over all settings. The first of them are drawn with the fewest masks "
        "that a setting gives, at the baseline, and with the most."
    )
    columns = [Column("image", False), Column("fewest masks"), Column("most masks"), Column("standard deviation")]
    rows = [
        Row(
            [
                data.links.linked(text(one.image_key), one.image_key),
                *map(text, (one.lowest, one.highest, number(one.deviation, 2))),
            ]
        )
        for one in data.images.widest
    ]
    return section(
        "disagreement",
        "Images on which settings disagree",
        words,
        *_extremes(data),
        table("Images on which settings disagree most", columns, rows),
    )


def _extremes(data: ReportData) -> list[Html]:
    """The images on which settings disagree most, drawn at the settings with the fewest and most masks."""
    settings = {setting.id: setting for setting in data.plan.settings}
    widest = {spread.image_key for spread in data.images.widest}
    rows: list[Html] = []
    for sample in data.samples:
        counts = data.images.n_masks.get(sample.image_key, {})
        if sample.image_key in widest and counts and len(rows) < _MAX_EXTREMES:
            fewest, most = min(counts, key=lambda key: counts[key]), max(counts, key=lambda key: counts[key])
            shown = dict.fromkeys([fewest, data.plan.baseline.id, most])
            rows.append(_overlay_row(sample, [settings[setting_id] for setting_id in shown], data))
    return rows


def overlays_section(data: ReportData) -> Html:
    """The masks of the exported settings, side by side; of the baseline alone, images that are not among the first."""
    exported = data.plan.exported()
    shown = exported[:_MAX_OVERLAY_SETTINGS]
    samples = data.samples[:_MAX_OVERLAY_IMAGES]
    if [setting.id for setting in shown] == [data.plan.baseline.id]:
        first = {sample.image_key for sample in _first(data)}
        figures = [_overlay(each, shown[0], data) for each in samples if each.image_key not in first]
        more = element("div", {"class": "pictures"}, *figures)
        return section("overlays", "More pictures", more) if figures else NOTHING
    if not samples or not shown:
        return NOTHING
    words = "The exported settings side by side. A mask keeps its colour from setting to setting."
    if len(exported) > len(shown):
        words += f" {count(len(exported) - len(shown), 'more exported setting')} not drawn."
    rows = [_overlay_row(sample, shown, data) for sample in samples]
    return section("overlays", "Exported settings", paragraph(words), *rows)


def _overlay_row(sample: Sample, settings: Sequence[Setting], data: ReportData) -> Html:
    figures = [_overlay(sample, setting, data) for setting in settings]
    heading = element("h3", {}, text(_name(sample)))
    return element("div", {"class": "compared"}, heading, element("div", {"class": "pictures"}, *figures))


def _name(sample: Sample) -> str:
    return sample.image_key + ("" if sample.pixels is not None else " (the file has gone or changed since)")


def _overlay(sample: Sample, setting: Setting, data: ReportData, side: int = _OVERLAY_SIDE) -> Html:
    is_large = side == _LARGE_SIDE
    at = _words(setting, data.plan.baseline)
    drawn = overlay(sample, setting, side, _MAX_FILLED_FRAC)
    if drawn is None:
        return element("figure", {}, element("figcaption", {}, text(f"{at}: no results")))
    pixels, n_masks = drawn
    height, width = pixels.shape[:2]
    attributes: dict[str, str | float] = {
        "src": data_uri(jpeg(pixels)),
        "width": width,
        "height": height,
        "alt": f"{sample.image_key} with {count(n_masks, 'mask')}: {at}",
        "decoding": "async",
    }
    picture = data.links.linked(element("img", attributes), sample.image_key, setting)
    name = [element("span", {"class": "name"}, text(_name(sample)))] if is_large else []
    caption = [*name, element("b", {}, text(count(n_masks, "mask"))), *([] if is_large else [text(f" {at}")])]
    # Pictures of a row are of one height, whatever their shapes.
    style = {"style": f"--ratio:{width / height:.4f}"}
    return element("figure", style, picture, element("figcaption", {}, join(caption)))


def _words(setting: Setting, baseline: Setting) -> str:
    """A setting in words: its name, if it has one, and what differs from the baseline."""
    changed = differences(setting, baseline)
    if setting.id == baseline.id:
        return "at the baseline"
    return f"at {setting.names[0]} ({changed})" if setting.names else f"at {changed}"


def overlay(sample: Sample, setting: Setting, max_side: int, max_filled_frac: float = 1.0) -> tuple[Pixels, int] | None:
    """Draw an image with the masks that a setting keeps; return it and their count, or None without results."""
    if not is_answered(sample, setting):
        return None
    selection = sample.replays[setting.checkpoint].select(setting.generator, setting.filters)
    thumbnail = Thumbnail.fit(sample.size_hw, max_side)
    return _paint(thumbnail, sample.pixels, selection, max_filled_frac), len(selection)


def write_contact_sheet(
    path: Path, samples: Sequence[Sample], setting: Setting, fingerprint: str = "", side: int = 320
) -> None:
    """Write the overlays of one setting as one JPEG, four in a row, with the fingerprint as its comment."""
    drawn = [overlay(sample, setting, side) for sample in samples]
    tiles = [centred(picture[0], side) for picture in drawn if picture is not None]
    sheet = grid(tiles or [np.full((side, side, 3), 255, np.uint8)], 4)
    write_bytes(path, jpeg(sheet, quality=85, comment=fingerprint))


def _paint(thumbnail: Thumbnail, image: Pixels | None, selection: Selection, max_filled_frac: float) -> Pixels:
    masks = [
        (thumbnail.mask(counts), colour(selection.passes[layer].pass_.name, number))
        for counts, layer, number in zip(
            selection.counts(), selection.layer, selection.candidate_id().tolist(), strict=True
        )
    ]
    return paint(thumbnail.pixels(image), masks, max_filled_frac)
