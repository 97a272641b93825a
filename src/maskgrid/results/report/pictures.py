"""Sections of the report with pictures: images on which settings disagree, and masks side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskgrid.automatic.selection import Selection
from maskgrid.config.settings import Setting, differences
from maskgrid.io.files import write_bytes
from maskgrid.io.wording import count, number
from maskgrid.masks.pictures import Pixels, Thumbnail, centred, colour, data_uri, grid, jpeg, paint
from maskgrid.pages.markup import NOTHING, Column, Html, Row, element, paragraph, section, table, text
from maskgrid.results.report.data import ReportData
from maskgrid.results.report.samples import Sample, is_answered

_MAX_OVERLAY_SETTINGS = 6
_MAX_OVERLAY_IMAGES = 8
_MAX_EXTREMES = 4
_OVERLAY_SIDE = 448


def disagreement_section(data: ReportData) -> Html:
    """The images on which settings disagree most."""
    if not data.images.widest:
        return NOTHING
    words = paragraph(
        "By the standard deviation of the count over all settings. The first of them are drawn with the fewest masks "
        "that a setting gives, at the baseline, and with the most."
    )
    columns = [Column("image", False), Column("fewest masks"), Column("most masks"), Column("standard deviation")]
    rows = [Row.of(one.image_key, one.lowest, one.highest, number(one.deviation, 2)) for one in data.images.widest]
    return section(
        "disagreement",
        "Images on which settings disagree",
        words,
        table("Images on which settings disagree most", columns, rows),
        *_extremes(data),
    )


def _extremes(data: ReportData) -> list[Html]:
    """The images on which settings disagree most, drawn at the settings with the fewest and most masks."""
    settings = {setting.id: setting for setting in data.plan.settings}
    widest = {spread.image_key for spread in data.images.widest}
    rows = []
    for sample in data.samples:
        counts = data.images.n_masks.get(sample.image_key, {})
        if sample.image_key in widest and counts:
            fewest, most = min(counts, key=lambda key: counts[key]), max(counts, key=lambda key: counts[key])
            shown = dict.fromkeys([fewest, data.plan.baseline.id, most])
            rows.append(_overlay_row(sample, [settings[setting_id] for setting_id in shown], data.plan.baseline))
    return rows[:_MAX_EXTREMES]


def overlays_section(data: ReportData) -> Html:
    """The masks of the exported settings, side by side."""
    exported = data.plan.exported()
    shown = exported[:_MAX_OVERLAY_SETTINGS]
    if not data.samples:
        return NOTHING
    words = "Settings side by side. A mask keeps its colour from setting to setting."
    if len(exported) > len(shown):
        words += f" {count(len(exported) - len(shown), 'more exported setting')} not drawn."
    samples = data.samples[:_MAX_OVERLAY_IMAGES]
    if len(shown) == 1:
        alone = [
            element("div", {}, _heading(sample), _overlay(sample, shown[0], data.plan.baseline)) for sample in samples
        ]
        return section("overlays", "Masks", element("div", {"class": "overlays"}, *alone))
    rows = [_overlay_row(sample, shown, data.plan.baseline) for sample in samples]
    return section("overlays", "Masks", paragraph(words), *rows)


def _overlay_row(sample: Sample, settings: Sequence[Setting], baseline: Setting) -> Html:
    figures = [_overlay(sample, setting, baseline) for setting in settings]
    return element("div", {}, _heading(sample), element("div", {"class": "overlays"}, *figures))


def _heading(sample: Sample) -> Html:
    remark = "" if sample.pixels is not None else " (the file has gone or changed since)"
    return element("h3", {}, text(sample.image_key + remark))


def _overlay(sample: Sample, setting: Setting, baseline: Setting) -> Html:
    drawn = overlay(sample, setting, _OVERLAY_SIDE)
    if drawn is None:
        return element("figure", {}, element("figcaption", {}, text(f"{setting.label}: no results")))
    pixels, n_masks = drawn
    height, width = pixels.shape[:2]
    words = f"{setting.label}: {count(n_masks, 'mask')}"
    changed = "" if setting.names else f" ({differences(setting, baseline)})"
    attributes: dict[str, str | float] = {
        "src": data_uri(jpeg(pixels)),
        "width": width,
        "height": height,
        "alt": f"{sample.image_key} with {words}",
        "loading": "lazy",
    }
    return element("figure", {}, element("img", attributes), element("figcaption", {}, text(words + changed)))


def overlay(sample: Sample, setting: Setting, max_side: int) -> tuple[Pixels, int] | None:
    """Draw an image with the masks that a setting keeps; return it and their count, or None without results."""
    if not is_answered(sample, setting):
        return None
    selection = sample.replays[setting.checkpoint].select(setting.generator, setting.filters)
    thumbnail = Thumbnail.fit(sample.size_hw, max_side)
    return _paint(thumbnail, sample.pixels, selection), len(selection)


def write_contact_sheet(
    path: Path, samples: Sequence[Sample], setting: Setting, fingerprint: str = "", side: int = 320
) -> None:
    """Write the overlays of one setting as one JPEG, four in a row, with the fingerprint as its comment."""
    drawn = [overlay(sample, setting, side) for sample in samples]
    tiles = [centred(picture[0], side) for picture in drawn if picture is not None]
    sheet = grid(tiles or [np.full((side, side, 3), 255, np.uint8)], 4)
    write_bytes(path, jpeg(sheet, quality=85, comment=fingerprint))


def _paint(thumbnail: Thumbnail, image: Pixels | None, selection: Selection) -> Pixels:
    masks = [
        (thumbnail.mask(counts), colour(selection.passes[layer].pass_.name, number))
        for counts, layer, number in zip(
            selection.counts(), selection.layer, selection.candidate_id().tolist(), strict=True
        )
    ]
    return paint(thumbnail.pixels(image), masks)
