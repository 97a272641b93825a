"""The explorer: one HTML file with a few images inside, and the list of all images beside it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.config.models import DEMO
from maskgrid.config.settings import make_setting
from maskgrid.io.files import write_bytes
from maskgrid.io.tables import open_table, read_table
from maskgrid.io.wording import TOY
from maskgrid.pages.markup import Html, asset, element, join, page, text
from maskgrid.pages.scripts import embedded, script
from maskgrid.plan.plan import Plan
from maskgrid.results.explorer.groups import run_groups, settings_data, values_of
from maskgrid.results.explorer.image import ImageData, ImageSource, file_name
from maskgrid.results.notes import report_fingerprint
from maskgrid.results.report.samples import Sample, is_answered

# The page stays below 10 MB, so that it can be sent.
_MAX_BYTES = 9_000_000
# Counts of every setting are listed if there are no more of them; else the baseline's alone.
_MAX_COUNTS = 500_000
_SCRIPTS = (
    *("links", "page", "masks", "packing", "regions", "replay", "filters", "overlaps", "curves"),
    *("curve_charts", "settings", "truth", "store", "raster", "view", "scene", "compare", "pointing"),
    *("list", "address", "downloads", "explorer"),
)


def images_inside(plan: Plan, samples: Sequence[Sample]) -> list[ImageData]:
    """The images to put into the page itself, in this order; those beyond its size are left out."""
    n_bytes = sum(len(asset(_path(name))) for name in _SCRIPTS)
    return embedded_images(plan, samples, _MAX_BYTES - n_bytes)


def write_explorer_page(plan: Plan, inside: Sequence[ImageData]) -> None:
    """Write ``explorer.html``, with images inside, and ``explorer/images.js``."""
    write_bytes(plan.layout.explorer_images, images_script(plan, inside))
    write_bytes(plan.layout.explorer, explorer_page(plan, inside))


def explorer_page(plan: Plan, inside: Sequence[ImageData]) -> bytes:
    """Make the page; it works without the data beside it, for the images inside."""
    parts = [
        element("script", {"type": "application/json", "data-image": file_name(one.head["key"])}, Html(one.embedded()))
        for one in inside
    ]
    return page(
        "explorer/explorer.html",
        {
            "style": asset("pages.css") + asset("explorer/explorer.css"),
            "script": "\n".join([asset(_path(name)) for name in _SCRIPTS]),
            "data": embedded(page_data(plan, inside)),
            "images": join(parts),
            "fingerprint": report_fingerprint(plan),
            "note": toy_note(plan),
        },
    )


def _path(name: str) -> str:
    return f"{name}.js" if name == "links" else f"explorer/{name}.js"


def toy_note(plan: Plan) -> Html:
    """A paragraph for the top of a page with masks of the demo network; empty for other networks."""
    if all(setting.checkpoint != DEMO for setting in plan.settings):
        return join([])
    return element("p", {"class": "toy"}, element("strong", {}, text(f"Note: {TOY}.")))


def page_data(plan: Plan, inside: Sequence[ImageData]) -> dict[str, Any]:
    """What the page knows without the data beside it."""
    groups, baseline = run_groups(plan), plan.baseline
    return {
        "baseline": values_of(baseline),
        "label": baseline.label,
        "config": {
            "checkpoint": plan.config.model.checkpoint,
            "values": values_of(
                make_setting(plan.config.model.checkpoint, plan.config.generator, filters=plan.config.filters)
            ),
        },
        "regions": plan.regions(),
        "region_fracs": sorted({one.filters.min_region_frac for one in plan.settings} - {None}),
        "groups": [group.data(baseline) for group in groups],
        "settings": settings_data(plan, groups),
        "n_settings": len(plan.settings),
        "has_truth": plan.ground_truth() is not None,
        "n_images": read_table(plan.layout.images, ["image_key"], [("status", "=", "ok")]).num_rows,
        "images": [
            {"key": one.head["key"], "name": file_name(one.head["key"]), "size_hw": one.head["size_hw"]}
            for one in inside
        ],
    }


def embedded_images(plan: Plan, samples: Sequence[Sample], max_bytes: int) -> list[ImageData]:
    """As many of the images as fit; of one that is large by itself only the baseline's passes."""
    (baseline, *_) = run_groups(plan)
    found: list[ImageData] = []
    left = max_bytes
    for sample in samples:
        if not is_answered(sample, plan.baseline):
            continue
        whole = ImageData.of(_source(plan, sample))
        for image in (whole, whole.only(set(baseline.names))):
            if (n_bytes := len(image.embedded())) <= left:
                found.append(image)
                left -= n_bytes
                break
    return found


def _source(plan: Plan, sample: Sample) -> ImageSource:
    passes = {
        run.folder: sample.replays[run.checkpoint].candidates[run.pass_.name]
        for run in plan.runs
        if run.checkpoint in sample.replays and run.pass_.name in sample.replays[run.checkpoint].candidates
    }
    in_image = sample.replays[plan.baseline.checkpoint].in_image
    return ImageSource(sample.image_key, sample.size_hw, sample.pixels, passes, in_image, sample.truth)


def images_script(plan: Plan, inside: Sequence[ImageData]) -> bytes:
    """The list of all images: where their data are, and how many masks settings keep in them."""
    there = {one.head["key"] for one in inside} if plan.config.explorer == "chosen" else None
    rows = read_table(plan.layout.images, ["image_key", "status", "message", "height", "width", "shard"])
    images = rows.sort_by("image_key").to_pylist()
    keys = [row["image_key"] for row in images]
    listed = {
        "key": keys,
        "name": [file_name(key) for key in keys],
        "folder": [None if row["shard"] is None or there is not None else quote(row["shard"]) for row in images],
        "size_hw": [[row["height"], row["width"]] for row in images],
        "problem": [_problem(row, there) for row in images],
        "n_masks": counts_by_setting(plan, keys),
    }
    return script("images", report_fingerprint(plan), listed)


def _problem(row: dict[str, Any], there: set[str] | None) -> str | None:
    """Why an image cannot be shown; None if it can."""
    if row["status"] != "ok":
        return str(row["message"] or row["status"])
    return None if there is None or row["image_key"] in there else "not in the explorer: the config chose others"


def counts_by_setting(plan: Plan, keys: Sequence[str]) -> dict[str, list[int]]:
    """The masks of each image by setting id; -1 where there are none to count."""
    settings = list(plan.settings) if len(plan.settings) * len(keys) <= _MAX_COUNTS else [plan.baseline]
    ids = [setting.id for setting in settings]
    counts: NDArray[np.int64] = np.full((len(ids), len(keys)), -1, np.int64)
    _, batches = open_table(plan.layout.statistics("mask_counts"), ["setting_id", "image_key", "n_masks"], 1 << 16)
    known_keys, known_ids = pa.array(keys, pa.string()), pa.array(ids, pa.string())
    for batch in batches:
        image = pc.fill_null(pc.index_in(batch["image_key"], known_keys), -1).to_numpy(zero_copy_only=False)
        setting = pc.fill_null(pc.index_in(batch["setting_id"], known_ids), -1).to_numpy(zero_copy_only=False)
        there = (image >= 0) & (setting >= 0)
        counts[setting[there], image[there]] = batch["n_masks"].to_numpy(zero_copy_only=False)[there]
    return dict(zip(ids, counts.tolist(), strict=True))
