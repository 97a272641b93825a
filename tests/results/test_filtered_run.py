"""A run with filters: they are in all tables and in COCO, and results are made from a region's content."""

import json

import numpy as np
import orjson
import PIL.Image
import pytest

from corpus import scene
from killing import RememberingNetwork, run_all, tiny_plan
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.automatic.replay.drops import DROPS
from maskgrid.config.filters import FILTERS
from maskgrid.config.tuning import TuneConfig
from maskgrid.dataset.annotations.region_masks import read_regions
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.results.advice.text import config_block
from maskgrid.results.tuning.stage import tune
from maskgrid.results.verify import verify_results

SIZES = [(40, 56 + number) for number in range(4)]


@pytest.fixture(scope="module")
def network(demo_model):
    return RememberingNetwork(Proposer(demo_model))


def left_half(size_hw):
    region = np.zeros(size_hw, np.uint8)
    region[:, : size_hw[1] // 2] = 255
    return region


@pytest.fixture(scope="module")
def plan(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("filtered")
    for name in ("source", "regions"):
        (folder / name).mkdir()
    for number, size_hw in enumerate(SIZES):
        PIL.Image.fromarray(scene(*size_hw, seed=number)).save(folder / "source" / f"{number}.png")
        if number:
            PIL.Image.fromarray(left_half(size_hw)).save(folder / "regions" / f"{number}.png")
    plan = tiny_plan(
        folder / "source",
        folder / "results",
        filters={"region": str(folder / "regions")},
        sweep={"grid": {"mask_nms_thresh": [0.3, 1.0], "max_masks": [3]}},
        annotations=["all"],
    )
    run_all(plan, network)
    return plan


def test_tables_have_a_column_for_each_filter_and_for_what_it_drops(plan):
    for name in ("settings", "mask_counts", "summary"):
        table = read_table(plan.layout.statistics(name))
        assert set(FILTERS) < set(table.column_names)
    counts = read_table(plan.layout.statistics("mask_counts"))
    columns = [name for name in counts.column_names if name.startswith("n_dropped_")]
    assert columns[-len(DROPS) :] == list(DROPS.values())
    for row in counts.to_pylist():
        assert row["n_masks"] + sum(row[name] for name in columns) == row["n_proposed"]
        assert row["n_masks"] <= (row["max_masks"] or row["n_masks"])
    assert sum(counts["n_dropped_region"].to_pylist()) > 0
    assert sum(counts["n_dropped_max_masks"].to_pylist()) > 0


def test_tune_counts_the_masks_in_the_region(plan):
    tuned = tune(plan, TuneConfig(goal="masks", target=2.0, settings=40, folds=2))
    rows = read_table(plan.layout.statistics("summary")).to_pylist()
    counts = tuned.evaluator.of(plan.settings)[:, :, 1].mean(axis=1)
    assert counts.tolist() == [row["n_masks_mean"] for row in rows]


def test_an_image_without_a_region_keeps_nothing(plan):
    rows = read_table(plan.layout.statistics("mask_counts"), filters=[("image_key", "=", "0.png")]).to_pylist()
    assert {row["n_masks"] for row in rows} == {0}
    assert sum(row["n_dropped_region"] for row in rows) > 0


def test_coco_says_which_filters_are_on_and_has_the_masks_whose_prompts_lie_in_the_region(plan):
    coco = json.loads(plan.layout.annotations("baseline").read_text())
    parameters = coco["info"]["parameters"]
    assert {name for name in FILTERS if name in parameters} == {"region"}
    widths = {image["id"]: image["width"] for image in coco["images"]}
    assert coco["annotations"]
    assert all(each["point_coords"][0][0] < widths[each["image_id"]] // 2 for each in coco["annotations"])


def test_the_config_block_of_advice_has_the_filters(plan):
    assert "max_masks: 3" in config_block(plan.settings[-1], plan.settings)


def test_another_region_makes_selections_stale(plan):
    assert list(verify_results(plan)) == []
    picture = next(iter((plan.base_dir / plan.settings[0].filters.region).glob("1.png")))
    before = picture.read_bytes()
    PIL.Image.fromarray(255 - left_half(SIZES[1])).save(picture)
    stale = {problem.path for problem in verify_results(plan) if problem.kind == "stale"}
    assert {plan.layout.selections(shard) for shard in plan.shards()} <= stale
    picture.write_bytes(before)
    assert list(verify_results(plan)) == []


def coco_of(size_hw):
    height, width = size_hw
    box = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, width // 2, height]}
    return {"images": [{"id": 7, "file_name": "1.png", "height": height, "width": width}], "annotations": [box]}


def test_a_coco_file_is_a_region_too(plan, tmp_path):
    path = tmp_path / "regions.json"
    path.write_bytes(orjson.dumps(coco_of(SIZES[1])))
    other = tiny_plan(tmp_path, tmp_path / "results", filters={"region": str(path)})
    rows = [{"image_key": "1.png", "path": b"1.png", "height": SIZES[1][0], "width": SIZES[1][1]}]
    code = read_regions(other, rows)["1.png"][str(path)]
    assert np.array_equal(rle.decode(code, SIZES[1]), left_half(SIZES[1]) > 0)


def test_regions_of_images_that_the_file_does_not_list_are_said(plan, tmp_path, caplog):
    path, coco = tmp_path / "regions.json", coco_of(SIZES[1])
    coco["annotations"].append({**coco["annotations"][0], "id": 2, "image_id": 8})
    path.write_bytes(orjson.dumps(coco))
    other = tiny_plan(tmp_path, tmp_path / "results", filters={"region": str(path)})
    read_regions(other, [{"image_key": "1.png", "path": b"1.png", "height": SIZES[1][0], "width": SIZES[1][1]}])
    assert f"{path}: 1 annotations are of images that the file does not list" in caplog.text


def test_the_library_filters_and_replays_filters(demo_model):
    image = scene(*SIZES[0], seed=0)
    loose = {"points_per_side": 4, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3}
    generator = MaskGenerator(demo_model, **loose)
    candidates = generator.candidates(image)
    everything = generator.replay(candidates)
    limit = sorted(mask["area"] for mask in everything)[len(everything) // 2]
    large = generator.replay(candidates, min_area_px=limit)
    assert [mask["area"] for mask in large] == [mask["area"] for mask in everything if mask["area"] >= limit]
    assert len(MaskGenerator(demo_model, **loose, min_area_px=limit).generate(image)) == len(large)
    region = left_half(SIZES[0]) > 0
    inside = generator.replay(candidates, region=region, min_region_frac=1.0)
    assert 0 < len(inside) < len(everything)
    assert not any((mask["segmentation"] & ~region).any() for mask in inside)


def test_the_library_has_curves(demo_model):
    loose = {"points_per_side": 4, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3}
    generator = MaskGenerator(demo_model, **loose)
    candidates = generator.candidates(scene(*SIZES[0], seed=0))
    curve = generator.count_curve(candidates, "pred_iou_thresh", min_area_px=20)
    assert curve.low == 0.3
    for value in np.linspace(0.3, 1.0, 8):
        assert curve.at(value) == len(generator.replay(candidates, pred_iou_thresh=value, min_area_px=20))
    with pytest.raises(UserError, match="'pred_iou_tresh' has no curve; did you mean 'pred_iou_thresh'"):
        generator.count_curve(candidates, "pred_iou_tresh")
    with pytest.raises(UserError, match="recorded"):
        generator.count_curve(candidates, "box_nms_thresh", pred_iou_thresh=0.1)
