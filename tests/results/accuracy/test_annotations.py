"""COCO files as other tools write them: each annotation is right, or a row with a reason, or the file is refused."""

import json
import unicodedata

import numpy as np
import PIL.Image
import pytest

from maskgrid.config.models import Config
from maskgrid.dataset.index import index_dataset
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import make_plan
from maskgrid.results.accuracy.stage import write_truth

SQUARE = [[2, 2, 12, 2, 12, 8, 2, 8]]
AREA_PX = 60


def picture(path, height=20, width=30, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path, **options)


def image(image_id, name="a.png", **more):
    return {"id": image_id, "file_name": name, "width": 30, "height": 20, **more}


def note(number, image_id, **more):
    return {"id": number, "image_id": image_id, "category_id": 1, "segmentation": SQUARE, "iscrowd": 0, **more}


@pytest.fixture
def truth(tmp_path):
    """A function from a file's images and annotations to the rows of both tables, by source id and by key."""
    for name in ("a.png", "sub/b.png"):
        picture(tmp_path / "photos" / name)

    def run(images, annotations, source="photos", truth="truth.json"):
        (tmp_path / truth).parent.mkdir(exist_ok=True)
        (tmp_path / truth).write_text(json.dumps({"images": images, "annotations": annotations}))
        config = Config.model_validate({"dataset": {"source": source, "ground_truth": truth}})
        plan = make_plan(config, tmp_path, tmp_path / "results")
        index_dataset(plan)
        write_truth(plan)
        tables = (read_table(plan.layout.ground_truth(name)).to_pylist() for name in ("images", "objects"))
        listed, objects = tables
        return listed, {row["source_id"]: row for row in objects}

    return run


@pytest.mark.parametrize(
    ("ids", "image_ids"),
    [
        ((1, 2), (1, 2)),
        ((1.0, 2.0), (1.0, 2.0)),
        ((1, 2), (1.0, "2")),
        (("1", "2"), (1, 2.0)),
        (("x", "y"), ("x", "y")),
    ],
)
def test_an_id_is_one_id_however_it_is_written(truth, ids, image_ids):
    images, objects = truth(
        [image(ids[0]), image(ids[1], "sub/b.png")], [note(1, image_ids[0]), note(2, image_ids[1], category_id=3.0)]
    )
    assert [(row["image_key"], row["status"], row["n_objects"]) for row in images] == [
        ("a.png", "ok", 1),
        ("sub/b.png", "ok", 1),
    ]
    assert [(row["image_key"], row["area_px"]) for row in objects.values()] == [
        ("a.png", AREA_PX),
        ("sub/b.png", AREA_PX),
    ]
    assert objects["2"]["category_id"] == 3


def test_two_images_with_one_id_are_an_error(truth):
    with pytest.raises(UserError, match=r"entries 1 \('a\.png'\) and 2 \('sub/b\.png'\) have the same id, 1,"):
        truth([image(1), image("1", "sub/b.png")], [note(1, 1)])


@pytest.mark.parametrize("names", [("a.png", "a.png"), ("a.png", "./sub/../a.png")])
def test_an_image_listed_twice_is_one_image_with_all_its_objects(truth, names):
    images, objects = truth([image(1, names[0]), image(2, names[1])], [note(1, 1), note(2, 2)])
    assert [(row["image_key"], row["n_objects"]) for row in images] == [("a.png", 2)]
    assert [row["status"] for row in objects.values()] == ["ok", "ok"]


@pytest.mark.parametrize(
    "size", [{"width": 30.0, "height": 20.0}, {"width": "30", "height": "20"}, {"width": 30, "height": 20}]
)
def test_sizes_are_compared_however_they_are_written(tmp_path, truth, size):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "photos/turned.jpg", exif=exif)
    _, objects = truth([image(1, **size), image(2, "turned.jpg", **size)], [note(1, 1), note(2, 2)])
    assert [row["status"] for row in objects.values()] == ["ok", "other_size"]


def test_no_annotation_vanishes(truth):
    images, objects = truth(
        [image(1), image(2, "gone.png"), {"id": 3}, {"file_name": "a.png"}],
        [note(1, 1), note(2, 2), note(3, 3), note(4, 99), note(5, None), note(6, 1, segmentation=[])],
    )
    assert {name: row["status"] for name, row in objects.items()} == {
        "1": "ok",
        "2": "unknown_image",
        "3": "unknown_image",
        "4": "unknown_image",
        "5": "unknown_image",
        "6": "no_mask",
    }
    assert objects["4"]["message"] == "the file has no image 99"
    assert objects["3"]["message"] == "the image 3 has no file_name"
    assert [(row["image_key"], row["status"]) for row in images] == [
        ("", "malformed"),
        ("", "malformed"),
        ("a.png", "ok"),
        ("gone.png", "unknown_image"),
    ]


def test_annotations_of_no_listed_image_are_an_error(truth):
    with pytest.raises(UserError, match=r"none of the 1 objects .* the file has no image 7"):
        truth([image(1)], [note(1, 7)])


@pytest.mark.parametrize(
    ("segmentation", "status", "area_px"),
    [
        ([*SQUARE, [1, 1, 5, 5]], "ok", AREA_PX),
        ([[], *SQUARE, [3, 3]], "ok", AREA_PX),
        ([*SQUARE, [1, 1, 5]], "malformed_mask", None),
        ([[1, 1, 5, 5]], "malformed_mask", None),
        ([[float("nan"), 1, 5, 5, 3, 3]], "malformed_mask", None),
        ([[0, 0, 1e9, 0, 5, 5]], "malformed_mask", None),
        ({"size": [20, 30], "counts": [599, 2]}, "malformed_mask", None),
        ({"size": [20, 30], "counts": [-1, 601]}, "malformed_mask", None),
        ({"size": [20, 30], "counts": [540, 60]}, "ok", 60),
        ({"size": [20, 30], "counts": [600]}, "empty_mask", None),
        ("a.png.txt", "malformed_mask", None),
    ],
)
def test_segmentations_in_every_form(truth, segmentation, status, area_px):
    _, objects = truth([image(1)], [note(1, 1), note(2, 1, segmentation=segmentation, area=float("nan"))])
    assert (objects["2"]["status"], objects["2"]["area_px"]) == (status, area_px)


@pytest.mark.parametrize(("written", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_that_look_equal_are_one_name(tmp_path, truth, written, there):
    key = unicodedata.normalize(there, "Müller.png")
    picture(tmp_path / "photos" / key)
    images, _ = truth([image(1, unicodedata.normalize(written, key))], [note(1, 1)])
    assert [(row["image_key"], row["status"], row["n_objects"]) for row in images] == [(key, "ok", 1)]


@pytest.mark.parametrize(
    ("source", "truth_file", "name"),
    [
        ("photos", "annotations/truth.json", "../photos/a.png"),
        ("photos", "truth.json", "photos/a.png"),
        ("annotations/truth.json", "annotations/truth.json", "../photos/a.png"),
        ("annotations/instances_photos.json", "annotations/instances_photos.json", "a.png"),
    ],
)
def test_names_may_be_paths_from_the_file(truth, source, truth_file, name):
    images, _ = truth([image(1, name)], [note(1, 1)], source, truth_file)
    assert [(row["image_key"], row["status"], row["n_objects"]) for row in images] == [("a.png", "ok", 1)]
