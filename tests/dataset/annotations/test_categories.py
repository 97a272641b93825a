"""Masks take the category of the object that they match, and COCO files say so."""

import json

import numpy as np
import orjson
import PIL.Image
import pytest

from corpus import scene
from killing import RememberingNetwork, stages, tiny_plan
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.verify import verify
from maskgrid.config.categories import CategoriesConfig
from maskgrid.dataset.annotations.categories import Categories, NamedObjects, read_categories
from maskgrid.io.errors import UserError
from maskgrid.masks import rle

SIZE_HW = (20, 30)


def box(x0, y0, x1, y1):
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[y0:y1, x0:x1] = True
    return rle.encode(mask)


OBJECTS = NamedObjects(np.array([3, 5, 8]), (box(0, 0, 10, 10), box(0, 0, 30, 20), box(12, 0, 20, 10)))


@pytest.mark.parametrize(
    ("mask", "min_containment", "expected"),
    [
        (box(0, 0, 10, 10), None, 3),
        (box(0, 0, 10, 5), None, 3),  # IoU of just 0.5
        (box(0, 0, 10, 4), None, 1),
        (box(0, 0, 10, 4), 0.9, 3),  # in the first and in the second object: the smaller is its whole
        (box(0, 15, 10, 20), 0.9, 5),
        (box(9, 0, 13, 10), 0.9, 5),
        (box(0, 0, 30, 19), None, 5),
        (box(0, 0, 0, 0), 0.0, 1),
    ],
)
def test_a_mask_takes_the_category_of_the_best_object(mask, min_containment, expected):
    config = CategoriesConfig(source="ground_truth", min_iou=0.5, min_containment=min_containment)
    categories = Categories(config, [], 1, {"a": OBJECTS})
    assert categories.of_masks("a", [mask], SIZE_HW).tolist() == [expected]
    assert categories.of_masks("b", [mask], SIZE_HW).tolist() == [1]
    assert categories.of_masks("a", [], SIZE_HW).tolist() == []


def coco(names, size_hw):
    height, width = size_hw
    return {
        "images": [{"id": 1, "file_name": "0.png", "height": height, "width": width}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, width // 2, height]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [width // 2, 0, width // 2, height]},
        ],
    }


@pytest.mark.parametrize("names", [("left", "right"), ("object", "right")])
def test_a_run_writes_categories_and_follows_their_file(names, demo_model, tmp_path):
    (tmp_path / "source").mkdir()
    PIL.Image.fromarray(scene(40, 56, seed=0)).save(tmp_path / "source" / "0.png")
    truth = tmp_path / "objects.json"
    truth.write_bytes(orjson.dumps(coco(names, (40, 56))))
    sections = {
        "dataset": {"source": str(tmp_path / "source"), "ground_truth": str(truth)},
        "categories": {"from": "ground_truth", "min_iou": 0.9, "min_containment": 1.0},
    }
    plan = tiny_plan(tmp_path / "source", tmp_path / "results", **sections)
    for name, stage in stages(plan, RememberingNetwork(Proposer(demo_model))):
        if name.split()[0] in ("index", "generate", "replay", "gather", "merge"):
            stage(plan)
    content = json.loads(plan.layout.annotations("baseline").read_text())
    listed = {one["id"]: one["name"] for one in content["categories"]}
    assert len(set(listed.values())) == len(listed) == 3
    seen = set()
    for each in content["annotations"]:
        x, _, width, _ = each["bbox"]
        sides = [side for side, inside in ((1, x + width <= 28), (2, x >= 28)) if inside]
        assert each["category_id"] == (sides[0] if sides else 3)
        seen.add(each["category_id"])
    assert len(seen) > 1
    assert plan.layout.annotations("baseline") not in {problem.path for problem in verify(plan)}
    truth.write_bytes(truth.read_bytes() + b"\n")
    assert plan.layout.annotations("baseline") in {problem.path for problem in verify(plan)}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"categories": {"from": "prompts"}}, "no section prompts"),
        ({"categories": {"from": "ground_truth"}}, "set dataset.ground_truth"),
    ],
)
def test_categories_of_nothing_are_an_error(sections, words, tmp_path):
    with pytest.raises(UserError, match=words):
        tiny_plan(tmp_path, tmp_path / "results", **sections).categories_file()


def test_objects_that_cannot_be_read_are_said(tmp_path, caplog):
    content = coco(("left", "right"), SIZE_HW)
    content["annotations"][1]["image_id"] = 7
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    sections = {"dataset": {"source": str(tmp_path), "ground_truth": str(path)}, "categories": {"from": "ground_truth"}}
    plan = tiny_plan(tmp_path, tmp_path / "results", **sections)
    rows = [{"image_key": "0.png", "path": b"0.png", "height": SIZE_HW[0], "width": SIZE_HW[1]}]
    found = read_categories(plan, rows)
    assert found.objects["0.png"].category_ids.tolist() == [1]
    assert "categories: 1 objects cannot be read; the first: the file has no image with the id 7" in caplog.text
    content["categories"][1]["id"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"categories\.from: .*: entries 1 \('left'\) and 2 \('right'\)"):
        read_categories(plan, rows)
