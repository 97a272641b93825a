"""End to end: the COCO file has the masks that sam2's own generator returns for the same pictures."""

import json

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from pycocotools.coco import COCO

from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard
from maskgrid.automatic.merge import merge_setting
from maskgrid.automatic.replay.stage import replay_shard
from maskgrid.config.files import parse_config
from maskgrid.dataset.index import index_dataset
from maskgrid.plan.plan import make_plan
from maskgrid.results.accept import accept
from maskgrid.results.forecast import plan_text
from maskgrid.results.statistics.stage import write_statistics
from oracle import as_mask, sam2_masks

GENERATOR = {
    "points_per_side": 6,
    "pred_iou_thresh": 0.2,
    "stability_score_thresh": 0.4,
    "crop_n_layers": 1,
    "mask_threshold": 0.3,
}
SWEEP = {
    "grid": {"pred_iou_thresh": [0.2, 0.4], "box_nms_thresh": [0.5, 0.9]},
    "points": [{"name": "regions", "min_mask_region_area": 60}],
}


@pytest.fixture(scope="module")
def plan(photos, demo_model, tmp_path_factory):
    """A finished run on two photographs, one per shard."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "photos").mkdir()
    for name in ("coffee", "astronaut"):
        PIL.Image.fromarray(photos[name]).save(folder / "photos" / f"{name}.png")
    values = {
        "dataset": {"source": "photos", "shard_size": 1},
        "model": {"checkpoint": "demo"},
        "generator": GENERATOR,
        "sweep": SWEEP,
        "annotations": ["baseline", "regions"],
    }
    plan = make_plan(parse_config(values, "test"), folder, folder / "results")
    network = Proposer(demo_model)
    index_dataset(plan)
    for shard in plan.shards():
        for run in plan.runs:
            generate_shard(plan, *run.folder.split("/"), shard, load=lambda *_: network)
        replay_shard(plan, shard)
    for setting in plan.exported():
        merge_setting(plan, setting.label)
    write_statistics(plan)
    accept(plan)
    return plan


@pytest.mark.parametrize("label", ["baseline", "regions"])
def test_annotations_equal_sam2s_masks(label, plan, photos, demo_model):
    path = plan.layout.annotations(label)
    coco = COCO(str(path))
    parameters = next(setting for setting in plan.settings if label in setting.names).generator.model_dump()
    parameters["output_mode"] = "binary_mask"
    n_masks = 0
    for image in coco.loadImgs(coco.getImgIds()):
        theirs = sam2_masks(demo_model, photos[image["file_name"].removesuffix(".png")], **parameters)
        ours = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            mask = coco.annToMask(our).astype(bool)
            assert np.array_equal(mask, their["segmentation"])
            assert np.float32(our["predicted_iou"]) == np.float32(their["predicted_iou"])
            assert np.float32(our["stability_score"]) == np.float32(their["stability_score"])
            assert np.array_equal(np.float32(our["point_coords"]), np.float32(their["point_coords"]))
            assert our["crop_box"] == their["crop_box"]
            assert our["area"] == their["area"] == mask.sum()
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            extent = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            assert our["bbox"] == extent
        n_masks += len(theirs)
    assert n_masks > 4


@pytest.mark.parametrize("output_mode", ["coco_rle", "uncompressed_rle", "binary_mask"])
def test_each_output_mode_holds_the_same_masks(output_mode, plan):
    baseline = json.loads(plan.layout.annotations("baseline").read_text())
    generator = {**GENERATOR, "output_mode": output_mode}
    values = {**plan.config.model_dump(mode="json"), "generator": {**plan.config.generator.model_dump(), **generator}}
    other = make_plan(parse_config(values, "test"), plan.base_dir, plan.layout.root)
    merge_setting(other, "baseline")
    again = json.loads(plan.layout.annotations("baseline").read_text())
    for one, two in zip(baseline["annotations"], again["annotations"], strict=True):
        assert np.array_equal(as_mask(one["segmentation"]), as_mask(two["segmentation"]))
    kinds = {type(annotation["segmentation"]["counts"]) for annotation in again["annotations"]}
    assert kinds == ({list} if output_mode == "uncompressed_rle" else {str})
    merge_setting(plan, "baseline")


def test_one_table_answers_how_many_masks_at_which_thresholds(plan):
    counts = pd.read_parquet(plan.layout.statistics("mask_counts"))
    pivot = counts.pivot_table(index="pred_iou_thresh", columns="box_nms_thresh", values="n_masks")
    assert pivot.loc[0.2, 0.9] >= pivot.loc[0.4, 0.9]
    assert pivot.loc[0.2, 0.9] >= pivot.loc[0.2, 0.5]
    dropped = counts.filter(like="n_dropped").sum(axis=1)
    assert (counts["n_masks"] + dropped == counts["n_proposed"]).all()
    baseline = counts[counts["setting"] == "baseline"]
    coco = json.loads(plan.layout.annotations("baseline").read_text())
    assert baseline["n_masks"].sum() == len(coco["annotations"])


def test_plan_lists_finished_outputs(plan):
    text = plan_text(plan)
    assert f"{len(plan.settings)}, sweeping" in text
    assert "crop1-grid6" in text
    assert "2 of 2 shards done" in text
