"""Any combination of the config's filters, and images that leave them masks to drop."""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from maskgrid.automatic.replay.filters import Replay
from maskgrid.config.filters import FILTERS, FilterConfig
from maskgrid.masks import rle
from synthetic import make_images

# Loose thresholds, so that many masks are left for the filters, some of them equal; scores have ties.
LOOSE = {"pred_iou_thresh": 0.1, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0, "crop_nms_thresh": 1.0}
REGION = "regions"


def _with_ties(part):
    # Every fourth mask is another's twin.
    rows = part.rows
    counts, area, box = rows.counts.copy(), rows.area_px.copy(), rows.box_xyxy.copy()
    for at in range(4, len(rows), 8):
        if counts[at] is not None and counts[at - 4] is not None:
            counts[at], area[at], box[at] = counts[at - 4], area[at - 4], box[at - 4]
    scores = np.round(rows.predicted_iou, 1).astype(np.float32)
    rows = dataclasses.replace(rows, predicted_iou=scores, counts=counts, area_px=area, box_xyxy=box)
    return dataclasses.replace(part, rows=rows, proposed_iou=np.sort(scores[::2]))


def _replay(image, seed):
    height, width = image.size_hw
    region = np.zeros(image.size_hw, np.bool_)
    region[height // 4 :, : 2 * width // 3] = True
    region &= np.random.default_rng(seed).random(image.size_hw) < 0.8
    parts = {part.pass_.name: _with_ties(part) for part in image.candidates}
    return Replay(parts, {REGION: rle.encode(region)}), region


IMAGES = [
    _replay(image, seed)
    for seed in range(4)
    for image in make_images(2, n_points=25, seed=seed)
    if image.status == "ok"
]


def optional(values):
    return st.one_of(st.none(), values)


def fractions(*often):
    return st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1 / 3, 1.0, *often]), st.floats(0.0, 1.0))


@st.composite
def filters(draw) -> FilterConfig:
    """Any combination; each filter is off in half of the draws, so that later ones have masks to drop."""
    values = {
        "min_area_px": draw(st.integers(0, 60)),
        "max_area_px": draw(optional(st.integers(60, 600))),
        "min_area_frac": draw(st.floats(0.0, 0.1)),
        "max_area_frac": draw(st.floats(0.1, 1.0)),
        "border": draw(optional(st.integers(0, 4))),
        "min_fill_frac": draw(fractions()),
        "max_aspect_ratio": draw(optional(st.one_of(st.sampled_from([1.0, 1.5, 2.0]), st.floats(1.0, 4.0)))),
        "region": REGION,
        "min_region_frac": draw(optional(fractions())),
        "mask_nms_thresh": draw(fractions(0.1, 0.7)),
        "max_containment_frac": draw(fractions(0.9)),
        "containment_keeps": draw(st.sampled_from(["larger", "smaller"])),
        "max_masks": draw(optional(st.integers(0, 30))),
    }
    on = draw(st.sets(st.sampled_from(FILTERS), max_size=6))
    return FilterConfig(**{name: value for name, value in values.items() if name in on})
