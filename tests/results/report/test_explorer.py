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
from made_results import make_config, make_results
from maskgrid.automatic.candidates import CandidateRows
from maskgrid.automatic.curves import CURVES, count_curve
from maskgrid.automatic.drops import DROPS
from maskgrid.automatic.filters import Replay
from maskgrid.automatic.image_replay import ImageReplay
from maskgrid.config.filters import FilterConfig
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import make_setting
from maskgrid.masks import rle
from maskgrid.plan.passes import PassRun, Recording, passes_of
from maskgrid.plan.plan import make_plan
from maskgrid.results.report.explorer import RunGroup, common_recording, embedded, explorer_data, image_data, run_groups
from maskgrid.results.report.explorer_pairs import Floors
from maskgrid.results.report.samples import Sample, read_samples
from maskgrid.results.report.stage import write_report
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
const results = data.images.map((image) => {
  const source = layersOf(image, data.groups[0]);
  const rows = prepareImage(source, data.levels.length);
  const redrawn = new Map(data.areas.map((area) => [area, area > 0 ? redrawnAt(source, area) : null]));
  const masks = rows.counts.map((code) => maskEnds(code).reduce((sum, end, at) => sum + (at % 2 ? end : -end), 0));
  const places = Array.from({ length: 40 }, (_, at) => 7 * at);
  const held = rows.counts.map((code) => places.map((place) => +maskHolds(maskEnds(code), place)).join(""));
  const selections = data.settings.map((setting) => {
    const area = setting.min_mask_region_area, shapes = shapesOf(rows, redrawn.get(area));
    const pairs = preparePairs(image.pairs[data.groups[0].keys.join(" ")][area], shapes.area);
    const before = select(rows, setting, redrawn.get(area));
    const { kept, counts, proposed, fate, by } = applyFilters(rows, before, setting, shapes, pairs);
    return { kept: kept.map((row) => [rows.layer[row], rows.id[row]]), counts, proposed, fate: [...fate], by: [...by] };
  });
  const curves = data.curves.map(([number, name]) => {
    const setting = data.settings[number], area = setting.min_mask_region_area;
    const shapes = shapesOf(rows, redrawn.get(area));
    const pairs = preparePairs(image.pairs[data.groups[0].keys.join(" ")][area], shapes.area);
    const work = countCurve({ rows, redrawn: redrawn.get(area), shapes, pairs, shared: new Map() }, setting, name);
    let step = work.next();
    while (!step.done) step = work.next();
    return { starts: step.value.starts.slice(1), counts: step.value.counts };
  });
  return { masks, held, selections, curves };
});
document.getElementById("result").textContent = JSON.stringify(results);
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
        samples[name] = Sample(name, image.size_hw, None, {"demo": replay})
    return samples


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
    group = RunGroup(setting, runs, REGION_AREAS)
    data = {
        "areas": [0, *REGION_AREAS],
        "groups": [{"keys": group.names, "recording": RECORDING.as_dict()}],
        "levels": list(RECORDING.mask_thresholds),
        "images": [image_data(sample, [group], Floors(0.3, 0.5, max_pairs=10**7)) for sample in samples.values()],
        "curves": CURVES_ASKED,
        "settings": [page_setting(*each) for each in zip(SETTINGS, FILTERED, strict=True)],
    }
    scripts = "\n".join(
        (files("maskgrid") / "pages" / name).read_text()
        for name in ("masks.js", "replay.js", "filters.js", "curves.js")
    )
    page = tmp_path_factory.mktemp("page") / "test.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><pre id="result"></pre>'
        f'<script type="application/json" id="data">{embedded(data)}</script>'
        f'<script>{scripts}\nconst data = JSON.parse(document.getElementById("data").textContent);{SCRIPT}</script>'
    )
    found = re.search(r'<pre id="result">(.*?)</pre>', shown_document(page), re.DOTALL)
    assert found is not None
    assert found[1], "the page's script has failed"
    return dict(zip(samples, json.loads(html.unescape(found[1])), strict=True))


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
        # Pairs that overlap by less are not in the page.
        low = {"mask_nms_thresh": 0.3, "max_containment_frac": 0.5}.get(parameter, -np.inf)
        starts = np.array([-np.inf, *found["starts"]])
        expected = curve.starts[curve.starts > low]
        assert starts[starts > low].tolist() == expected.tolist(), (number, parameter)
        n_left = len(expected)
        assert found["counts"][-n_left - 1 :] == curve.counts[-n_left - 1 :].tolist(), (number, parameter)
        n_steps += n_left
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


def test_the_page_decodes_masks(samples, answers):
    sample = samples["few"]
    for part, masks in zip(
        (sample.replays["demo"].candidates[pass_.name] for pass_ in passes_of(GENERATOR)),
        _by_part(sample, answers["few"]),
        strict=True,
    ):
        for code, area, (found_area, held) in zip(part.rows.counts, part.rows.area_px, masks, strict=True):
            if code is None:
                continue
            pixels = rle.decode(code, sample.size_hw).T.ravel()
            assert found_area == area
            assert held == "".join(str(int(pixels[7 * at])) if 7 * at < len(pixels) else "0" for at in range(40))


def _by_part(sample, answer):
    columns = list(zip(answer["masks"], answer["held"], strict=True))
    for pass_ in passes_of(GENERATOR):
        n = len(sample.replays["demo"].candidates[pass_.name].rows)
        yield columns[:n]
        columns = columns[n:]


def test_the_page_opens_at_the_baseline(tmp_path):
    plan = make_results(tmp_path, config=make_config(annotations=["baseline"]))
    write_report(plan)
    document = shown_document(plan.layout.root / "report" / "explorer.html")
    n_masks = int(re.search(r'id="count"[^>]*>(\d+) mask', document)[1])
    first = re.search(r'<select id="image">.*?<option[^>]*>(.*?)</option>', document, re.DOTALL)[1]
    counts = dict(_counts(plan))
    assert n_masks == counts[html.unescape(first)]
    assert "pred_iou_thresh: 0.3" in document


MOVE = """
<script>
const slider = document.getElementById("box_nms_thresh");
slider.value = 0.5;
slider.dispatchEvent(new Event("input"));
showPointed(Math.floor(image.height / 2));
showList();
</script>
"""


def test_a_slider_that_moves_changes_the_masks(tmp_path):
    plan = make_results(tmp_path, config=make_config(annotations=["baseline"]))
    write_report(plan)
    page = plan.layout.root / "report" / "explorer.html"
    page.write_text(page.read_text().replace("</body>", f"{MOVE}</body>"))
    document = shown_document(page)
    first = html.unescape(re.search(r'<select id="image">.*?<option[^>]*>(.*?)</option>', document, re.DOTALL)[1])
    sample = read_samples(plan, [first])[0]
    moved = plan.baseline.generator.model_copy(update={"box_nms_thresh": 0.5})
    selections = [sample.replays["demo"].select(generator) for generator in (plan.baseline.generator, moved)]
    assert len(selections[0]) > len(selections[1])
    assert int(re.search(r'id="count"[^>]*>(\d+) mask', document)[1]) == len(selections[1])
    assert "box_nms_thresh: 0.5" in document
    fates = re.findall(r"<td>(kept|dropped by [a-z_ ]+)", document.split('id="list"')[1])
    assert fates.count("kept") == len(selections[1])
    assert fates.count("dropped by box_nms_thresh") == selections[1].dropped["n_dropped_box_nms"]


def _counts(plan):
    from maskgrid.io.tables import read_table

    table = read_table(plan.layout.statistics("mask_counts"), filters=[("setting_id", "=", plan.baseline.id)])
    return zip(table["image_key"].to_pylist(), table["n_masks"].to_pylist(), strict=True)


def test_images_beyond_the_size_limit_are_left_out(samples, tmp_path):
    plan = make_plan(make_config(), tmp_path, tmp_path)
    given = list(samples.values())
    assert len(explorer_data(plan, given)["images"]) == len(given)
    assert [image["key"] for image in explorer_data(plan, given, max_bytes=1)["images"]] == ["few"]


def test_only_values_that_all_passes_recorded_are_offered(tmp_path):
    runs = make_plan(make_config(), tmp_path, tmp_path).runs
    narrow = Recording(0.4, 0.1, (0.0,), (0.5, 1.0))
    changed = [runs[0], dataclasses.replace(runs[1], recording=narrow)]
    assert common_recording(changed) == Recording(0.4, 0.1, (0.0,), (0.5, 1.0))


def test_every_choice_of_passes_is_a_group(tmp_path):
    sweep = {"grid": {"points_per_side": [2, 4], "crop_n_layers": [0, 1], "min_mask_region_area": [0, 7]}}
    plan = make_plan(make_config(sweep=sweep, annotations=["baseline"]), tmp_path, tmp_path)
    groups = run_groups(plan)
    assert len(groups) == 4
    assert groups[0].setting == plan.baseline
    assert {group.region_areas for group in groups} == {(7,)}
    data = explorer_data(plan, [])
    assert [each["title"] for each in data["groups"]] == [
        "as baseline",
        "points_per_side 2, crop_n_layers 0",
        "points_per_side 2",
        "crop_n_layers 0",
    ]
    for group, each in zip(groups, data["groups"], strict=True):
        generator = {**plan.config.generator.model_dump(), **each["generator"]}
        assert [pass_.name for pass_ in passes_of(GeneratorConfig(**generator))] == each["passes"]
        assert len(group.runs) == generator["crop_n_layers"] + 1


AFTER_CURVES = """
<script>
change("stability_score_thresh", 0.5);
startCurves();
while (curveWork) goOn({ timeRemaining: () => 50 });  // how idle a browser is varies
const found = Object.fromEntries([...charts].map(([name, chart]) => [name, {
    at: countAt(chart.curve, values[name] ?? (name === "border" ? -1 : Infinity)), low: chart.low, high: chart.high,
    d: chart.path.getAttribute("d"), mark: Number(chart.mark.getAttribute("x1")),
    starts: chart.curve.starts.slice(1), counts: chart.curve.counts,
  }]));
document.body.append(element("pre", { id: "curves" }, JSON.stringify(found)));
</script>
"""


def test_each_slider_has_its_curve_and_a_mark_at_its_value(tmp_path):
    plan = make_results(tmp_path, config=make_config(annotations=["baseline"]))
    write_report(plan)
    page = plan.layout.root / "report" / "explorer.html"
    page.write_text(page.read_text().replace("</body>", f"{AFTER_CURVES}</body>"))
    document = shown_document(page)
    found = json.loads(html.unescape(re.search(r'<pre id="curves">(.*?)</pre>', document, re.DOTALL)[1]))
    sliders = re.findall(r'<input type="range" id="(\w+)"', document)
    assert list(found) == sliders
    assert set(sliders) == set(CURVES) - {"min_region_frac"}
    first = html.unescape(re.search(r'<select id="image">.*?<option[^>]*>(.*?)</option>', document, re.DOTALL)[1])
    replay = read_samples(plan, [first])[0].replays["demo"]
    changed = plan.baseline.generator.model_copy(update={"stability_score_thresh": 0.5})
    one = make_setting("demo", changed)
    image = ImageReplay.of(replay.candidates, one, 0.0)
    n_kept = len(replay.select(changed))
    for name, chart in found.items():
        curve = count_curve(image, one, name)
        if name not in ("mask_nms_thresh", "max_containment_frac"):
            assert (chart["starts"], chart["counts"]) == (curve.starts[1:].tolist(), curve.counts.tolist())
        assert chart["at"] == n_kept
        assert chart["d"].startswith("M0 ")
        assert chart["d"].endswith("H100")
        value = getattr(changed, name, None)
        if value is not None:
            assert chart["mark"] == pytest.approx(100 * (value - chart["low"]) / (chart["high"] - chart["low"]))


CHOOSE = """
<script>
const network = document.getElementById("group"), sizes = document.getElementById("min_mask_region_area");
network.value = 1;
network.dispatchEvent(new Event("change"));
change("min_mask_region_area", 5);
</script>
"""


def test_another_group_of_passes_shows_its_masks(tmp_path):
    """Choose the passes of a setting without crops, with small regions removed."""
    sweep = {"points": [{"name": "whole", "crop_n_layers": 0, "min_mask_region_area": 5}]}
    plan = make_results(tmp_path, config=make_config(sweep=sweep, annotations=["baseline"]))
    write_report(plan)
    page = plan.layout.root / "report" / "explorer.html"
    page.write_text(page.read_text().replace("</body>", f"{CHOOSE}</body>"))
    document = shown_document(page)
    first = html.unescape(re.search(r'<select id="image">.*?<option[^>]*>(.*?)</option>', document, re.DOTALL)[1])
    selection = read_samples(plan, [first])[0].replays["demo"].select(plan.settings[1].generator)
    assert int(re.search(r'id="count"[^>]*>(\d+) mask', document)[1]) == len(selection)
    assert "crop_n_layers: 0" in document
    assert "min_mask_region_area: 5" in document


def test_embedded_data_cannot_end_the_script_element():
    assert "<" not in embedded({"key": "</script><script>alert(1)</script>"})
    assert json.loads(embedded({"key": "</script>"})) == {"key": "</script>"}
