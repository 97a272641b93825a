"""Agreement of two runs, on masks made by hand."""

import re

import numpy as np
import orjson
import pytest

from maskgrid.cli.main import main
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.results.agreement import agreement

SIZE_HW = (20, 20)


def square(x: int, y: int = 0, side: int = 10) -> np.ndarray:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[y : y + side, x : x + side] = True
    return mask


def nibbled(mask: np.ndarray, n_px: int) -> np.ndarray:
    """The mask without its first ``n_px`` pixels."""
    less = mask.copy()
    less.flat[np.flatnonzero(mask)[:n_px]] = False
    return less


def coco_file(path, images):
    """Write a COCO file of masks, given by image."""
    annotations = [
        {"id": 1, "image_id": number, "segmentation": rle.compressed(rle.encode(mask), SIZE_HW)}
        for number, masks in enumerate(images.values(), 1)
        for mask in masks
    ]
    rows = [
        {"id": number, "file_name": name, "height": SIZE_HW[0], "width": SIZE_HW[1]}
        for number, name in enumerate(images, 1)
    ]
    path.write_bytes(orjson.dumps({"images": rows, "annotations": annotations}))
    return path


CASES = {
    # first, second: matched, equal, precision, recall, F1
    "the same": ([square(0), square(10)], [square(10), square(0)], 2, 2, 1.0, 1.0, 1.0),
    "nothing in either": ([], [], 0, 0, 1.0, 1.0, 1.0),
    "nothing in one": ([square(0)], [], 0, 0, 1.0, 0.0, 0.0),
    "nine in ten pixels are a match": ([square(0)], [nibbled(square(0), 10)], 1, 0, 1.0, 1.0, 1.0),
    "eight in nine are none": ([square(0)], [nibbled(square(0), 11)], 0, 0, 0.0, 0.0, 0.0),
    "one mask more": ([square(0)], [square(0), square(10)], 1, 1, 0.5, 1.0, 2 / 3),
    "a mask twice is matched once": ([square(0)], [square(0), square(0)], 1, 1, 0.5, 1.0, 2 / 3),
    # Matching the best pair first (the equal masks) would leave the other two, with IoU 0.94 x 0.94, unmatched.
    "all are matched where they can be": (
        [square(0), nibbled(square(0), 6)],
        [nibbled(square(0), 6), nibbled(square(0), 12)],
        2,
        0,
        1.0,
        1.0,
        1.0,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_masks_are_matched_one_to_one(case, tmp_path):
    first, second, n_matched, n_equal, precision, recall, f1 = case
    found = agreement(
        coco_file(tmp_path / "a.json", {"x": first}), coco_file(tmp_path / "b.json", {"x": second}), "baseline"
    )
    measures = found.measures()
    (row,) = found.images.to_pylist()
    assert (row["n_matched"], row["n_equal"]) == (n_matched, n_equal)
    assert (measures["precision"], measures["recall"], measures["f1"]) == pytest.approx((precision, recall, f1))
    assert measures["images_with_any_difference_frac"] == float(not (n_equal == len(first) == len(second)))


def test_counts_are_compared_image_by_image(tmp_path):
    first = coco_file(tmp_path / "a.json", {"x": [square(0)] * 3, "y": [], "z": [square(0)]})
    second = coco_file(tmp_path / "b.json", {"z": [nibbled(square(0), 1)], "y": [square(0)] * 2, "x": [square(0)] * 3})
    measures = agreement(first, second, "baseline").measures()
    assert (measures["count_difference_mean"], measures["count_difference_max"]) == (pytest.approx(2 / 3), 2)
    assert measures["images_with_other_count_frac"] == pytest.approx(1 / 3)
    assert measures["images_with_any_difference_frac"] == pytest.approx(2 / 3)
    assert measures["iou_mean"] == pytest.approx((3 + 0.99) / 4)


def test_all_forms_of_a_mask_are_read(tmp_path):
    path = coco_file(tmp_path / "a.json", {"x": [square(0)]})
    content = orjson.loads(path.read_bytes())
    for name, form in {
        "runs.json": rle.uncompressed(rle.encode(square(0)), SIZE_HW),
        "polygon.json": [[0, 0, 10, 0, 10, 10, 0, 10]],
    }.items():
        content["annotations"][0]["segmentation"] = form
        (tmp_path / name).write_bytes(orjson.dumps(content))
        assert agreement(path, tmp_path / name, "baseline").measures()["n_matched"] == 1


def test_the_command_prints_and_writes(tmp_path, capsys):
    folder = tmp_path / "results"
    (folder / "annotations").mkdir(parents=True)
    coco_file(folder / "annotations" / "loose.json", {"x": [square(0), square(10)]})
    other = coco_file(tmp_path / "b.json", {"x": [square(0)]})
    for name in ("out.parquet", "out.json"):
        command = ["agreement", str(folder), str(other), "--setting", "loose", "--output", str(tmp_path / name)]
        assert main(command) == 0
    assert "recall" in capsys.readouterr().out
    assert (
        read_table(tmp_path / "out.parquet").to_pylist() == orjson.loads((tmp_path / "out.json").read_bytes())["images"]
    )


def listed(images, segmentation=None):
    """A file of images like ``x``, each with other values, and a mask of the first."""
    image = {"id": 1, "file_name": "x", "height": SIZE_HW[0], "width": SIZE_HW[1]}
    annotations = [] if segmentation is None else [{"id": 1, "image_id": 1, "segmentation": segmentation}]
    return orjson.dumps({"images": [image | other for other in images], "annotations": annotations})


def counts(value):
    return {"size": list(SIZE_HW), "counts": value}


N_PX = SIZE_HW[0] * SIZE_HW[1]
DAMAGED = [
    (counts([N_PX + 1]), "add up"),
    (counts([10**15]), "add up"),
    (counts([-5, N_PX + 5]), "add up"),
    (counts([1.5, N_PX - 1.5]), "add up"),
    (counts([]), "add up"),
    (counts("zzzz"), "run"),
    (counts(""), "add up"),
    (counts("b'01'"), "run"),
    (counts(None), "text or a list"),
    ({"counts": "0"}, "size is None"),
    ({"size": [1, 1], "counts": "01"}, "size is"),
    ([[0, 0, 1e12, 0, 5, 5]], "far outside"),
    ([[0, 0, 5]], "at least three points"),
    (["0 0 5 0 5 5"], "at least three points"),
    ("polygon", "not 'polygon'"),
    (7, "not 7"),
]


@pytest.mark.parametrize("segmentation", [[], [[]], [[3, 3]], [[1, 1, 5, 5]], counts([N_PX])])
def test_masks_without_a_pixel_are_equal(segmentation, tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(listed([{}], segmentation))
    measures = agreement(tmp_path / "a.json", tmp_path / "b.json", "baseline").measures()
    assert (measures["n_first"], measures["n_matched"], measures["images_with_any_difference_frac"]) == (1, 1, 0.0)


@pytest.mark.parametrize("image", [{"id": 1.0}, {"id": "1"}, {"height": str(SIZE_HW[0]), "width": float(SIZE_HW[1])}])
def test_numbers_of_other_tools_are_read(image, tmp_path):
    square_px = [[0, 0, 9, 0, 9, 9, 0, 9]]
    (tmp_path / "a.json").write_bytes(listed([{}], square_px))
    (tmp_path / "b.json").write_bytes(listed([image], square_px))
    assert agreement(tmp_path / "a.json", tmp_path / "b.json", "baseline").measures()["n_matched"] == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "b.json cannot be read: No such file"),
        (b"{", "is not valid JSON"),
        (b"[]", "is not a COCO file"),
        (b'{"images": [{"id": 1}], "annotations": []}', "the image 1 has no file_name, or no width and height"),
        (b'{"images": [], "annotations": []}', "not of the same images"),
        (b'{"images": [], "annotations": [{"image_id": 7}]}', "annotation 1"),
        (b'{"images": [{"id": 1, "file_name": "x", "height": 9, "width": 9}], "annotations": []}', "pixels"),
        (listed([{}, {"id": 2}]), "the image 'x' is listed twice, under two ids"),
        (listed([{}, {"file_name": "y"}]), r"images: entries 1 \('x'\) and 2 \('y'\) have the same id, 1,"),
        (listed([{"id": None}]), "1 of its images have no id"),
        (listed([{"height": "40 px"}]), "no width and height"),
        *((listed([{}], segmentation), f"annotation 1 is not a mask.*{words}") for segmentation, words in DAMAGED),
    ],
)
def test_files_that_cannot_be_compared_are_errors(content, words, tmp_path, capsys):
    first, second = coco_file(tmp_path / "a.json", {"x": [square(0)]}), tmp_path / "b.json"
    if content is not None:
        second.write_bytes(content)
    assert main(["agreement", str(first), str(second)]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_a_folder_without_the_settings_annotations_says_what_to_do(tmp_path, capsys):
    (tmp_path / "results").mkdir()
    assert main(["agreement", str(tmp_path / "results"), str(tmp_path / "results")]) == 2
    assert "maskgrid merge --setting baseline" in capsys.readouterr().err
