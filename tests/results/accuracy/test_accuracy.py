"""Accuracy against annotated objects, with pycocotools' COCOeval as the oracle."""

import contextlib
import io

import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskgrid.config.settings import make_setting
from maskgrid.masks import rle
from maskgrid.results.accuracy.image_truth import LIMITS, ImageTruth, TrueObjects
from maskgrid.results.accuracy.matching import AREA_RANGES_PX, IOU_THRESHOLDS
from maskgrid.results.accuracy.summary import accuracy_summary, write_accuracy
from maskgrid.results.accuracy.tables import ACCURACY, MEASURED, WEIGHTS
from synthetic import GENERATOR

SIZE_HW = (160, 200)


def boxes(*corners):
    """Encode rectangles x0, y0, x1, y1 as masks, excluding the right and bottom edges."""
    masks = []
    for x0, y0, x1, y1 in corners:
        mask = np.zeros(SIZE_HW, np.bool_)
        mask[y0:y1, x0:x1] = True
        masks.append(rle.encode(mask))
    return masks


def measure(objects, masks, scores=None, crowds=()):
    is_crowd = np.isin(np.arange(len(objects)), crowds)
    truth = ImageTruth.of(TrueObjects(tuple(objects), is_crowd), masks, SIZE_HW)
    scores = np.linspace(1, 0.5, len(masks), dtype=np.float32) if scores is None else scores
    return truth.measure(np.arange(len(masks)), scores)


def random_image(random, n_objects, n_masks):
    """Objects of all sizes, and masks that are shifted copies of them, so that all degrees of overlap occur."""
    corner = random.integers(0, (90, 60), (n_objects, 2))
    side = np.exp(random.uniform(np.log(4), np.log(190), (n_objects, 2))).astype(int)
    true_boxes = np.concatenate([corner, np.minimum(corner + side + 1, SIZE_HW[::-1])], axis=1)
    source = random.integers(0, n_objects, n_masks)
    scale = np.repeat(side[source], 2, axis=0).reshape(-1, 4)
    moved = true_boxes[source] + np.rint(random.normal(0, 0.08, (n_masks, 4)) * scale).astype(int)
    moved[:, :2] = np.clip(moved[:, :2], 0, None)
    moved[:, 2:] = np.maximum(np.minimum(moved[:, 2:], SIZE_HW[::-1]), moved[:, :2] + 1)
    # With one decimal, many scores are equal, so their order matters.
    scores = np.round(random.random(n_masks), 1).astype(np.float32)
    return boxes(*true_boxes), boxes(*moved), scores, random.random(n_objects) < 0.15


IMAGES = [
    random_image(np.random.default_rng(seed), n_objects, n_masks)
    for seed, (n_objects, n_masks) in enumerate([(1, 3), (5, 8), (12, 40), (30, 25), (20, 150), (3, 0), (8, 30)])
]


def as_coco(counts, areas=True, **more):
    code = {"size": list(SIZE_HW), "counts": counts}
    return {"segmentation": code, "area": int(coco_mask.area(code)), "bbox": [0, 0, 1, 1], "category_id": 1, **more}


@pytest.fixture(scope="module")
def oracle():
    """COCOeval run on all images."""
    truth, found = COCO(), []
    annotations, images = [], []
    for image_id, (objects, masks, scores, crowds) in enumerate(IMAGES, start=1):
        images.append({"id": image_id, "height": SIZE_HW[0], "width": SIZE_HW[1]})
        for counts, crowd in zip(objects, crowds, strict=True):
            annotations.append(as_coco(counts, id=len(annotations) + 1, image_id=image_id, iscrowd=int(crowd)))
        found += [
            as_coco(counts, image_id=image_id, score=float(score)) for counts, score in zip(masks, scores, strict=True)
        ]
    truth.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "segm")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [*LIMITS, 100_000]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


@pytest.fixture(scope="module")
def rows():
    measured = []
    for objects, masks, scores, crowds in IMAGES:
        truth = ImageTruth.of(TrueObjects(tuple(objects), crowds), masks, SIZE_HW)
        measured.append(truth.measure(np.arange(len(masks)), scores))
    return measured


def over_all(rows, name):
    weight = [row[WEIGHTS[name]] for row in rows]
    return sum((row[name] or 0.0) * n for row, n in zip(rows, weight, strict=True)) / sum(weight)


def test_average_recall_equals_cocoevals(oracle, rows):
    recall = oracle.eval["recall"][:, 0]  # thresholds, area ranges, limits
    expected = {f"ar_{limit}": recall[:, 0, place] for place, limit in enumerate(LIMITS)}
    expected |= {f"ar_{size}": recall[:, place, 2] for place, size in enumerate(AREA_RANGES_PX) if size != "all"}
    for name, values in expected.items():
        assert over_all(rows, name) == pytest.approx(values.mean(), abs=1e-12), name
    assert len({round(over_all(rows, name), 6) for name in expected}) == len(expected)


def test_recall_at_a_threshold_equals_cocoevals(oracle, rows):
    recall = oracle.eval["recall"][:, 0, 0, 3]
    assert over_all(rows, "recall_50") == pytest.approx(recall[0], abs=1e-12)
    assert over_all(rows, "recall_75") == pytest.approx(recall[5], abs=1e-12)
    assert recall[5] < recall[0] < 1


def test_matched_and_ignored_masks_equal_cocoevals(oracle, rows):
    first = oracle.evalImgs[: len(IMAGES)]  # for all areas
    for row, image in zip(rows, first, strict=True):
        matched, ignored = image["dtMatches"][0] > 0, image["dtIgnore"][0] > 0
        assert row["n_found_50"] == (matched & ~ignored).sum()
        assert row["n_ignored_50"] == ignored.sum()
    assert sum(row["n_ignored_50"] for row in rows) > 0


def test_thresholds_equal_cocoevals():
    params = COCOeval(iouType="segm").params
    assert tuple(params.iouThrs.tolist()) == IOU_THRESHOLDS
    assert [list(limits) for limits in AREA_RANGES_PX.values()] == params.areaRng
    assert list(AREA_RANGES_PX) == params.areaRngLbl


def test_best_iou_is_the_best_over_all_masks():
    objects, masks, _, crowds = IMAGES[4]
    codes = [[{"size": list(SIZE_HW), "counts": one} for one in part] for part in (masks, objects)]
    iou = coco_mask.iou(*codes, [0] * len(objects))
    expected = iou[:, ~crowds].max(axis=0).mean()
    assert measure(objects, masks, crowds=np.flatnonzero(crowds))["best_iou_mean"] == pytest.approx(expected, abs=1e-15)


def test_a_choice_of_masks_gives_the_same_as_these_masks_alone():
    """Overlaps of an image's masks are computed once for all settings."""
    objects, masks, scores, crowds = IMAGES[2]
    truth = ImageTruth.of(TrueObjects(tuple(objects), crowds), masks, SIZE_HW)
    chosen = np.array([30, 2, 17, 5, 39, 11])
    alone = ImageTruth.of(TrueObjects(tuple(objects), crowds), [masks[at] for at in chosen], SIZE_HW)
    assert truth.measure(chosen, scores[chosen]) == alone.measure(np.arange(6), scores[chosen])


OBJECT = (10, 10, 50, 50)
PARTS = ((10, 10, 24, 50), (24, 10, 37, 50), (37, 10, 50, 50))
NEIGHBOUR = (50, 10, 90, 50)
BOTH = (8, 8, 92, 52)


@pytest.mark.parametrize(
    ("objects", "masks", "over", "under"),
    [
        ([OBJECT], PARTS, 1, 0),
        ([OBJECT], PARTS[:1], 0, 0),
        ([OBJECT], [*PARTS, OBJECT], 0, 0),  # parts, but the whole is found too
        ([OBJECT], [PARTS[0], PARTS[0]], 0, 0),  # the same part twice
        ([OBJECT], [(0, 10, 24, 50), PARTS[1], (37, 10, 60, 50)], 0, 0),  # a part extends too far beyond the object
        ([OBJECT, NEIGHBOUR], [BOTH], 0, 1),
        ([OBJECT, NEIGHBOUR], [BOTH, OBJECT], 0, 1),
        ([OBJECT, NEIGHBOUR], [(0, 0, 200, 160)], 0, 0),  # covers far more than the two objects
        ([OBJECT, (12, 12, 48, 48)], [(0, 0, 60, 60)], 0, 0),  # an object and its part count as one
        ([OBJECT, OBJECT], [(2, 2, 62, 62)], 0, 0),  # annotated twice
        ([], [OBJECT], 0, 0),
    ],
)
def test_over_and_under_segmentation(objects, masks, over, under):
    row = measure(boxes(*objects), boxes(*masks))
    assert (row["n_over_segmented"], row["n_under_segmented"]) == (over, under)


def test_an_image_without_objects_has_no_recall():
    row = measure([], boxes(OBJECT))
    assert (row["n_truth"], row["recall_50"], row["precision_50"], row["f1_50"]) == (0, None, 0.0, 0.0)
    row = measure(boxes(OBJECT), [])
    assert (row["recall_50"], row["precision_50"], row["f1_50"], row["best_iou_mean"]) == (0.0, None, 0.0, 0.0)


def test_every_measure_has_a_column():
    assert set(measure(boxes(OBJECT), boxes(OBJECT))) == set(MEASURED)


def test_the_summary_covers_all_objects(rows, tmp_path):
    setting = make_setting("demo", GENERATOR, ("baseline",))
    other = make_setting("demo", GENERATOR.model_copy(update={"pred_iou_thresh": 0.9}))
    made = [{"setting_id": setting.id, "image_key": f"{place}.png", **row} for place, row in enumerate(rows)]
    shard = tmp_path / "shard.parquet"
    from maskgrid.io.tables import write_table
    from maskgrid.results.accuracy.tables import SHARD_ACCURACY

    write_table(shard, pa.Table.from_pylist(made, schema=SHARD_ACCURACY), {})
    write_accuracy(tmp_path / "accuracy.parquet", [setting, other], [shard], {})
    (row,) = accuracy_summary([setting, other], tmp_path / "accuracy.parquet").to_pylist()
    assert row["setting"] == "baseline"
    assert row["n_truth"] == sum(one["n_truth"] for one in rows)
    for name in WEIGHTS:
        if WEIGHTS[name] in ACCURACY.names:
            assert row[name] == pytest.approx(over_all(rows, name), abs=1e-12)
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"], name
    n_judged = row["n_masks"] - sum(one["n_ignored_50"] for one in rows)
    found = sum(one["n_found_50"] for one in rows)
    assert row["precision_50"] == pytest.approx(found / n_judged)
    assert row["f1_50"] == pytest.approx(2 * found / (n_judged + row["n_truth"]))
