"""The explorer's replay in the browser keeps the same masks as the Python replay."""

import dataclasses
import html
import json
import random
import re
from importlib.resources import files

import numpy as np
import pytest
import torch

from browser import find_browser, shown_document
from maskgrid.automatic.candidates import CandidateRows
from maskgrid.automatic.replay.curves import CURVES, count_curve
from maskgrid.automatic.replay.drops import DROPS
from maskgrid.automatic.replay.filters import Replay
from maskgrid.automatic.replay.image_replay import ImageReplay
from maskgrid.automatic.replay.regions import redraw
from maskgrid.config.filters import FilterConfig
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import make_setting
from maskgrid.masks import rle
from maskgrid.masks.packing import packed
from maskgrid.pages.scripts import embedded
from maskgrid.plan.passes import PassRun, passes_of
from maskgrid.results.accuracy.image_truth import ImageTruth, TrueObjects
from maskgrid.results.explorer.groups import RunGroup
from maskgrid.results.explorer.image import ImageData, ImageSource
from maskgrid.results.report.samples import Sample
from synthetic import GENERATOR, RECORDING, make_images

N_SETTINGS = 250
REGION = "roi"
REGION_AREAS = (2, 9)
IMAGES = {"few": 6, "many": 60, "1500": 500, "bfloat16": 60, "float16": 200}
SETTINGS = [
    GENERATOR.model_copy(
        update={
            "pred_iou_thresh": draw.choice([0.0, 0.1, 0.3, 0.5, 0.55, 0.7]),
            "stability_score_thresh": draw.choice([0.0, 0.2, 0.4, 0.5, 0.8]),
            "stability_score_offset": draw.choice(RECORDING.stability_score_offsets),
            "mask_threshold": draw.choice(RECORDING.mask_thresholds),
            # Small boxes overlap by fractions such as 3/10, whose float32 is above 0.3, so rounding matters.
            "box_nms_thresh": draw.choice([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1 / 3]),
            "crop_nms_thresh": draw.choice([0.0, 0.1, 0.3, 0.6, 0.7, 0.9, 1.0]),
            "min_mask_region_area": draw.choice([0, *REGION_AREAS]),
        }
    )
    for draw in [random.Random(number) for number in range(N_SETTINGS)]
]
FILTERED = [
    FilterConfig(
        **{
            name: value
            for name, value in {
                "min_area_px": draw.choice([0, 3, 9]),
                "max_area_px": draw.choice([None, 200, 400]),
                "min_area_frac": draw.choice([0.0, 0.02]),
                "max_area_frac": draw.choice([1.0, 0.3, 0.6]),
                "border": draw.choice([None, 0, 1]),
                "min_fill_frac": draw.choice([0.0, 0.5, 0.7]),
                "max_aspect_ratio": draw.choice([None, 1.5, 2.0]),
                "region": draw.choice([None, REGION]),
                "min_region_frac": draw.choice([None, 0.25, 0.5]),
                "mask_nms_thresh": draw.choice([1.0, 0.3, 0.5, 2 / 3]),
                "max_containment_frac": draw.choice([1.0, 0.5, 0.75, 0.9]),
                "containment_keeps": draw.choice(["larger", "smaller"]),
                "max_masks": draw.choice([None, 5, 20]),
            }.items()
            # One or two of three are off, so that all of them have masks to drop; some settings have none on.
            if number % 5 and draw.random() < 0.4
        }
    )
    for number, draw in enumerate(random.Random(1000 + number) for number in range(N_SETTINGS))
]
# Every curve of every tenth setting; min_region_frac has no slider.
CURVES_ASKED = [(number, name) for number in range(0, N_SETTINGS, 10) for name in CURVES if name != "min_region_frac"]
SCRIPT = """
(async () => {
const results = [];
for (const packs of data.images) {
  const passes = new Map(), extra = await unpacked(packs.extra), regions = new Map();
  for (const name of data.group.keys) passes.set(name, await unpacked(packs[name]));
  extra.regions.forEach((name, at) => regions.set(name, extra.ends[at]));
  const rows = rowsOf(passes, data.group, data.size_hw[results.length]);
  const scenes = new Map(data.areas.map((area) => {
    const shapes = shapesOf(rows, regions);
    const redrawn = area > 0 ? new Redrawn(rows, shapes, area) : null;
    return [area, { rows, shapes, redrawn, overlaps: new Overlaps(rows, shapes), shared: new Map() }];
  }));
  const objectOf = (ends, at) => ({ ends, area: areaOf(ends), isCrowd: extra.crowd[at] === 1 });
  const objects = extra.ends.slice(extra.regions.length).map(objectOf);
  const selections = data.settings.map((setting) => {
    const { shapes, redrawn, overlaps } = scenes.get(setting.min_mask_region_area);
    const before = select(rows, setting, redrawn);
    const { kept, counts, proposed, fate, by } = applyFilters(rows, before, setting, shapes, overlaps);
    const truth = truthCounts(objects, matchTruth(objects, kept, rows.iou, shapes.ends, shapes.area));
    const names = kept.map((row) => [rows.layer[row], rows.id[row]]);
    return { kept: names, counts, proposed, fate: [...fate], by: [...by], truth };
  });
  const curves = data.curves.map(([number, name]) => {
    const setting = data.settings[number], work = countCurve(scenes.get(setting.min_mask_region_area), setting, name);
    let step = work.next();
    while (!step.done) step = work.next();
    return { starts: step.value.starts.slice(1), counts: step.value.counts };
  });
  const nPixels = rows.size_hw[0] * rows.size_hw[1];
  const redrawn = Object.fromEntries(data.areas.filter(Boolean).map((area) => [area, rows.ends.map((ends) => {
    const found = redraw(ends, rows.size_hw, area);
    return found && [cocoCode(found.ends, nPixels), found.area, [...found.box]];
  })]));
  const box = (ends) => (ends.length ? boxOf(ends, rows.size_hw[0]) : null);
  const masks = rows.ends.map((ends) => [cocoCode(ends, nPixels), areaOf(ends), box(ends)]);
  results.push({ masks, redrawn, selections, curves });
}
const noise = await unpacked(data.noise), [height, width] = data.noise_hw;
results.push(noise.ends.map((ends) => [3, 40].map((limit) => {
  const found = redraw(ends, [height, width], limit);
  return found && cocoCode(found.ends, height * width);
})));
results.push((await unpacked(data.huge)).ends.map((ends) => [...ends]));
document.getElementById("result").textContent = JSON.stringify(results);
})();
"""


def make_samples():
    """Images with scores of two decimals, so that some equal each other or a threshold; in ``1500`` all differ.

    In lower precision, scores are rounded to it, so they can equal thresholds rounded the same way.
    """
    samples = {}
    for number, (name, n_points) in enumerate(IMAGES.items()):
        image = make_images(1, n_points, seed=number)[0]
        parts = image.candidates
        if name != "1500":
            dtype = name if name.endswith("float16") else "float32"
            parts = tuple(dataclasses.replace(part, rows=rounded(part.rows, dtype), dtype=dtype) for part in parts)
        parts = tuple(dataclasses.replace(part, proposed_iou=np.sort(part.rows.predicted_iou[::2])) for part in parts)
        region = np.random.default_rng(number).random(image.size_hw) < 0.6
        replay = Replay({part.pass_.name: part for part in parts}, {REGION: rle.encode(region)})
        samples[name] = Sample(name, image.size_hw, None, {"demo": replay}, make_truth(image, number))
    return samples


def make_truth(image, seed):
    """Objects that are masks, two of them alike, with noise, and a crowd."""
    random = np.random.default_rng(seed)
    codes = [code for part in image.candidates for code in part.rows.counts if code is not None][:12]
    masks = [rle.decode(code, image.size_hw) & (random.random(image.size_hw) < 0.9) for code in [*codes, *codes[:2]]]
    crowd = np.zeros(image.size_hw, np.bool_)
    crowd[: image.size_hw[0] // 2] = True
    is_crowd = np.array([*[False] * len(masks), True])
    return TrueObjects(tuple(map(rle.encode, [*masks, crowd])), is_crowd)


def rounded(rows: CandidateRows, dtype):
    scores = torch.from_numpy(np.round(rows.predicted_iou, 2))
    return dataclasses.replace(
        rows,
        predicted_iou=scores.to(getattr(torch, dtype)).float().numpy(),
        stability_scores=np.round(rows.stability_scores, 2),
    )


@pytest.fixture(scope="module")
def samples():
    return make_samples()


@pytest.fixture(scope="module")
def answers(samples, tmp_path_factory):
    """Results of the page's scripts for all settings, by image."""
    find_browser()
    setting = make_setting("demo", GENERATOR)
    runs = tuple(PassRun("demo", pass_, RECORDING) for pass_ in passes_of(GENERATOR))
    group = RunGroup(setting, runs)
    data = {
        "areas": [0, *REGION_AREAS],
        "group": {"keys": group.names, "recording": RECORDING.as_dict()},
        "images": [packs_of(sample, runs) for sample in samples.values()],
        "size_hw": [sample.size_hw for sample in samples.values()],
        "noise": packed({}, made_noise()),
        "noise_hw": NOISE_HW,
        "huge": packed({}, [rle.from_runs(runs, HUGE_HW) for runs in HUGE_RUNS]),
        "curves": CURVES_ASKED,
        "settings": [page_setting(*each) for each in zip(SETTINGS, FILTERED, strict=True)],
    }
    names = ("masks", "packing", "regions", "replay", "filters", "overlaps", "curves", "truth")
    scripts = "\n".join((files("maskgrid") / "pages" / "explorer" / f"{name}.js").read_text() for name in names)
    page = tmp_path_factory.mktemp("page") / "test.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><pre id="result"></pre>'
        f'<script type="application/json" id="data">{embedded(data)}</script>'
        f'<script>{scripts}\nconst data = JSON.parse(document.getElementById("data").textContent);{SCRIPT}</script>'
    )
    found = re.search(r'<pre id="result">(.*?)</pre>', shown_document(page), re.DOTALL)
    assert found is not None
    assert found[1], "the page's script has failed"
    return dict(zip([*samples, "noise", "huge"], json.loads(html.unescape(found[1])), strict=True))


def packs_of(sample, runs):
    """The packs of an image's file."""
    replay = sample.replays["demo"]
    passes = {run.folder: replay.candidates[run.pass_.name] for run in runs}
    source = ImageSource(sample.image_key, sample.size_hw, None, passes, replay.in_image, sample.truth)
    _, _, _, packs = script_values(ImageData.of(source).script("0" * 64))
    return packs


def script_values(script):
    """The function that a script calls, and the values that it hands over."""
    function, values = re.fullmatch(rb"maskgrid\.([a-z]+)\((.*)\);\n", script, re.DOTALL).groups()
    return function.decode(), *json.loads(b"[" + values + b"]")


def page_setting(generator: GeneratorConfig, filters: FilterConfig):
    return {
        **filters.model_dump(),
        "pred_iou_thresh": generator.pred_iou_thresh,
        "stability_score_thresh": generator.stability_score_thresh,
        "box_nms_thresh": generator.box_nms_thresh,
        "crop_nms_thresh": generator.crop_nms_thresh,
        "level": RECORDING.mask_thresholds.index(generator.mask_threshold),
        "offset": RECORDING.stability_score_offsets.index(generator.stability_score_offset),
        "min_mask_region_area": generator.min_mask_region_area,
    }


@pytest.mark.parametrize("name", IMAGES)
def test_the_page_keeps_the_same_masks_as_the_replay(samples, answers, name):
    n_kept, n_redrawn = set(), 0
    n_filtered = dict.fromkeys(DROPS.values(), 0)
    for generator, chosen, answer in zip(SETTINGS, FILTERED, answers[name]["selections"], strict=True):
        selection = samples[name].replays["demo"].select(generator, chosen)
        ours = [
            [int(layer), int(selection.passes[layer].rows.candidate_id[row])]
            for layer, row in zip(selection.layer, selection.row, strict=True)
        ]
        assert sorted(answer["kept"]) == sorted(ours), (generator, chosen)
        assert answer["proposed"] == selection.n_proposed
        filters = ("pred_iou", "stability", "crop_edge", "box_nms", "crop_nms", "regions")
        columns = [*(f"n_dropped_{name}" for name in filters), *DROPS.values()]
        assert answer["counts"] == [len(selection), *(selection.dropped.get(column, 0) for column in columns)]
        for column in DROPS.values():
            n_filtered[column] += selection.dropped.get(column, 0)
        n_kept.add(len(ours))
        n_redrawn += selection.dropped["n_dropped_regions"]
    assert all(n_filtered.values()) or name not in ("many", "1500")
    assert n_redrawn > 0 or name not in ("many", "1500")
    assert len(n_kept) > 4, "the settings do not differ, and so the comparison says little"


@pytest.mark.parametrize("name", IMAGES)
def test_the_page_has_the_same_curves_as_python(samples, answers, name):
    replay, n_steps, prepared = samples[name].replays["demo"], 0, {}
    for (number, parameter), found in zip(CURVES_ASKED, answers[name]["curves"], strict=True):
        if number not in prepared:
            one = make_setting("demo", SETTINGS[number], filters=FILTERED[number])
            prepared[number] = one, ImageReplay.of(replay.candidates, one, 0.0, replay.in_image)
        one, image = prepared[number]
        curve = count_curve(image, one, parameter)
        assert (found["starts"], found["counts"]) == (curve.starts[1:].tolist(), curve.counts.tolist()), (
            number,
            parameter,
        )
        n_steps += len(curve.starts)
    assert n_steps > 1000 or name == "few"


# The fates of mask_nms_thresh and max_containment_frac.
SUPPRESSING = tuple(7 + list(DROPS).index(key) for key in ("mask_nms_thresh", "max_containment_frac"))


def test_a_suppressed_mask_names_the_one_that_suppressed_it(samples, answers):
    parts = [samples["many"].replays["demo"].candidates[pass_.name] for pass_ in passes_of(GENERATOR)]
    boxes = np.concatenate([part.rows.box_xyxy for part in parts]).astype(np.float64)
    n_named = 0
    for generator, answer in zip(SETTINGS, answers["many"]["selections"], strict=True):
        for row, (fate, by) in enumerate(zip(answer["fate"], answer["by"], strict=True)):
            assert (by >= 0) == (fate in (4, 5, 6, *SUPPRESSING))
            if by >= 0 and fate < 6:  # redrawn masks have different boxes
                limit = generator.box_nms_thresh if fate == 4 else generator.crop_nms_thresh
                assert box_iou(boxes[row], boxes[by]) > limit - 1e-6
                later = [0, 6, *range(7, 7 + len(DROPS))]
                assert answer["fate"][by] in ([*later, 5] if fate == 4 else later)
                n_named += 1
    assert n_named > 100


def box_iou(one, other):
    width, height = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("name", IMAGES)
def test_masks_keep_their_codes_areas_and_boxes(samples, answers, name):
    for (_, code, area, box), (found, found_area, found_box) in zip(
        rows_of(samples[name]), answers[name]["masks"], strict=True
    ):
        if code is not None:
            assert (found, found_area) == (code.decode(), area)
            assert found_box == (box.tolist() if area else None)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("limit", REGION_AREAS)
def test_the_page_redraws_masks_as_sam2_does(samples, answers, name, limit):
    n_redrawn = 0
    for (part, code, *_), found in zip(rows_of(samples[name]), answers[name]["redrawn"][str(limit)], strict=True):
        if code is None:
            continue
        region = redraw(rle.decode(code, part.size_hw), limit)
        expected = region and [region.counts.decode(), region.area_px, region.box_xyxy.tolist()]
        assert found == expected
        n_redrawn += region is not None
    assert n_redrawn > 2


NOISE_HW = (13, 18)


def made_noise():
    """Masks of many small parts, often of equal size, which only the order of labels tells apart."""
    random = np.random.default_rng(5)
    shares = random.choice([0.05, 0.15, 0.3, 0.5, 0.8, 0.95], 400)
    return [rle.encode(random.random(NOISE_HW) < share) for share in shares]


def test_redrawing_agrees_on_noise(answers):
    n_redrawn = 0
    for code, found in zip(made_noise(), answers["noise"], strict=True):
        for limit, one in zip((3, 40), found, strict=True):
            region = redraw(rle.decode(code, NOISE_HW), limit) if rle.area_px(code, NOISE_HW) else None
            assert one == (region and region.counts.decode())
            n_redrawn += region is not None
    assert n_redrawn > 500


# More pixels than 32 bits with a sign can count.
HUGE_HW = (50_000, 50_000)
HUGE_RUNS = ([2_300_000_000, 70_000, 199_930_000], [5, 65_535, 2_499_934_460])


def test_masks_of_huge_images_are_unpacked(answers):
    assert answers["huge"] == [[2_300_000_000, 2_300_070_000], [5, 65_540]]


def rows_of(sample):
    for part in (sample.replays["demo"].candidates[pass_.name] for pass_ in passes_of(GENERATOR)):
        for code, area, box in zip(part.rows.counts, part.rows.area_px, part.rows.box_xyxy, strict=True):
            yield part, code, area, box


@pytest.mark.parametrize("name", IMAGES)
def test_the_page_finds_the_same_objects_as_python(samples, answers, name):
    sample, n_found = samples[name], set()
    for generator, chosen, answer in zip(SETTINGS, FILTERED, answers[name]["selections"], strict=True):
        selection = sample.replays["demo"].select(generator, chosen)
        truth = ImageTruth.of(sample.truth, list(selection.counts()), sample.size_hw)
        measured = truth.measure(np.arange(len(selection)), selection.predicted_iou())
        found = answer["truth"]
        assert found["wanted"] == measured["n_truth"]
        assert (found["found"], found["crowd"]) == (measured["n_found_50"], measured["n_ignored_50"])
        assert found["missed"] == measured["n_truth"] - measured["n_found_50"]
        assert found["found"] + found["doubled"] + found["other"] + found["crowd"] == len(selection)
        n_found.add(found["found"])
    assert len(n_found) > 2
