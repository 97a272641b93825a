"""The snippets of ``docs/loading.md`` run, and every library finds the same masks as pycocotools."""

import contextlib
import io
import json
import os
import pickle
import re
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from pycocotools import mask as coco_mask

from made_results import make_config
from made_truth import make_plan_with_truth, masks_as_objects
from maskgrid.automatic.merge import merge_setting
from maskgrid.cli.results import FORMS
from maskgrid.io.tables import read_table, write_table
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.exports.stage import export_setting, write_card

PAGE = (Path(__file__).parents[2] / "docs/loading.md").read_text()
SNIPPETS = dict(re.findall(r"```python (\w+)\n(.*?)```", PAGE, re.DOTALL))
# Libraries whose snippet finds all masks, in the order of the annotations.
OF_MASKS = (
    *("pycocotools", "faster_coco_eval", "supervision", "sa1b", "datumaro", "torchvision", "datasets", "webdataset"),
)
# Libraries that need other versions than maskgrid's, with the name of their snippet's result. ``make test-loaders``
# names Pythons that have them.
ELSEWHERE = {
    **{"datumaro": "masks", "duckdb": "table", "datasets": "masks", "webdataset": "masks", "geopandas": "areas"},
    **{"labelme": "masks", "label_studio_sdk": "errors", "ultralytics": "n_masks"},
}
ELSEWHERE_PYTHON = "MASKGRID_LOADERS_PYTHON"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with ``results`` of made-up images, whose image files are in ``results/demo``."""
    root = tmp_path_factory.mktemp("loading")
    plan = make_plan_with_truth(root, masks_as_objects, make_config(annotations=["baseline"]))
    for run in plan.runs:
        path = plan.layout.candidates(run, "d0")
        write_table(path, read_table(path), {"recording": run.recording.as_dict()})
    write_truth(plan)
    evaluate_shard(plan, "d0")
    write_accuracies(plan)
    merge_setting(plan, "baseline")
    for image in json.loads(plan.layout.annotations("baseline").read_bytes())["images"]:
        path = root / "results/demo" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (image["width"], image["height"])).save(path, format="PNG")
    for form in FORMS:
        export_setting(plan, "baseline", form)
    write_card(plan)
    return root


def run_snippet(name, folder, monkeypatch):
    library = {"sa1b": "pycocotools", "polygons": "json"}.get(name, name)
    if name in ELSEWHERE and (python := python_with(name)):
        return run_elsewhere(python, name, folder)
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed; the snippet for it was not run")
    monkeypatch.chdir(folder)
    scope = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(SNIPPETS[name], scope)
    return scope


@cache
def python_with(library):
    """The first Python that has a library; None if none has it."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({library!r}) is None)"
    named = os.environ.get(ELSEWHERE_PYTHON, "").split(":")
    return next((one for one in named if one and not subprocess.run([one, "-c", code], check=False).returncode), None)


def run_elsewhere(python, name, folder):
    saving = f"\nimport pickle, sys\npickle.dump({ELSEWHERE[name]}, open(sys.argv[1], 'wb'))"
    found = folder / f"{name}.pickle"
    command = [python, "-c", SNIPPETS[name] + saving, found]
    # Nothing is downloaded, and no window is opened.
    variables = {**os.environ, "YOLO_OFFLINE": "1", "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    return {ELSEWHERE[name]: pickle.loads(found.read_bytes())}


@pytest.fixture(scope="module")
def expected(folder):
    """The masks, decoded from the file by pycocotools."""
    content = json.loads((folder / "results/annotations/baseline.json").read_bytes())
    return [coco_mask.decode(entry["segmentation"]) for entry in content["annotations"]]


def test_there_are_snippets_for_all():
    others = {"polygons", "pandas", "pyarrow", "duckdb", "mlcroissant", "skimage"}
    assert {*OF_MASKS, *others, *ELSEWHERE} == set(SNIPPETS)


@pytest.mark.parametrize("name", OF_MASKS)
def test_a_library_finds_the_same_masks(name, folder, expected, monkeypatch):
    masks = run_snippet(name, folder, monkeypatch)["masks"]
    assert len(masks) == len(expected) > 5

    def in_order(found):
        return sorted((mask.shape, np.asarray(mask, np.uint8).tobytes()) for mask in found)

    assert in_order(masks) == in_order(expected)


def test_there_is_a_polygon_for_every_mask(folder, expected, monkeypatch):
    scope = run_snippet("polygons", folder, monkeypatch)
    assert len(scope["outlines"]) == len(expected)
    assert 0 <= scope["lost"] < 1


def areas_px(folder):
    content = json.loads((folder / "results/annotations/baseline.json").read_bytes())
    return {entry["id"]: entry["area"] for entry in content["annotations"]}


def test_skimage_measures_what_the_table_of_labels_says(folder, monkeypatch):
    scope = run_snippet("skimage", folder, monkeypatch)
    visible = {row.annotation_id: row.visible_px for row in scope["table"].itertuples() if row.visible_px}
    assert scope["areas"] == visible
    assert set(scope["table"].annotation_id) == set(areas_px(folder))


def test_geopandas_measures_the_areas_of_the_masks(folder, monkeypatch):
    assert run_snippet("geopandas", folder, monkeypatch)["areas"] == areas_px(folder)


def test_labelme_draws_all_pixels_of_the_masks(folder, expected, monkeypatch):
    masks = run_snippet("labelme", folder, monkeypatch)["masks"]
    assert list(areas_px(folder)) == sorted(masks)
    for mask, number in zip(expected, areas_px(folder), strict=True):
        assert masks[number][mask > 0].all()


def test_label_studio_accepts_the_predictions(folder, monkeypatch):
    assert run_snippet("label_studio_sdk", folder, monkeypatch)["errors"] == []


def test_ultralytics_trains_on_all_masks(folder, expected, monkeypatch):
    assert run_snippet("ultralytics", folder, monkeypatch)["n_masks"] == len(expected)


def test_fiftyone_reads_the_masks(folder, expected):
    """Its own reader of COCO's annotations, without the database that a dataset needs."""
    python = python_with("fiftyone")
    if python is None:
        pytest.skip("fiftyone is not installed")
    code = (
        "import pickle, sys, fiftyone.utils.coco as coco\n"
        "info, classes, _, images, found = coco.load_coco_detection_annotations(sys.argv[1])\n"
        "sizes = {key: (one['width'], one['height']) for key, one in images.items()}\n"
        "pairs = [(sizes[key], one) for key in found for one in found[key]]\n"
        "made = [(size, one.to_detection(size, load_segmentation=True)) for size, one in pairs]\n"
        "pickle.dump([(size, list(one.bounding_box), one.mask) for size, one in made], open(sys.argv[2], 'wb'))"
    )
    source, found = folder / "results/annotations/baseline.json", folder / "fiftyone.pickle"
    done = subprocess.run([python, "-c", code, source, found], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    masks = pickle.loads(found.read_bytes())
    assert len(masks) == len(expected)
    for mask, (size, box, part) in zip(expected, masks, strict=True):
        left, top = round(box[0] * size[0]), round(box[1] * size[1])
        assert np.array_equal(mask[top : top + part.shape[0], left : left + part.shape[1]], part)
        assert part.sum() == mask.sum()


def test_tables_are_read_by_pandas_pyarrow_and_duckdb_alike(folder, monkeypatch):
    counts = pd.read_parquet(folder / "results/statistics/mask_counts.parquet")
    table = run_snippet("pandas", folder, monkeypatch)["table"]
    assert (
        table.loc[0.3, 0.6] == counts.query("pred_iou_thresh == 0.3 and stability_score_thresh == 0.6").n_masks.mean()
    )
    scope = run_snippet("pyarrow", folder, monkeypatch)
    assert scope["loose"].num_rows == len(counts)
    assert all(scope["described"].values())


def test_duckdb_reads_the_tables(folder, monkeypatch):
    counts = pd.read_parquet(folder / "results/statistics/mask_counts.parquet")
    table = run_snippet("duckdb", folder, monkeypatch)["table"]
    assert dict(table) == pytest.approx(counts.groupby("pred_iou_thresh").n_masks.mean().to_dict())


def test_mlcroissant_reads_the_rows(folder, monkeypatch):
    first = run_snippet("mlcroissant", folder, monkeypatch)["first"]
    counts = pd.read_parquet(folder / "results/statistics/mask_counts.parquet")
    assert first["mask_counts/n_masks"] == counts.n_masks[0]


def test_faster_coco_eval_agrees_with_our_recall(folder):
    """faster-coco-eval on our files gives the averages in our tables."""
    library = pytest.importorskip("faster_coco_eval")
    content = json.loads((folder / "results/annotations/baseline.json").read_bytes())
    objects = read_table(folder / "results/ground_truth/objects.parquet", filters=[("status", "=", "ok")]).to_pylist()
    ids = {image["file_name"]: (image["id"], [image["height"], image["width"]]) for image in content["images"]}
    annotations = [
        {
            "id": number,
            "image_id": ids[row["image_key"]][0],
            "category_id": 1,
            "iscrowd": 0,
            "area": row["area_px"],
            "bbox": [0, 0, 1, 1],
            "segmentation": {"size": ids[row["image_key"]][1], "counts": row["counts"].decode()},
        }
        for number, row in enumerate(objects, start=1)
    ]
    truth = {"images": content["images"], "categories": content["categories"], "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        given = library.COCO(truth)
        evaluation = library.COCOeval_faster(given, given.loadRes(content["annotations"]), "segm")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = [10, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    recall = np.asarray(evaluation.eval["recall"]).reshape(10, -1, 4, 3)[:, 0, 0]
    (row,) = read_table(
        folder / "results/statistics/accuracy_summary.parquet", filters=[("setting", "=", "baseline")]
    ).to_pylist()
    assert [row[f"ar_{limit}"] for limit in (10, 100, 1000)] == pytest.approx(recall.mean(axis=0).tolist(), abs=1e-9)
