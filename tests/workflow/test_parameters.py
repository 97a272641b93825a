"""Each parameter of sam2's generator through Snakemake, wherever a config can write it, against sam2 itself."""

import inspect
import json
from itertools import product

import numpy as np
import PIL.Image
import pytest
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

from maskgrid.config.files import parse_config
from maskgrid.config.settings import PARAMETERS, WITHOUT_EFFECT
from maskgrid.plan.plan import Plan, make_plan
from oracle import as_mask, sam2_masks
from workflow import snakemake

GRIDS = [[[0.5, 0.5], [0.25, 0.75], [0.8, 0.4]], [[0.4, 0.6]]]
# Thresholds low enough for a few masks of a small picture.
BASE = {"points_per_side": 3, "pred_iou_thresh": 0.2, "stability_score_thresh": 0.3}
CROPS = {"crop_n_layers": 1, "crop_overlap_ratio": 0.9, "crop_n_points_downscale_factor": 2, "crop_nms_thresh": 0.3}
# Named points: together all parameters that can be swept. Those of crops share a pass, because each takes seconds.
POINTS = {
    "side": {"points_per_side": 2},
    "iou": {"pred_iou_thresh": 0.45},
    "stability": {"stability_score_thresh": 0.9},
    "offset": {"stability_score_offset": 0.5},
    "threshold": {"mask_threshold": 0.7},
    "nms": {"box_nms_thresh": 0.3},
    "crops": CROPS,
    "points": {"points_per_side": None, "point_grids": GRIDS},
    "regions": {"min_mask_region_area": 40},
    "m2m": {"use_m2m": True},
    "single": {"multimask_output": False},
}
# Grids: the same parameters again.
GRID_BLOCKS = [
    {"points_per_side": [2], "pred_iou_thresh": [0.3], "stability_score_thresh": [0.5, 0.7], "use_m2m": [False]},
    {"stability_score_offset": [2.0], "mask_threshold": [-0.7], "box_nms_thresh": [0.9], "min_mask_region_area": [60]},
    {name: [value] for name, value in {**CROPS, "crop_nms_thresh": 0.9}.items()},
    {"points_per_side": [None], "point_grids": [GRIDS], "stability_score_thresh": [0.2]},
    {"multimask_output": [False], "stability_score_thresh": [0.2]},
    {"use_m2m": [True], "stability_score_thresh": [0.2]},
]
# All sixteen in the baseline, each at another value than sam2's default.
ALL_CHANGED = {
    "points_per_side": None,
    "points_per_batch": 2,
    "pred_iou_thresh": 0.1,
    "stability_score_thresh": 0.2,
    "stability_score_offset": 0.5,
    "mask_threshold": 0.3,
    "box_nms_thresh": 0.8,
    "crop_n_layers": 1,
    "crop_nms_thresh": 0.8,
    "crop_overlap_ratio": 0.1,
    "crop_n_points_downscale_factor": 2,
    "point_grids": GRIDS,
    "min_mask_region_area": 10,
    "output_mode": "uncompressed_rle",
    "use_m2m": True,
    "multimask_output": False,
}


def config_of(generator, sweep=None):
    return {
        "dataset": {"source": "photos", "ground_truth": None},
        "generator": generator,
        "sweep": sweep,
        "annotations": ["all"],
        "exports": ["card", "polygons"] if sweep is None else [],
    }


def run(folder, photos, config) -> Plan:
    """Run the workflow on one small photograph."""
    (folder / "photos").mkdir()
    PIL.Image.fromarray(photos["coffee"][40:168:2, 60:252:2]).save(folder / "photos" / "coffee.png")
    assert (done := snakemake(folder, config)).code == 0, done.output
    assert "Nothing to be done" in snakemake(folder, config, "-n").output
    return make_plan(parse_config(config, "test"), folder, folder / "results")


@pytest.fixture(scope="module")
def swept(photos, tmp_path_factory) -> Plan:
    """A finished run with each parameter that can be swept in a grid and in a named point, all exported."""
    points = [{"name": name, **values} for name, values in POINTS.items()]
    sweep = [{"points": points}, *({"grid": grid} for grid in GRID_BLOCKS)]
    return run(tmp_path_factory.mktemp("swept"), photos, config_of(BASE, sweep))


@pytest.fixture(scope="module")
def changed(photos, tmp_path_factory) -> Plan:
    """A finished run whose baseline has another value of every parameter than sam2's default."""
    return run(tmp_path_factory.mktemp("changed"), photos, config_of(ALL_CHANGED))


def sam2s(plan, model, **parameters):
    """sam2's masks of the photograph; parameters are plain values, as people pass them."""
    pixels = np.array(PIL.Image.open(plan.base_dir / "photos" / "coffee.png"))
    if parameters.get("point_grids"):
        parameters["point_grids"] = [np.array(grid) for grid in parameters["point_grids"]]
    return sam2_masks(model, pixels, **{**parameters, "output_mode": "binary_mask"})


def assert_same_masks(plan, model, label, **parameters):
    coco = json.loads(plan.layout.annotations(label).read_text())
    theirs = sam2s(plan, model, **parameters)
    assert len(coco["annotations"]) == len(theirs)
    for our, their in zip(coco["annotations"], theirs, strict=True):
        assert np.array_equal(as_mask(our["segmentation"]), their["segmentation"])
        assert np.float32(our["predicted_iou"]) == np.float32(their["predicted_iou"])
        assert np.float32(our["stability_score"]) == np.float32(their["stability_score"])
        assert our["crop_box"] == their["crop_box"]


def test_every_parameter_of_sam2_is_tried():
    names = set(inspect.signature(SAM2AutomaticMaskGenerator).parameters) - {"model", "kwargs"}
    assert names == set(PARAMETERS) == set(ALL_CHANGED)
    assert names - WITHOUT_EFFECT == {name for values in POINTS.values() for name in values}
    assert names - WITHOUT_EFFECT == {name for values in GRID_BLOCKS for name in values}


@pytest.mark.parametrize("name", POINTS)
def test_a_named_point_gives_sam2s_masks(name, swept, demo_model):
    assert_same_masks(swept, demo_model, name, **{**BASE, **POINTS[name]})


def test_grids_give_sam2s_masks(swept, demo_model):
    written = [dict(zip(grid, row, strict=True)) for grid in GRID_BLOCKS for row in product(*grid.values())]
    labels = [setting.label for setting in swept.exported() if setting.in_grid]
    assert len(labels) == len(written) == 7
    for label, values in zip(labels, written, strict=True):
        assert_same_masks(swept, demo_model, label, **{**BASE, **values})


def test_the_baseline_gives_sam2s_masks(swept, changed, demo_model):
    assert_same_masks(swept, demo_model, "baseline", **BASE)
    assert_same_masks(changed, demo_model, "baseline", **ALL_CHANGED)
    written = json.loads(changed.layout.annotations("baseline").read_text())
    assert written["info"]["parameters"] == {"checkpoint": "demo", **ALL_CHANGED}
    assert {type(one["segmentation"]["counts"]) for one in written["annotations"]} == {list}
    assert "point_grids:" in changed.layout.card.read_text()


def test_every_parameter_changes_sam2s_masks(swept, demo_model):
    """Otherwise the comparison would not notice a parameter that is lost on the way."""

    def content(**values):
        masks = sam2s(swept, demo_model, **{**BASE, **values})
        return [(mask["area"], mask["predicted_iou"], mask["stability_score"]) for mask in masks]

    for values in POINTS.values():
        for name in values.keys() - {"points_per_side"} if len(values) > 1 else values:
            others = {other: value for other, value in values.items() if other not in (name, "points_per_side")}
            assert content(**values) != content(**others), name
