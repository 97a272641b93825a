"""The explorer: a page whose sliders replay the thresholds over the candidates of a few images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates
from maskgrid.automatic.regions import Region, redraw_code
from maskgrid.config.models import DEMO, GeneratorConfig
from maskgrid.config.settings import Setting
from maskgrid.io.wording import TOY, parameter
from maskgrid.masks import rle
from maskgrid.masks.pictures import Thumbnail, data_uri, jpeg
from maskgrid.pages.markup import Html, asset, element, join, page, text
from maskgrid.plan.passes import PASS_PARAMETERS, PassRun, Recording, passes_of
from maskgrid.plan.plan import Plan
from maskgrid.results.notes import report_fingerprint
from maskgrid.results.report.explorer_pairs import Floors, pairs_data, region_px
from maskgrid.results.report.samples import Sample, is_answered

_SIDE = 640
# Keep the page under 15 MB: images beyond that are left out.
_MAX_BYTES = 12_000_000
# Maximum number of groups of passes; more would leave no room for images.
_MAX_GROUPS = 8
# Maximum number of mask pixels to redraw without small regions for one pass of an image, about ten seconds of work.
_MAX_REGION_PIXELS = 1_000_000_000
_SLIDERS = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh")
_SCRIPTS = ("links", "masks", "replay", "filters", "curves", "curve_charts", "explorer")
_LEVELS = ("mask_threshold", "stability_score_offset")


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Passes of the network that settings use together: one choice on the page.

    Attributes:
        setting: the first setting that uses them.
        runs: the passes, by crop layer.
        region_areas: the values of ``min_mask_region_area`` above 0 in settings that use them, ascending.
    """

    setting: Setting
    runs: tuple[PassRun, ...]
    region_areas: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """The names of the passes on the page, with the checkpoint, because checkpoints share pass names."""
        return [_run_name(run) for run in self.runs]


def explorer_page(plan: Plan, samples: Sequence[Sample]) -> bytes:
    """Make the explorer, one HTML file, for all passes of the sweep.

    Args:
        plan: the plan of the run.
        samples: the images to choose from; those beyond the page's size limit are left out.
    """
    return page(
        "explorer.html",
        {
            "style": asset("pages.css") + asset("explorer.css"),
            "script": "\n".join([asset(f"{name}.js") for name in _SCRIPTS]),
            "data": embedded(explorer_data(plan, samples)),
            "fingerprint": report_fingerprint(plan),
            "note": toy_note(plan),
        },
    )


def toy_note(plan: Plan) -> Html:
    """A paragraph for the top of a page with masks of the demo network; empty for other networks."""
    if all(setting.checkpoint != DEMO for setting in plan.settings):
        return join([])
    return element("p", {"class": "toy"}, element("strong", {}, text(f"Note: {TOY}.")))


def embedded(data: dict[str, Any]) -> str:
    """Encode as JSON for a script element: without ``<``, nothing in it ends the element."""
    code = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return code.replace("<", "\\u003c")


def explorer_data(plan: Plan, samples: Sequence[Sample], max_bytes: int = _MAX_BYTES) -> dict[str, Any]:
    """The page's data: groups of passes, the baseline's first, and images with their candidates."""
    baseline = plan.baseline
    groups = run_groups(plan)
    shown = groups[:_MAX_GROUPS]
    floors = Floors.of(plan.settings)
    images: list[dict[str, Any]] = []
    n_bytes = 0
    for sample in samples:
        if not is_answered(sample, baseline):
            continue
        image = image_data(sample, shown, floors)
        n_bytes += len(orjson.dumps(image, option=orjson.OPT_SERIALIZE_NUMPY))
        if images and n_bytes > max_bytes:
            break
        images.append(image)
    return {
        "baseline": {**_values(baseline.generator), **baseline.filters.model_dump()},
        "floors": asdict(floors),
        "regions": plan.regions(),
        "region_fracs": sorted({one.filters.min_region_frac for one in plan.settings} - {None}),
        "label": baseline.label,
        "groups": [_group_data(group, baseline) for group in shown],
        "n_groups_left_out": len(groups) - len(shown),
        "images": images,
    }


def run_groups(plan: Plan) -> list[RunGroup]:
    """Group the plan's settings by their passes, the baseline's group first."""
    known = {(run.checkpoint, run.pass_.name): run for run in plan.runs}
    settings: dict[tuple[str, tuple[str, ...]], list[Setting]] = {}
    for setting in (plan.baseline, *plan.settings):
        names = tuple(pass_.name for pass_ in passes_of(setting.generator))
        settings.setdefault((setting.checkpoint, names), []).append(setting)
    return [
        RunGroup(
            members[0],
            tuple(known[checkpoint, name] for name in names),
            tuple(sorted({one.generator.min_mask_region_area for one in members} - {0})),
        )
        for (checkpoint, names), members in settings.items()
    ]


def _group_data(group: RunGroup, baseline: Setting) -> dict[str, Any]:
    """A group's title and recording, and the config lines that ask for its passes."""
    values, base = group.setting.parameters(), baseline.parameters()
    lines = {name: values[name] for name in PASS_PARAMETERS if values[name] != base[name]}
    defaults = GeneratorConfig().model_dump()
    generator = {name: values[name] for name in PASS_PARAMETERS if values[name] != defaults.get(name) or name in lines}
    title = ", ".join(f"{name} {parameter(value)}" for name, value in lines.items())
    if group.setting.checkpoint != baseline.checkpoint:
        title = ", ".join([f"checkpoint {parameter(group.setting.checkpoint)}", *([title] if title else [])])
    return {
        "title": title or f"as {baseline.label}",
        "checkpoint": group.setting.checkpoint,
        "is_other_checkpoint": group.setting.checkpoint != baseline.checkpoint,
        "passes": [run.pass_.name for run in group.runs],
        "keys": group.names,
        "generator": generator,
        "region_areas": group.region_areas,
        "recording": common_recording(group.runs).as_dict(),
    }


def _run_name(run: PassRun) -> str:
    return f"{run.checkpoint}/{run.pass_.name}"


def common_recording(runs: Sequence[PassRun]) -> Recording:
    """What all passes recorded: the highest of their floors, and their common levels and offsets."""
    recordings = [run.recording for run in runs]
    levels = set.intersection(*(set(one.mask_thresholds) for one in recordings))
    offsets = set.intersection(*(set(one.stability_score_offsets) for one in recordings))
    return Recording(
        max(one.pred_iou_thresh for one in recordings),
        max(one.stability_score_thresh for one in recordings),
        tuple(sorted(levels)),
        tuple(sorted(offsets)),
    )


def image_data(sample: Sample, groups: Sequence[RunGroup], floors: Floors) -> dict[str, Any]:
    """One image: pixels and masks at screen size, scores and boxes unchanged, pass by pass; overlaps by group."""
    thumbnail = Thumbnail.fit(sample.size_hw, _SIDE)
    areas: dict[str, set[int]] = {}
    runs: dict[str, PassRun] = {}
    for group in groups:
        if is_answered(sample, group.setting):
            for run in group.runs:
                runs[_run_name(run)] = run
                areas.setdefault(_run_name(run), set()).update(group.region_areas)
    return {
        "key": sample.image_key,
        "size_hw": sample.size_hw,
        "shown_hw": thumbnail.shown_hw,
        "has_pixels": sample.pixels is not None,
        "pixels": data_uri(jpeg(thumbnail.pixels(sample.pixels))),
        "passes": {name: _pass_data(sample, run, thumbnail, sorted(areas[name])) for name, run in runs.items()},
        "pairs": {
            " ".join(group.names): _group_pairs(sample, group, floors)
            for group in groups
            if is_answered(sample, group.setting)
        },
    }


def _group_pairs(sample: Sample, group: RunGroup, floors: Floors) -> dict[str, Any]:
    """The overlaps of a group's rows, one layer after another, by the value of ``min_mask_region_area``."""
    levels = common_recording(group.runs).mask_thresholds
    codes: list[bytes | None] = []
    level: list[float] = []
    replay = sample.replays[group.setting.checkpoint]
    redrawn: dict[int, dict[int, bytes] | None] = {0: {}, **{area: {} for area in group.region_areas}}
    for run in group.runs:
        part = replay.candidates[run.pass_.name]
        rows = np.flatnonzero(np.isin(part.rows.mask_threshold, levels))
        for area in group.region_areas:
            changed, known = _changed(part, rows, area), redrawn[area]
            if changed is None or known is None:
                redrawn[area] = None
            else:
                known.update({len(codes) + place: region.counts for place, region in changed.items()})
        codes += part.rows.counts[rows].tolist()
        level += part.rows.mask_threshold[rows].tolist()
    return {
        str(area): None
        if changes is None
        else pairs_data(
            [changes.get(row, code) for row, code in enumerate(codes)], np.array(level), sample.size_hw, floors
        )
        for area, changes in redrawn.items()
    }


def _pass_data(sample: Sample, run: PassRun, thumbnail: Thumbnail, areas: Sequence[int]) -> dict[str, Any]:
    """A pass, column by column; levels and offsets are positions in its recording."""
    part = sample.replays[run.checkpoint].candidates[run.pass_.name]
    recording, in_image = run.recording, sample.replays[run.checkpoint].in_image
    at_level = np.flatnonzero(np.isin(part.rows.mask_threshold, recording.mask_thresholds))
    rows = part.rows.take(at_level)
    offsets = [part.recording.stability_score_offsets.index(value) for value in recording.stability_score_offsets]
    counts = ["" if code is None else thumbnail.counts(code).decode("ascii") for code in rows.counts]
    return {
        "recording": recording.as_dict(),
        "dtype": part.dtype,
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
        "region_point": {name: _holds_point(code, rows.point_xy, part.size_hw) for name, code in in_image.items()},
        "region_px": region_px(rows.counts.tolist(), in_image, part.size_hw),
        "regions": {str(area): _regions(part, at_level, area, thumbnail, in_image) for area in areas},
    }


def _holds_point(region: bytes, point_xy: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Whether each prompt lies in a region: 1 or 0."""
    return rle.holds_points(region, point_xy, size_hw).astype(np.uint8)


def _changed(part: Candidates, rows: NDArray[np.int64], area: int) -> dict[int, Region] | None:
    """The masks that ``min_mask_region_area`` changes, by place in ``rows``; None if too much work for a page."""
    inner = [place for place, row in enumerate(rows) if part.rows.counts[row] is not None]
    if len(inner) * part.size_hw[0] * part.size_hw[1] > _MAX_REGION_PIXELS:
        return None
    drawn = {place: redraw_code(part.rows.counts[rows[place]], part.size_hw, area) for place in inner}
    return {place: region for place, region in drawn.items() if region is not None}


def _regions(
    part: Candidates, rows: NDArray[np.int64], area: int, thumbnail: Thumbnail, in_image: Mapping[str, bytes]
) -> dict[str, Any] | None:
    """The masks that ``min_mask_region_area`` changes, column by column."""
    changed = _changed(part, rows, area)
    if changed is None:
        return None
    return {
        "row": list(changed),
        "box": [region.box_xyxy.tolist() for region in changed.values()],
        "area": [region.area_px for region in changed.values()],
        "counts": [thumbnail.counts(region.counts).decode("ascii") for region in changed.values()],
        "region_px": region_px([region.counts for region in changed.values()], in_image, part.size_hw),
    }


def _positions(values: NDArray[np.float64], levels: Sequence[float]) -> NDArray[np.int64]:
    return np.searchsorted(np.array(levels, np.float64), values)


def _values(generator: GeneratorConfig) -> dict[str, float]:
    return {name: float(getattr(generator, name)) for name in (*_SLIDERS, *_LEVELS, "min_mask_region_area")}
