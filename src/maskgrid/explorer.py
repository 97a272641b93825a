"""The explorer: a page that replays the thresholds over the candidates of a few images as its sliders move."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from maskgrid.candidates import Candidates
from maskgrid.config import GeneratorConfig
from maskgrid.lineage import report_fingerprint
from maskgrid.passes import PassRun, Recording, passes_of
from maskgrid.plan import Plan
from maskgrid.report_pages import asset, page
from maskgrid.samples import Sample, is_answered
from maskgrid.thumbnails import Thumbnail, data_uri, jpeg

_SIDE = 640
# The page is to stay under 15 MB with its images; further ones are left out.
_MAX_BYTES = 12_000_000
_SLIDERS = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh")
_LEVELS = ("mask_threshold", "stability_score_offset")


def explorer_page(plan: Plan, samples: Sequence[Sample]) -> bytes:
    """The explorer as one HTML file, for the passes of the baseline.

    Args:
        plan: the plan of the run.
        samples: the images to choose from; those that the page has no room for are left out.
    """
    return page(
        "explorer.html",
        {
            "style": asset("pages.css") + asset("explorer.css"),
            "script": "\n".join([asset("masks.js"), asset("replay.js"), asset("explorer.js")]),
            "data": embedded(explorer_data(plan, samples)),
            "fingerprint": report_fingerprint(plan),
        },
    )


def embedded(data: dict[str, Any]) -> str:
    """JSON that can stand in a script element: no character of it ends the element."""
    code = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return code.replace("<", "\\u003c")


def explorer_data(plan: Plan, samples: Sequence[Sample], max_bytes: int = _MAX_BYTES) -> dict[str, Any]:
    """What the page needs: the baseline's values, what was recorded, and images with their candidates."""
    baseline = plan.baseline
    names = [pass_.name for pass_ in passes_of(baseline.generator)]
    runs = [run for run in plan.runs if run.checkpoint == baseline.checkpoint and run.pass_.name in names]
    recording = common_recording(runs)
    images: list[dict[str, Any]] = []
    n_bytes = 0
    for sample in samples:
        if not is_answered(sample, baseline):
            continue
        passes = [sample.replays[baseline.checkpoint].candidates[name] for name in names]
        image = image_data(sample, passes, recording)
        n_bytes += len(orjson.dumps(image, option=orjson.OPT_SERIALIZE_NUMPY))
        if images and n_bytes > max_bytes:
            break
        images.append(image)
    return {
        "baseline": _values(baseline.generator),
        "label": baseline.label,
        "checkpoint": baseline.checkpoint,
        "passes": names,
        "min_mask_region_area": baseline.generator.min_mask_region_area,
        "recording": recording.as_dict(),
        "images": images,
    }


def common_recording(runs: Sequence[PassRun]) -> Recording:
    """What all passes have recorded: the highest of their floors, and the levels that they share."""
    recordings = [run.recording for run in runs]
    levels = set.intersection(*(set(one.mask_thresholds) for one in recordings))
    offsets = set.intersection(*(set(one.stability_score_offsets) for one in recordings))
    return Recording(
        max(one.pred_iou_thresh for one in recordings),
        max(one.stability_score_thresh for one in recordings),
        tuple(sorted(levels)),
        tuple(sorted(offsets)),
    )


def image_data(sample: Sample, passes: Sequence[Candidates], recording: Recording) -> dict[str, Any]:
    """One image: its pixels and masks at the size of a screen, scores and boxes as they are."""
    thumbnail = Thumbnail.fit(sample.size_hw, _SIDE)
    return {
        "key": sample.image_key,
        "size_hw": sample.size_hw,
        "shown_hw": thumbnail.shown_hw,
        "has_pixels": sample.pixels is not None,
        "pixels": data_uri(jpeg(thumbnail.pixels(sample.pixels))),
        "layers": [_layer(part, recording, thumbnail) for part in passes],
    }


def _layer(part: Candidates, recording: Recording, thumbnail: Thumbnail) -> dict[str, Any]:
    """A pass, column by column; positions of levels and offsets instead of their values."""
    rows = part.rows.take(np.isin(part.rows.mask_threshold, recording.mask_thresholds))
    offsets = [part.recording.stability_score_offsets.index(value) for value in recording.stability_score_offsets]
    counts = ["" if code is None else thumbnail.counts(code).decode("ascii") for code in rows.counts]
    return {
        "proposed": part.proposed_iou,
        "crops": part.crop_boxes_xyxy,
        "id": rows.candidate_id,
        "crop": rows.crop_index,
        "level": _positions(rows.mask_threshold, recording.mask_thresholds),
        "iou": rows.predicted_iou,
        "stability": [np.ascontiguousarray(rows.stability_scores[:, column]) for column in offsets],
        "edge": rows.near_crop_edge.astype(np.uint8),
        "box": rows.box_xyxy.ravel(),
        "point": np.round(rows.point_xy, 1).ravel(),
        "area": rows.area_px,
        "counts": counts,
    }


def _positions(values: NDArray[np.float64], levels: Sequence[float]) -> NDArray[np.int64]:
    return np.searchsorted(np.array(levels, np.float64), values)


def _values(generator: GeneratorConfig) -> dict[str, float]:
    return {name: float(getattr(generator, name)) for name in (*_SLIDERS, *_LEVELS)}
