import contextlib
import io
import json
import math
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from made_results import make_results
from maskgrid.automatic import annotations as coco
from maskgrid.automatic import candidate_reader as kept_layers
from maskgrid.automatic import kept_masks as kept
from maskgrid.automatic.kept_masks import KeptMasks
from maskgrid.automatic.mask_generator import mask_records
from maskgrid.automatic.merge import merge_annotations, merge_setting
from maskgrid.io.errors import UserError
from maskgrid.io.tables import open_table, read_table, write_table
from maskgrid.masks.coco import MergeCounts
from maskgrid.masks.rle import encode
from maskgrid.plan.layout import Layout
from maskgrid.plan.passes import setting_runs
from synthetic import CHECKPOINT, kept_by_image, make_images, setting, write_dataset

SETTINGS = [
    setting("baseline"),
    setting("all", pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0, crop_nms_thresh=1.0),
    setting("clean", min_mask_region_area=6),
    setting("unchanged", min_mask_region_area=1),  # no effect: no mask has holes or islands smaller than a pixel
    setting("level", mask_threshold=1.5, stability_score_offset=0.5),
    setting("none", pred_iou_thresh=1.0),
    setting("runs", output_mode="uncompressed_rle", crop_n_layers=0),
    setting("pixels", pred_iou_thresh=0.25, output_mode="binary_mask"),
]
IMAGES = make_images(8)
GOOD = sorted((image for image in IMAGES if image.status == "ok"), key=lambda image: image.key)


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Layout:
    return write_dataset(tmp_path_factory.mktemp("one"), IMAGES, SETTINGS, lambda key: "s")


def merged(wanted, layout: Layout) -> bytes:
    path = layout.annotations(wanted.label)
    merge_annotations(wanted, layout, path)
    return path.read_bytes()


def load(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.mark.parametrize("wanted", SETTINGS, ids=lambda setting: setting.label)
def test_pycocotools_reads_the_replays_masks(layout, wanted):
    path = layout.annotations(wanted.label)
    counts = merge_annotations(wanted, layout, path)
    loaded = load(path)
    total = 0
    for image_id, image in enumerate(GOOD, start=1):
        entry = loaded.imgs[image_id]
        assert (entry["file_name"], entry["height"], entry["width"]) == (image.key, *image.size_hw)
        annotations = loaded.loadAnns(loaded.getAnnIds(imgIds=image_id))
        selection = image.select(wanted)
        records = mask_records(selection, wanted.generator.model_copy(update={"output_mode": "binary_mask"}))
        assert len(annotations) == len(records)
        for annotation, record in zip(annotations, records, strict=True):
            total += 1
            assert annotation["id"] == total
            assert np.array_equal(loaded.annToMask(annotation), record["segmentation"])
            assert annotation["area"] == record["segmentation"].sum()
            code = coco_mask.encode(np.asfortranarray(record["segmentation"].view(np.uint8)))
            assert annotation["bbox"] == coco_mask.toBbox(code).tolist()
            assert annotation["crop_box"] == record["crop_box"]
            for name in ("predicted_iou", "stability_score"):
                assert np.float32(annotation[name]) == np.float32(record[name])
                assert annotation["attributes"][name] == annotation[name]
            assert annotation["score"] == annotation["predicted_iou"]
            assert np.array_equal(np.float32(annotation["point_coords"]), np.float32(record["point_coords"]))
            assert (annotation["category_id"], annotation["iscrowd"]) == (1, 0)
    assert counts == MergeCounts(len(GOOD), total)
    assert len(loaded.anns) == total
    assert len(loaded.imgs) == len(GOOD)
    assert (total == 0) == (wanted.label == "none")


def test_the_form_of_masks_follows_the_output_mode(layout):
    forms = {}
    for wanted in SETTINGS:
        annotations = json.loads(merged(wanted, layout))["annotations"]
        forms[wanted.label] = {type(one["segmentation"]["counts"]) for one in annotations}
    assert forms["baseline"] == forms["pixels"] == {str}
    assert forms["runs"] == {list}


@pytest.mark.parametrize("n_shards", [2, 3, 50])
def test_shards_do_not_change_a_byte(tmp_path, layout, n_shards):
    other = write_dataset(tmp_path, IMAGES[::-1], SETTINGS, lambda key: f"s{crc32(key.encode()) % n_shards}")
    for wanted in SETTINGS[1:5]:
        assert merged(wanted, other) == merged(wanted, layout)


@pytest.mark.parametrize(("n_rows", "n_masks"), [(1, 1), (7, 5), (50, 3), (3, 50)])
def test_the_batch_size_of_reading_does_not_matter(layout, monkeypatch, n_rows, n_masks):
    whole = [merged(wanted, layout) for wanted in SETTINGS]
    monkeypatch.setattr(kept_layers, "open_table", partial(open_table, n_rows=n_rows))
    monkeypatch.setattr(kept, "_MASKS_AT_ONCE", n_masks)
    assert [merged(wanted, layout) for wanted in SETTINGS] == whole


def test_rows_in_another_order_are_sorted(tmp_path, layout):
    other = write_dataset(tmp_path, IMAGES, SETTINGS, lambda key: "s")
    table = read_table(other.selections("s"))
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    write_table(other.selections("s"), shuffled, {}, rows_in_group=9)
    for wanted in SETTINGS:
        assert merged(wanted, other) == merged(wanted, layout)


@given(st.permutations(range(3)), st.integers(0, 5))
@hypothesis_settings(max_examples=4, deadline=None)
def test_the_order_and_names_of_shards_do_not_matter(layout, tmp_path_factory, names, seed):
    images = make_images(4, n_points=3, seed=seed)
    root = tmp_path_factory.mktemp("named")
    one = write_dataset(root / "one", images, SETTINGS[:1], lambda key: "s")
    many = write_dataset(root / "many", images, SETTINGS[:1], lambda key: f"{names[crc32(key.encode()) % 3]}")
    assert merged(SETTINGS[0], many) == merged(SETTINGS[0], one)


def test_each_line_holds_one_annotation(layout):
    lines = merged(SETTINGS[0], layout).splitlines()
    start = lines.index(b'"annotations": [') + 1
    n_annotations = len(json.loads(b"\n".join(lines))["annotations"])
    entries = [orjson.loads(line.removesuffix(b",")) for line in lines[start : start + n_annotations]]
    assert [entry["id"] for entry in entries] == list(range(1, n_annotations + 1))
    assert lines[start + n_annotations :] == [b"]", b"}"]


def test_info_names_the_setting(layout):
    info = json.loads(merged(SETTINGS[4], layout))["info"]
    assert (info["setting_id"], info["setting_names"]) == (SETTINGS[4].id, ["level"])
    assert info["parameters"] == SETTINGS[4].parameters_on()
    assert info["checkpoint_id"] == CHECKPOINT


def test_without_good_images_the_file_is_empty(tmp_path):
    layout = write_dataset(tmp_path, IMAGES[-1:], SETTINGS[:1], lambda key: "s")
    content = json.loads(merged(SETTINGS[0], layout))
    assert (content["images"], content["annotations"]) == ([], [])
    assert content["categories"] == [{"id": 1, "name": "object", "supercategory": "object"}]


def test_an_image_that_went_bad_loses_its_masks(tmp_path):
    layout = write_dataset(tmp_path, IMAGES, SETTINGS[:1], lambda key: "s")
    before = json.loads(merged(SETTINGS[0], layout))
    rows = pq.read_table(layout.images).to_pylist()
    rows = [row | {"status": "unreadable"} if row["image_key"] == GOOD[0].key else row for row in rows]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(layout.images)), layout.images)
    after = json.loads(merged(SETTINGS[0], layout))
    assert [one["file_name"] for one in after["images"]] == [image.key for image in GOOD[1:]]
    kept = [one["segmentation"] for one in before["annotations"] if one["image_id"] != 1]
    assert [one["segmentation"] for one in after["annotations"]] == kept
    assert [one["id"] for one in after["annotations"]] == list(range(1, len(kept) + 1))
    assert len(kept) < len(before["annotations"])


def test_no_temporary_files_are_left(layout):
    merged(SETTINGS[0], layout)
    assert {path.suffix for path in layout.annotations("x").parent.iterdir()} == {".json"}


def test_candidates_of_another_run_are_refused(tmp_path):
    layout = write_dataset(tmp_path, IMAGES, SETTINGS[:1], lambda key: "s")
    path = layout.candidates(setting_runs(SETTINGS[0])[0], "s")
    table = pq.read_table(path)
    column = table.column_names.index("candidate_id")
    other = pa.array(table["candidate_id"].to_numpy() + 1)
    pq.write_table(table.set_column(column, table.schema.field("candidate_id"), other), path)
    with pytest.raises(UserError, match="candidates that pass crop0-grid4 does not have"):
        merged(SETTINGS[0], layout)
    assert not layout.annotations("baseline").exists()


def test_a_level_that_was_not_recorded_is_refused(tmp_path):
    layout = write_dataset(tmp_path, IMAGES, SETTINGS[:1], lambda key: "s")
    stray = setting("stray", mask_threshold=0.25)
    table = pq.read_table(layout.selections("s")).to_pylist()
    rows = [row | {"setting_id": stray.id} for row in table if row["setting_id"] == SETTINGS[0].id]
    schema = pq.read_schema(layout.selections("s"))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), layout.selections("s"))
    with pytest.raises(UserError, match="without a level that setting stray needs"):
        list(kept_by_image(stray, layout, "s"))


def test_masks_of_images_that_differ_from_the_index_are_refused(tmp_path):
    plan = make_results(tmp_path)
    with pytest.raises(UserError, match=r"d0\.parquet: has other images than the index"):
        merge_setting(plan, "baseline")


def made_masks(score: np.float32) -> KeptMasks:
    return KeptMasks(
        image_keys=["a"],
        size_hw=np.array([[2, 3]], np.int32),
        n_masks=np.array([1]),
        counts=[encode(np.ones((2, 3), np.bool_))],
        area_px=np.array([6]),
        predicted_iou=np.array([score], np.float32),
        stability_score=np.array([1.0], np.float32),
        point_xy=np.array([[score, 1.5]], np.float32),
        crop_box_xyxy=np.array([[0, 0, 3, 2]], np.int32),
        box_xyxy=np.array([[0, 0, 2, 1]], np.int32),
    )


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_scores_are_read_back_bit_for_bit(score):
    (text,) = coco.annotation_lines(made_masks(np.float32(score)), [1], "coco_rle")
    read = json.loads(b"{" + text)
    for number in (read["score"], read["attributes"]["predicted_iou"], read["point_coords"][0][0]):
        assert np.float32(number).tobytes() == np.float32(score).tobytes()
    assert len(repr(read["score"])) <= len(repr(score))


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_nan_score_is_refused(score):
    with pytest.raises(ValueError, match="not a finite number"):
        coco.annotation_lines(made_masks(np.float32(score)), [1], "coco_rle")
