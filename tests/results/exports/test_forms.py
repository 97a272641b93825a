"""The exports that are folders: the same masks or the stated loss, the same bytes; stale ones are found."""

import base64
import csv
import io
import json
import shutil
import subprocess
import sys
import tarfile

import cv2
import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import tifffile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from scipy import ndimage

from made_results import make_config
from made_truth import make_plan_with_truth, masks_as_objects
from maskgrid.automatic.merge import merge_setting
from maskgrid.cli.results import FORMS
from maskgrid.config.exports import FOLDER_FORMS as ALL_FOLDER_FORMS
from maskgrid.config.exports import OPTIONS
from maskgrid.config.models import Config
from maskgrid.io.errors import UserError
from maskgrid.masks.rle import encode
from maskgrid.masks.windows import decode_rows
from maskgrid.results.exports.label_studio import brush_code
from maskgrid.results.exports.labels import label_file
from maskgrid.results.exports.listing import WORDS
from maskgrid.results.exports.note import read_note
from maskgrid.results.exports.outlines import (
    centre_outlines,
    code_with_holes,
    drawn_area,
    drawn_iou,
    drawn_with_holes,
    joined,
    polygons_with_holes,
)
from maskgrid.results.exports.painting import paint_labels
from maskgrid.results.exports.source import FileNames
from maskgrid.results.exports.stage import export_prompted, export_setting
from maskgrid.results.leftovers import leftovers, tidy
from maskgrid.results.verify import verify_results

# A geopackage needs GeoTIFFs; test_maps.py has them.
FOLDER_FORMS = tuple(form for form in ALL_FOLDER_FORMS if form != "geopackage")
MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def with_exports(plan, *exports):
    values = plan.config.model_dump(mode="json") | {"exports": list(exports)}
    return type(plan)(Config.model_validate(values), plan.base_dir, plan.layout, plan.settings, plan.runs)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    config = make_config(annotations=["baseline"]).model_copy(update={"exports": FOLDER_FORMS})
    made = make_plan_with_truth(tmp_path_factory.mktemp("forms"), masks_as_objects, config)
    merge_setting(made, "baseline")
    for form in FOLDER_FORMS:
        export_setting(made, "baseline", form)
    return made


@pytest.fixture(scope="module")
def coco(plan):
    return json.loads(plan.layout.annotations("baseline").read_bytes())


def decoded(entry):
    return coco_mask.decode(entry["segmentation"]).astype(bool)


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def opened(path):
    """A picture whose file is closed."""
    return PIL.Image.open(io.BytesIO(path.read_bytes()))


def folder_of(plan, form):
    return plan.layout.export(form, "baseline")


def test_every_form_has_options_a_writer_and_a_command():
    assert set(FORMS) == set(WORDS) == set(OPTIONS) - {"card"}
    assert set(ALL_FOLDER_FORMS) == set(OPTIONS) - {"card", "sa1b", "polygons"}


def test_exports_do_not_wait_for_torch():
    code = "import sys, maskgrid.results.exports.stage; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_labels_are_the_masks_where_they_win(plan, coco):
    rows = rows_of(folder_of(plan, "labels") / "labels.csv")
    by_id = {entry["id"]: entry for entry in coco["annotations"]}
    assert [int(row["annotation_id"]) for row in rows] == list(by_id)
    for row in rows:
        picture = np.asarray(opened(folder_of(plan, "labels") / row["label_file"]))
        shown = picture == int(row["label"])
        assert shown.sum() == int(row["visible_px"])
        assert not (shown & ~decoded(by_id[int(row["annotation_id"])])).any()
        assert picture.dtype == np.uint16
    for image in coco["images"]:
        mine = [entry for entry in coco["annotations"] if entry["image_id"] == image["id"]]
        if mine:
            name = next(row["label_file"] for row in rows if int(row["image_id"]) == image["id"])
            covered = np.asarray(opened(folder_of(plan, "labels") / name)) > 0
            assert np.array_equal(covered, np.any([decoded(entry) for entry in mine], axis=0))


@pytest.mark.parametrize(
    ("order", "winner"), [("smallest_first", 2), ("best_score_first", 3), ("largest_first", 1)], ids=str
)
def test_the_order_decides_who_has_a_pixel(order, winner):
    def entry(mask, score):
        code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        segmentation = {"size": code["size"], "counts": code["counts"].decode()}
        return {"segmentation": segmentation, "area": int(mask.sum()), "score": score}

    masks = [np.zeros((5, 7), bool) for _ in range(3)]
    masks[0][:, :] = masks[1][2, 2:4] = masks[2][1:4, 1:5] = True
    labels = paint_labels(
        [entry(mask, score) for mask, score in zip(masks, (0.5, 0.6, 0.9), strict=True)], (5, 7), order
    )
    assert labels[2, 2] == winner
    assert (labels > 0).all()


def test_more_masks_than_16_bits_make_a_tiff():
    labels = np.array([[0, 70_000]], np.uint32)
    name, content = label_file("a", labels, 70_000)
    assert name == "a.tif"
    assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(content))), labels)
    assert np.array_equal(tifffile.imread(io.BytesIO(content)), labels)


@pytest.mark.parametrize("strip_px", [1, 700, 10**6])
@pytest.mark.parametrize("form", ["labels", "panoptic", "labels in 32 bits"])
def test_pictures_larger_than_memory_are_written_in_strips(plan, tmp_path, monkeypatch, form, strip_px):
    form, _, is_wide = form.partition(" ")
    if is_wide:
        monkeypatch.setattr("maskgrid.results.exports.labels._MOST_16_BIT", -1)
    export_setting(plan, "baseline", form)
    whole = tmp_path / "whole"
    shutil.copytree(folder_of(plan, form), whole)
    monkeypatch.setattr("maskgrid.results.exports.painting._MOST_AT_ONCE_PX", 0)
    monkeypatch.setattr("maskgrid.results.exports.painting._STRIP_PX", strip_px)
    export_setting(plan, "baseline", form)
    paths = sorted(path.relative_to(whole) for path in whole.rglob("[!.]*") if path.is_file())
    assert len(paths) > 1
    for path in paths:
        one, other = whole / path, folder_of(plan, form) / path
        if path.suffix not in (".png", ".tif"):
            assert other.read_bytes() == one.read_bytes()
            continue
        pixels = np.asarray(opened(other))
        np.testing.assert_array_equal(pixels, np.asarray(opened(one)))
        assert opened(other).mode == opened(one).mode
        reread = cv2.imread(str(other), cv2.IMREAD_UNCHANGED) if path.suffix == ".png" else tifffile.imread(other)
        np.testing.assert_array_equal(reread if reread.ndim == 2 else reread[..., ::-1], pixels)
    monkeypatch.undo()
    export_setting(plan, "baseline", form)


@given(MASKS, st.integers(1, 5), st.data())
def test_rows_of_a_mask_are_a_cut_of_it(mask, n_rows, data):
    top = data.draw(st.integers(0, len(mask) - 1))
    bottom = min(top + n_rows, len(mask))
    part, (first_row, left) = decode_rows(encode(mask), mask.shape, (top, bottom))
    found = np.zeros((bottom - top, mask.shape[1]), bool)
    found[:, left : left + part.shape[1]] = part
    assert first_row == top
    np.testing.assert_array_equal(found, mask[top:bottom])


def test_panoptic_segments_are_those_in_the_picture(plan, coco):
    content = json.loads((folder_of(plan, "panoptic") / "panoptic.json").read_bytes())
    assert content["images"] == coco["images"]
    for image, about in zip(content["images"], content["annotations"], strict=True):
        assert about["image_id"] == image["id"]
        rgb = np.asarray(opened(folder_of(plan, "panoptic") / "panoptic" / about["file_name"])).astype(int)
        ids = rgb @ [1, 256, 256**2]
        assert set(np.unique(ids)) - {0} == {segment["id"] for segment in about["segments_info"]}
        for segment in about["segments_info"]:
            ys, xs = np.nonzero(ids == segment["id"])
            assert segment["area"] == len(ys)
            assert segment["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]


def test_yolo_draws_the_masks_with_the_stated_iou(plan, coco):
    """As Ultralytics draws them: cv2.fillPoly on coordinates cut to integers."""
    folder, ious = folder_of(plan, "yolo"), []
    assert yaml.safe_load((folder / "data.yaml").read_text())["names"] == {0: "object"}
    listed = (folder / "train.txt").read_text().splitlines()
    assert len(listed) == len(coco["images"])
    assert listed == (folder / "val.txt").read_text().splitlines()
    for image, name in zip(coco["images"], listed, strict=True):
        size = opened(folder / name).size
        assert size == (image["width"], image["height"])
        lines = (folder / name.replace("images", "labels", 1)).with_suffix(".txt").read_text().splitlines()
        entries = [entry for entry in coco["annotations"] if entry["image_id"] == image["id"]]
        for line, entry in zip(lines, entries, strict=True):
            numbers = np.array(line.split()[1:], float).reshape(-1, 2)
            assert len(numbers) >= 3
            assert ((numbers > 0) & (numbers < 1)).all()
            drawn = drawn_area([(numbers * size).astype(np.int32)], (image["height"], image["width"]))
            ious.append(iou(drawn, decoded(entry)))
    about = read_note(folder).about
    assert about["n_masks"] == len(ious) == len(coco["annotations"])
    assert about["iou_mean"] == pytest.approx(np.mean(ious))
    assert about["iou_min"] == pytest.approx(min(ious))


def test_a_split_by_hash_puts_each_image_in_one_list(plan, coco, tmp_path):
    export_setting(plan, "baseline", "yolo", OPTIONS["yolo"](val_fraction=0.5, pictures="copy"))
    folder = folder_of(plan, "yolo")
    lists = [(folder / f"{name}.txt").read_text().splitlines() for name in ("train", "val")]
    assert len(set(lists[0]) | set(lists[1])) == len(lists[0]) + len(lists[1]) == len(coco["images"])
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    export_setting(plan, "baseline", "yolo")


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_polygons_with_holes_draw_the_mask_exactly(mask):
    polygons = polygons_with_holes(mask)
    assert np.array_equal(drawn_with_holes(polygons, mask.shape), mask)
    assert not polygons or code_with_holes(polygons, mask.shape) == encode(mask)
    for polygon in polygons:
        for ring in polygon:
            corners = [tuple(corner) for corner in ring.tolist()]
            assert len(set(corners)) == len(corners) >= 4


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_centre_outlines_draw_the_mask_without_its_holes(mask):
    # A hole is background that is not 4-connected with the outside.
    lines, filled = centre_outlines(mask), ndimage.binary_fill_holes(mask)
    assert len(lines) == ndimage.label(filled, np.ones((3, 3)))[1]
    assert all(len(line) >= 3 for line in lines)
    assert np.array_equal(drawn_area(lines, mask.shape), filled)
    assert not lines or drawn_iou(lines, encode(filled), mask.shape) == 1.0
    assert not mask.any() or (drawn_area([joined(lines)], mask.shape) >= filled).all()


@pytest.mark.parametrize("files", ["per_image", "one"])
def test_geojson_has_each_mask_with_its_holes(plan, coco, files):
    export_setting(plan, "baseline", "geojson", OPTIONS["geojson"](files=files))
    paths = list(folder_of(plan, "geojson").rglob("*.geojson"))
    assert len(paths) == (1 if files == "one" else len(coco["images"]))
    features = [one for path in paths for one in json.loads(path.read_bytes())["features"]]
    by_id = {one["properties"]["annotation_id"]: one["geometry"] for one in features}
    assert len(by_id) == len(features) == len(coco["annotations"])
    for entry in coco["annotations"]:
        geometry = by_id[entry["id"]]
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        rings = [[np.array(ring[:-1]) for ring in polygon] for polygon in polygons]
        assert np.array_equal(drawn_with_holes(rings, decoded(entry).shape), decoded(entry))


def test_y_goes_up_for_qgis(plan):
    def lowest():
        path = next(folder_of(plan, "geojson").rglob("0*.geojson"), None) or next(
            path for path in folder_of(plan, "geojson").rglob("*.geojson") if json.loads(path.read_bytes())["features"]
        )
        numbers = json.dumps(json.loads(path.read_bytes())["features"][0]["geometry"]["coordinates"])
        return min(float(word) for word in numbers.replace("[", " ").replace("]", " ").replace(",", " ").split())

    export_setting(plan, "baseline", "geojson", OPTIONS["geojson"](y_axis="up"))
    assert lowest() < 0
    export_setting(plan, "baseline", "geojson")
    assert lowest() >= 0


@pytest.mark.parametrize("shapes", ["mask", "polygon"])
def test_labelme_has_each_mask(plan, coco, shapes):
    export_setting(plan, "baseline", "labelme", OPTIONS["labelme"](shapes=shapes))
    paths = [path for path in folder_of(plan, "labelme").rglob("*.json") if not path.name.startswith(".")]
    groups = set()
    by_id = {entry["id"]: entry for entry in coco["annotations"]}
    for path in paths:
        content = json.loads(path.read_bytes())
        size = opened(path.parent / content["imagePath"]).size
        assert size == (content["imageWidth"], content["imageHeight"])
        for shape in content["shapes"]:
            groups.add(shape["group_id"])
            if shapes == "mask":
                (left, top), (right, bottom) = shape["points"]
                found = np.zeros(size[::-1], bool)
                part = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
                found[top : bottom + 1, left : right + 1] = part > 0
                assert np.array_equal(found, decoded(by_id[shape["group_id"]]))
    assert len(paths) == len(coco["images"])
    assert groups == set(by_id)
    export_setting(plan, "baseline", "labelme")


def unpacked(code):
    """Label Studio's own decoder, from its description."""
    bits = "".join(f"{byte:08b}" for byte in code)
    place = 0

    def take(n):
        nonlocal place
        place += n
        return int(bits[place - n : place], 2)

    n_values, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < n_values:
        is_run, size = take(1), sizes[take(2)]
        length = take(size) + 1
        values += [take(word)] * length if is_run else [take(word) for _ in range(length)]
    return values


@settings(max_examples=50, deadline=None)
@given(MASKS)
def test_the_brush_code_is_read_back(mask):
    values = np.array(unpacked(brush_code(encode(mask), mask.shape))).reshape(*mask.shape, 4)
    assert np.array_equal(values, np.repeat(mask[..., None], 4, axis=-1) * 255)


def test_label_studio_has_a_task_an_image(plan, coco):
    tasks = json.loads((folder_of(plan, "label_studio") / "tasks.json").read_bytes())
    assert [task["data"]["file_name"] for task in tasks] == [image["file_name"] for image in coco["images"]]
    results = [one for task in tasks for one in task["predictions"][0]["result"]]
    assert {int(one["id"].split("-")[0]) for one in results} == {entry["id"] for entry in coco["annotations"]}
    assert all(0 <= number <= 100 for one in results for point in one["value"]["points"] for number in point)


def test_cutouts_are_the_pixels_of_the_masks(plan, coco):
    rows = rows_of(folder_of(plan, "cutouts") / "cutouts.csv")
    with tarfile.open(folder_of(plan, "cutouts") / "cutouts.tar") as archive:
        files = {member.name: np.asarray(PIL.Image.open(archive.extractfile(member))) for member in archive}
    assert len(files) == len(rows) == len(coco["annotations"])
    for row, entry in zip(rows, coco["annotations"], strict=True):
        left, top, width, height = (int(side) for side in entry["bbox"])
        alpha = files[row["cutout"]][..., 3]
        assert np.array_equal(alpha > 0, decoded(entry)[top : top + height, left : left + width])


def test_webdataset_has_pictures_and_masks(plan, coco):
    export_setting(plan, "baseline", "webdataset", OPTIONS["webdataset"](images_per_file=2))
    masks, names = [], []
    for path in sorted(folder_of(plan, "webdataset").glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                names.append(member.name)
                if member.name.endswith(".json"):
                    masks += json.load(archive.extractfile(member))["annotations"]
    assert [one["segmentation"] for one in masks] == [one["segmentation"] for one in coco["annotations"]]
    keys = [name.split(".")[0] for name in names]
    assert keys[::2] == keys[1::2] == [f"{image['id']:012}" for image in coco["images"]]
    export_setting(plan, "baseline", "webdataset")


def test_masks_parquet_has_pictures_and_masks(plan, coco):
    (path,) = folder_of(plan, "masks_parquet").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    assert [row["file_name"] for row in rows] == [image["file_name"] for image in coco["images"]]
    for row in rows:
        assert PIL.Image.open(io.BytesIO(row["image"]["bytes"])).size == (row["width"], row["height"])
    codes = [code for row in rows for code in row["masks"]["counts"]]
    assert codes == [entry["segmentation"]["counts"] for entry in coco["annotations"]]


@pytest.mark.parametrize("form", FOLDER_FORMS)
def test_writing_again_gives_the_same_bytes(plan, form):
    folder = folder_of(plan, form)

    def content():
        return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    before = content()
    export_setting(plan, "baseline", form)
    assert content() == before


@pytest.mark.parametrize("form", FOLDER_FORMS)
def test_a_picture_that_is_gone_is_told_and_stops_nothing(plan, form, caplog):
    images = plan.base_dir / "images"
    images.rename(images.with_name("gone"))
    try:
        told = export_setting(plan, "baseline", form)
    finally:
        images.with_name("gone").rename(images)
    needs_pictures = form not in ("labels", "panoptic", "geojson", "label_studio")
    assert bool(caplog.messages) == needs_pictures
    assert not needs_pictures or "n_pictures_gone" in told or "n_without" in told
    export_setting(plan, "baseline", form)


@pytest.mark.parametrize("form", ["cutouts", "webdataset", "masks_parquet"])
def test_a_picture_that_has_changed_is_not_given_to_the_masks(plan, form, caplog):
    picture = next((plan.base_dir / "images").iterdir())
    content = picture.read_bytes()
    PIL.Image.new("RGB", opened(picture).size, "red").save(picture)
    try:
        export_setting(plan, "baseline", form)
    finally:
        picture.write_bytes(content)
    assert len(caplog.messages) == 1
    assert "has changed since" in caplog.text
    export_setting(plan, "baseline", form)


@pytest.mark.parametrize("form", FOLDER_FORMS)
def test_verify_finds_stale_exports(plan, form):
    plan, folder = with_exports(plan, form), folder_of(plan, form)

    def found():
        return [(one.kind, one.path) for one in verify_results(plan) if one.path == folder]

    assert found() == []
    note = (folder / ".maskgrid.json").read_text()
    (folder / ".maskgrid.json").write_text(note.replace('"fingerprint": "', '"fingerprint": "0'))
    assert found() == [("stale", folder)]
    (folder / ".maskgrid.json").write_text(note.replace('"options": {', '"options": {"unknown": 1,').replace(",}", "}"))
    assert found() == [("stale", folder)]
    (folder / ".maskgrid.json").unlink()
    assert found() == [("foreign", folder)]
    (folder / ".maskgrid.json").write_text(note)
    one = next(path for path in folder.rglob("[!.]*") if not path.is_dir())
    one.rename(folder.parent / "away")
    assert found() == [("damaged", folder)]
    (folder.parent / "away").rename(one)
    (folder / "more").touch()  # a tool's own
    assert found() == []
    (folder / "more").unlink()
    (folder / ".snakemake_timestamp").touch()  # by Snakemake, in every folder that a rule wrote
    assert found() == []
    (folder / ".snakemake_timestamp").unlink()


def test_verify_finds_polygons_of_another_tolerance(plan):
    path = plan.layout.export("polygons", "baseline")
    export_setting(plan, "baseline", "polygons")
    for exports, kinds in ((["polygons"], []), ([{"polygons": {"tolerance_px": 1.0}}], ["stale"])):
        assert [one.kind for one in verify_results(with_exports(plan, *exports)) if one.path == path] == kinds
    path.unlink()


def test_tidy_removes_an_export_that_is_not_asked_for(plan):
    folder, kept = folder_of(plan, "labels"), folder_of(plan, "labels").with_name("kept")
    shutil.copytree(folder, kept)
    note = (kept / ".maskgrid.json").read_text()
    (kept / ".maskgrid.json").write_text(note.replace('"fingerprint": "', '"fingerprint": "0'))
    assert kept in leftovers(plan)
    shutil.rmtree(kept)
    tidy(with_exports(plan, "labels"))
    tidy(with_exports(plan))
    assert not folder.exists()
    export_setting(plan, "baseline", "labels")


def test_a_link_counts_as_a_file_and_nothing_in_the_size(plan):
    """Its own size is the length of a path of this machine."""
    note = read_note(folder_of(plan, "yolo"))
    files = [one for one in folder_of(plan, "yolo").rglob("[!.]*") if one.is_file()]
    assert note.n_files == len(files)
    assert note.size_bytes == sum(one.stat().st_size for one in files if not one.is_symlink())
    assert any(one.is_symlink() for one in files)


@pytest.mark.parametrize("form", ["polygons", *FOLDER_FORMS])
def test_masks_of_prompts_are_exported_too(plan, coco, form):
    """Prompted masks have classes, and neither a stability score nor a crop."""
    drop = ("stability_score", "crop_box", "point_coords", "attributes")
    entries = [
        {name: one[name] for name in one if name not in drop} | {"category_id": 7} for one in coco["annotations"]
    ]
    lines = plan.layout.annotations("baseline").read_text().splitlines()
    head = lines[: lines.index('"images": [')]
    head = [line if '"categories"' not in line else '"categories": [{"id":7,"name":"cell"}],' for line in head]
    images = [json.dumps(one) for one in coco["images"]]
    path = plan.layout.prompted_annotations
    path.parent.mkdir(exist_ok=True)
    lists = [
        '"images": [',
        ",\n".join(images),
        "],",
        '"annotations": [',
        ",\n".join(map(json.dumps, entries)),
        "]",
        "}",
    ]
    path.write_text("\n".join([*head, *lists]) + "\n")
    assert export_prompted(plan, form)
    written = plan.layout.prompted_export(form)
    assert written.exists()
    if form == "yolo":
        assert yaml.safe_load((written / "data.yaml").read_text())["names"] == {0: "cell"}
    shutil.rmtree(plan.layout.prompted_annotations.parent)


def test_names_of_files_are_unique_and_safe():
    names = FileNames()
    keys = ["a/b.jpg", "a/b.png", "A/B.gif", "<x>:?.png", "a/b_2.tif", ".hidden.jpg", f"{'ä' * 126}.jpg", "c\nd.jpg"]
    found = [names.of({"id": number, "file_name": key}) for number, key in enumerate(keys, 1)]
    assert found[:4] == ["a/b", "a/b_2", "A/B_3", "_x___"]
    assert len({name.casefold() for name in found}) == len(keys)
    assert all(len(name.encode()) < 250 and "\n" not in name for name in found)


def test_an_export_without_its_annotations_leaves_the_old_one(plan):
    folder, path = folder_of(plan, "labels"), plan.layout.annotations("baseline")
    path.rename(path.with_suffix(".away"))
    try:
        with pytest.raises(UserError, match="run maskgrid merge"):
            export_setting(plan, "baseline", "labels")
    finally:
        path.with_suffix(".away").rename(path)
    assert (folder / "labels.csv").is_file()
