"""The ground truth as COCO, read back with pycocotools."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskgrid.dataset.demo import draw_scene, scenes_as_coco

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed, (96, 128)) for seed in SEEDS]


@pytest.fixture(scope="module")
def dataset(scenes):
    return scenes_as_coco(scenes, [f"{seed}.png" for seed in SEEDS])


def test_it_survives_json_and_loads_in_pycocotools(dataset, scenes):
    coco = COCO()
    coco.dataset = json.loads(json.dumps(dataset))
    coco.createIndex()
    assert len(coco.getAnnIds()) == sum(len(scene.masks) for scene in scenes)
    assert sorted(coco.getImgIds()) == [1, 2, 3]


def test_ids_count_from_one_over_all_scenes(dataset):
    assert [one["id"] for one in dataset["annotations"]] == list(range(1, len(dataset["annotations"]) + 1))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # from pycocotools
def test_masks_boxes_and_areas_are_exact(dataset, scenes):
    masks = np.concatenate([scene.masks for scene in scenes])
    for one, mask in zip(dataset["annotations"], masks, strict=True):
        assert isinstance(one["segmentation"]["counts"], str)
        assert np.array_equal(coco_mask.decode(one["segmentation"]).astype(bool), mask)
        assert one["area"] == mask.sum()
        assert one["iscrowd"] == 0
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        assert one["bbox"] == box


def test_parts_refer_to_their_whole(dataset):
    by_id = {one["id"]: one for one in dataset["annotations"]}
    parts = [one for one in dataset["annotations"] if one["part_of"] is not None]
    for part in parts:
        whole = by_id[part["part_of"]]
        assert whole["image_id"] == part["image_id"]
        assert whole["part_of"] is None
        assert whole["area"] > part["area"]
