"""The snippets of ``docs/loading.md`` run, and every library finds the same masks as pycocotools."""

import contextlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from pycocotools import mask as coco_mask

from made_results import make_config
from made_truth import make_plan_with_truth, masks_as_objects
from maskgrid.automatic.merge import merge_setting
from maskgrid.cli.results import FORMS
from maskgrid.config.exports import OPTIONS
from maskgrid.config.files import load_config
from maskgrid.io.tables import read_table, write_table
from maskgrid.io.wording import table_lines
from maskgrid.plan.plan import make_plan
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.exports.note import read_note
from maskgrid.results.exports.source import FileNames
from maskgrid.results.exports.stage import export_setting, write_card

PAGE = (Path(__file__).parents[2] / "docs/loading.md").read_text()
SNIPPETS = dict(re.findall(r"```python (\w+)\n(.*?)```", PAGE, re.DOTALL))
# Libraries whose snippet finds all masks.
OF_MASKS = (
    *("pycocotools", "faster_coco_eval", "supervision", "sa1b", "datumaro", "torchvision", "datasets", "webdataset"),
)
# Libraries that need other versions than maskgrid's, with what their snippet finds. ``make test-loaders`` names Pythons
# that have them.
ELSEWHERE = {
    **{"datumaro": ["masks"], "duckdb": ["table"], "datasets": ["masks"], "webdataset": ["masks"]},
    **{"geopandas": ["areas", "masks"], "labelme": ["masks"], "label_studio_sdk": ["errors", "masks"]},
    **{"ultralytics": ["n_masks", "masks", "losses"], "napari": ["pixels"], "fiftyone": ["masks"]},
}
# What a test looks at besides, found by the library itself.
AFTER = {
    "geopandas": """
        import json, numpy, shapely
        content = json.loads(Path("results/annotations/baseline.json").read_text())
        sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
        centres = {key: numpy.meshgrid(*(numpy.arange(side) + 0.5 for side in size)) for key, size in sizes.items()}
        masks = {
            row.annotation_id: shapely.contains_xy(row.geometry, *centres[row.image_id]) for row in masks.itertuples()
        }
    """,
    "ultralytics": """
        from ultralytics.data.utils import polygon2mask
        labels = model.trainer.train_loader.dataset.labels
        masks = {
            label["im_file"]: [polygon2mask(label["shape"], [one * label["shape"][::-1]]) for one in label["segments"]]
            for label in labels
        }
        losses = model.trainer.label_loss_items(model.trainer.tloss)
    """,
    "label_studio_sdk": """
        from label_studio_sdk.converter.brush import decode_rle
        found = [one for task in tasks for one in task["predictions"][0]["result"] if "rle" in one["value"]]
        sizes = [(one["original_height"], one["original_width"], 4) for one in found]
        masks = [decode_rle(one["value"]["rle"]).reshape(size)[..., 3] for one, size in zip(found, sizes)]
    """,
    "napari": """
        import numpy
        counts = {layer.name: numpy.unique(layer.data, return_counts=True) for layer in layers}
        pixels = {name: dict(zip(*(part.tolist() for part in found))) for name, found in counts.items()}
    """,
}
# Without the database that FiftyOne's datasets need: the reader behind the snippet of the page.
FIFTYONE = """
import numpy as np
from fiftyone.utils.coco import COCODetectionDatasetImporter

files = {"data_path": "results/demo", "labels_path": "results/annotations/baseline.json"}
masks = []
with COCODetectionDatasetImporter(**files, label_types="segmentations") as importer:
    for _, metadata, labels in importer:
        for found in labels.detections if labels else ():
            whole = np.zeros((metadata.height, metadata.width), np.uint8)
            left, top = round(found.bounding_box[0] * metadata.width), round(found.bounding_box[1] * metadata.height)
            whole[top : top + found.mask.shape[0], left : left + found.mask.shape[1]] = found.mask
            masks.append(whole)
"""
# Forms that can be exact where their default is not, by the name of the folder that a test puts them into.
EXACT = {"labelme": {"shapes": "mask"}, "label_studio": {"shapes": "mask"}}
DISTRIBUTIONS = {"sa1b": "pycocotools", "skimage": "scikit-image"}
ELSEWHERE_PYTHON = "MASKGRID_LOADERS_PYTHON"
# A folder with ``config.yaml`` and ``results`` of the demo, to load instead of made-up ones.
GIVEN_FOLDER = "MASKGRID_LOADERS_FOLDER"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with ``results`` of eight made-up images, whose image files are in ``results/demo``."""
    if given := os.environ.get(GIVEN_FOLDER):
        export_all(make_plan(load_config(Path(given) / "config.yaml"), Path(given), Path(given) / "results"))
        return Path(given)
    root = tmp_path_factory.mktemp("loading")
    plan = make_plan_with_truth(root, masks_as_objects, make_config(annotations=["baseline"]), n_images=7)
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
    export_all(plan)
    write_card(plan)
    return root


def export_all(plan):
    """Every form of the baseline; exact ones in folders beside those of the defaults."""
    for form, options in EXACT.items():
        export_setting(plan, "baseline", form, OPTIONS[form](**options))
        path = plan.layout.export(form, "baseline")
        exact = path.parents[1] / f"{form}_exact"
        shutil.rmtree(exact, ignore_errors=True)
        path.parent.rename(exact)
    for form in FORMS:
        if form != "geopackage":  # which needs GeoTIFFs
            export_setting(plan, "baseline", form)


def run_snippet(name, folder, monkeypatch, change=lambda text: text):
    """What a snippet finds, by name. ``change`` changes its text."""
    code = change(SNIPPETS.get(name, FIFTYONE) + dedent(AFTER.get(name, "")))
    if name in ELSEWHERE and (python := python_with(name)):
        return run_elsewhere(python, name, folder, code)
    library = {"sa1b": "pycocotools", "polygons": "json"}.get(name, name)
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed; the snippet for it was not run")
    monkeypatch.chdir(folder)
    scope = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, scope)
    return scope


@cache
def python_with(library):
    """The first Python that has a library; None if none has it."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({library!r}) is None)"
    named = os.environ.get(ELSEWHERE_PYTHON, "").split(":")
    return next((one for one in named if one and not subprocess.run([one, "-c", code], check=False).returncode), None)


def run_elsewhere(python, name, folder, code):
    saving = f"\nimport pickle, sys\npickle.dump([{', '.join(ELSEWHERE[name])}], open(sys.argv[1], 'wb'))"
    found = folder / f"{name}.pickle"
    # Nothing is downloaded, and no window is opened.
    variables = {**os.environ, "YOLO_OFFLINE": "1", "QT_QPA_PLATFORM": "offscreen", "FIFTYONE_DO_NOT_TRACK": "1"}
    command = [python, "-c", code + saving, found]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    return dict(zip(ELSEWHERE[name], pickle.loads(found.read_bytes()), strict=True))


def version_of(name):
    distribution = DISTRIBUTIONS.get(name, name)
    if python := python_with(name) if name in ELSEWHERE else None:
        code = f"from importlib.metadata import version; print(version({distribution!r}))"
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return version(distribution)


@pytest.fixture(scope="module")
def proven(request, expected):
    """Takes down what a library found; ``make test-loaders`` prints it."""
    rows = [("consumer", "version", "masks", "of", "result")]
    yield lambda name, n_masks, result: rows.append((name, version_of(name), str(n_masks), str(len(expected)), result))
    if ELSEWHERE_PYTHON in os.environ:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print("", *table_lines(rows, to_right=False), sep="\n")


@pytest.fixture(scope="module")
def expected(folder):
    """The masks, decoded from the file by pycocotools."""
    content = json.loads((folder / "results/annotations/baseline.json").read_bytes())
    return [coco_mask.decode(entry["segmentation"]) for entry in content["annotations"]]


@pytest.fixture(scope="module")
def content(folder):
    return json.loads((folder / "results/annotations/baseline.json").read_bytes())


def iou(first, second):
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    return (first & second).sum() / (first | second).sum()


def stated(folder, form):
    return read_note(folder / "results/exports" / form / "baseline").about["iou_mean"]


def test_there_are_snippets_for_all():
    others = {"polygons", "pandas", "pyarrow", "duckdb", "mlcroissant", "skimage"}
    assert {*OF_MASKS, *others, *ELSEWHERE} == {*SNIPPETS, "fiftyone"}


@pytest.mark.parametrize("name", [*OF_MASKS, "fiftyone"])
def test_a_library_finds_the_same_masks(name, folder, expected, monkeypatch, proven):
    masks = run_snippet(name, folder, monkeypatch)["masks"]
    assert len(masks) == len(expected) > 20

    def in_order(found):
        return sorted((mask.shape, np.asarray(mask, np.uint8).tobytes()) for mask in found)

    assert in_order(masks) == in_order(expected)
    proven(name, len(masks), "equal")


def test_polygons_have_the_stated_iou(folder, content, expected, monkeypatch):
    scope = run_snippet("polygons", folder, monkeypatch)
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    ious = []
    for outlines, entry, mask in zip(scope["outlines"], content["annotations"], expected, strict=True):
        code = coco_mask.merge(coco_mask.frPyObjects(outlines, *sizes[entry["image_id"]]))
        ious.append(iou(coco_mask.decode(code), mask))
    assert 1 - scope["lost"] == pytest.approx(np.mean(ious))


def visible_by_picture(folder):
    """Pixels by label, by picture, as the table of labels says."""
    table = pd.read_csv(folder / "results/exports/labels/baseline/labels.csv")
    table = table[table.visible_px > 0]
    return {name: dict(zip(rows.label, rows.visible_px, strict=True)) for name, rows in table.groupby("label_file")}


def test_skimage_measures_what_the_table_of_labels_says(folder, content, monkeypatch, proven):
    scope = run_snippet("skimage", folder, monkeypatch)
    visible = {row.annotation_id: row.visible_px for row in scope["table"].itertuples() if row.visible_px}
    assert scope["areas"] == visible
    assert list(scope["table"].annotation_id) == [entry["id"] for entry in content["annotations"]]
    proven("skimage", len(visible), "equal where visible")


def test_napari_shows_what_the_table_of_labels_says(folder, monkeypatch, proven):
    pixels = run_snippet("napari", folder, monkeypatch)["pixels"]
    shown = {name: {label: n for label, n in found.items() if label} for name, found in pixels.items()}
    assert {name: found for name, found in shown.items() if found} == visible_by_picture(folder)
    proven("napari", sum(map(len, shown.values())), "equal where visible")


def test_geopandas_has_the_areas_and_pixels_of_the_masks(folder, content, expected, monkeypatch, proven):
    scope = run_snippet("geopandas", folder, monkeypatch)
    assert scope["areas"] == {entry["id"]: entry["area"] for entry in content["annotations"]}
    for entry, mask in zip(content["annotations"], expected, strict=True):
        assert np.array_equal(scope["masks"][entry["id"]], mask)
    proven("geopandas", len(scope["masks"]), "equal")


def test_labelme_draws_the_masks(folder, content, expected, monkeypatch, proven):
    masks = run_snippet("labelme", folder, monkeypatch)["masks"]
    exact = run_snippet("labelme", folder, monkeypatch, exact_form("labelme"))["masks"]
    assert sorted(masks) == sorted(exact) == [entry["id"] for entry in content["annotations"]]
    for entry, mask in zip(content["annotations"], expected, strict=True):
        assert np.array_equal(exact[entry["id"]], mask)
    ious = [iou(masks[entry["id"]], mask) for entry, mask in zip(content["annotations"], expected, strict=True)]
    assert np.mean(ious) == pytest.approx(stated(folder, "labelme"))
    proven("labelme", len(masks), f"mean IoU {np.mean(ious):.3f}")
    proven("labelme", len(exact), "equal (shapes: mask)")


def exact_form(form):
    return lambda text: text.replace(f"exports/{form}/", f"exports/{form}_exact/")


def test_label_studio_accepts_the_predictions(folder, expected, monkeypatch, proven):
    assert run_snippet("label_studio_sdk", folder, monkeypatch)["errors"] == []
    scope = run_snippet("label_studio_sdk", folder, monkeypatch, exact_form("label_studio"))
    assert scope["errors"] == []
    for found, mask in zip(scope["masks"], expected, strict=True):
        assert np.array_equal(found > 0, mask)
    proven("label_studio_sdk", len(expected), f"mean IoU {stated(folder, 'label_studio'):.3f}")
    proven("label_studio_sdk", len(scope["masks"]), "equal (shapes: mask)")


def test_ultralytics_trains_on_all_masks(folder, content, expected, monkeypatch, proven):
    scope = run_snippet("ultralytics", folder, monkeypatch)
    names = FileNames()
    stems = {image["id"]: names.of(image) for image in content["images"]}
    pairs = list(zip(content["annotations"], expected, strict=True))
    by_stem = [(stem, [mask for one, mask in pairs if one["image_id"] == key]) for key, stem in stems.items()]
    drawn = {str(Path(file).with_suffix("")).split("/images/")[1]: masks for file, masks in scope["masks"].items()}
    assert scope["n_masks"] == len(expected)
    assert all(np.isfinite(loss) for loss in scope["losses"].values())
    ious = [iou(*pair) for stem, masks in by_stem for pair in zip(drawn[stem], masks, strict=True)]
    assert np.mean(ious) == pytest.approx(stated(folder, "yolo"))
    proven("ultralytics", len(ious), f"trains; mean IoU {np.mean(ious):.3f}")


def test_tables_are_read_by_pandas_pyarrow_and_duckdb_alike(folder, monkeypatch):
    counts = pd.read_parquet(folder / "results/statistics/mask_counts.parquet")
    table = run_snippet("pandas", folder, monkeypatch)["table"]
    iou_thresh, stability = table.index[0], table.columns[0]
    of_both = counts[(counts.pred_iou_thresh == iou_thresh) & (counts.stability_score_thresh == stability)]
    assert table.loc[iou_thresh, stability] == of_both.n_masks.mean()
    scope = run_snippet("pyarrow", folder, monkeypatch)
    assert scope["loose"].num_rows == (counts.pred_iou_thresh < 0.8).sum()
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
