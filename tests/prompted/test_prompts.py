"""Prompts from files: which are read or refused and why, and the whole job from a COCO file of boxes to masks."""

import json
import shutil
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import skimage.data
from pycocotools.coco import COCO

from maskgrid.cli.main import main
from maskgrid.config.models import Config
from maskgrid.config.prompts import PromptConfig
from maskgrid.dataset.annotations.object_sources import Entry, read_source
from maskgrid.dataset.annotations.objects import Prompt, PromptRow, PromptStatus, pixels_of
from maskgrid.dataset.pixels.look import Look
from maskgrid.dataset.tables import IndexedImage
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint
from maskgrid.io.tables import write_table
from maskgrid.masks import rle
from maskgrid.plan.plan import make_plan
from maskgrid.prompted.prompt import _image_values, _Work
from maskgrid.prompted.prompts import KnownImage, resolve, source_path
from maskgrid.prompted.statistics import agreement, statistics_table, summary_line
from maskgrid.prompted.tables import PROMPTS, ShardedPrompt, prompts_table, read_prompts, read_unsharded
from maskgrid.results.forecast import plan_text
from workflow import snakemake

HEIGHT, WIDTH = 20, 30
IMAGE = KnownImage("ok", HEIGHT, WIDTH, "all")
SQUARE = np.zeros((HEIGHT, WIDTH), np.bool_)
SQUARE[5:15, 10:20] = True
CODE = rle.encode(SQUARE)
RLE = rle.compressed(CODE, (HEIGHT, WIDTH))
POLYGON = [[10, 5, 20, 5, 20, 15, 10, 15]]


def entry(**values):
    return Entry(image_key="a.png", source_id="1", **values)


def resolved(folder=None, normalized=False, image=IMAGE, **values):
    return resolve(entry(**values), image, 0, normalized, folder)


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"box": [1, 1, 1, 5]}, "no_area", "has no area"),
        ({"box": [5, 5, 2, 9]}, "no_area", "has no area"),
        ({"box": [5, 5, 0, 9], "box_form": "xywh"}, "no_area", "has no area"),
        ({"box": [30, 0, 40, 10]}, "outside_image", "lies outside the image (30 x 20)"),
        ({"box": [-9, -9, 0, 0]}, "outside_image", "lies outside"),
        ({"box": [1, 2, 3]}, "malformed", "a box is four numbers, not [1, 2, 3]"),
        ({"box": [1, 2, "3", 4]}, "malformed", "a list of numbers is needed"),
        ({"box": [1, 2, 3, float("nan")]}, "malformed", "no finite number"),
        ({"box": [1, 2, 3, 10**400]}, "malformed", "lists of one length"),
        ({"box": None, "box_form": "xywh"}, "malformed", "not None"),
        ({"point_coords": [[1, 2], [31, 2]]}, "outside_image", "the point [31.0, 2.0] lies outside"),
        ({"point_coords": [[1, -0.1]]}, "outside_image", "lies outside"),
        ({"point_coords": [1, 2]}, "malformed", "points are a list of [x, y]"),
        ({"point_coords": [[1, 2, 3]]}, "malformed", "points are a list of [x, y]"),
        ({"point_coords": [[1, 2], [3]]}, "malformed", "lists of one length"),
        ({"point_coords": []}, "malformed", "a list of numbers is needed"),
        ({"point_coords": "1, 2"}, "malformed", "a list of numbers is needed"),
        ({"point_coords": [[1, 2]], "point_labels": [2]}, "wrong_label", "labels are 1 (on the object) or 0"),
        ({"point_coords": [[1, 2]], "point_labels": [-1]}, "wrong_label", "labels are 1"),
        ({"point_coords": [[1, 2]], "point_labels": [True]}, "wrong_label", "labels are 1"),
        ({"point_coords": [[1, 2]], "point_labels": [1, 0]}, "wrong_label", "1 points need as many labels"),
        ({"box": [1, 1, 5, 5], "point_labels": [1]}, "wrong_label", "there are labels, and no points"),
        ({"mask": {**RLE, "size": [WIDTH, HEIGHT]}}, "malformed_mask", "the mask's size is [30, 20]"),
        ({"mask": {**RLE, "counts": RLE["counts"][:-1]}}, "malformed_mask", "run"),
        ({"mask": {**RLE, "counts": "\x01"}}, "malformed_mask", "a character out of range"),
        ({"mask": {**RLE, "counts": "é"}}, "malformed_mask", "text or a list of numbers"),
        ({"mask": {**RLE, "counts": [599]}}, "malformed_mask", "add up to 20 x 30 pixels"),
        ({"mask": {**RLE, "counts": [700, -100]}}, "malformed_mask", "add up to 20 x 30 pixels"),
        ({"mask": {**RLE, "counts": [600]}}, "empty_mask", "no pixel"),
        ({"mask": {"counts": RLE["counts"]}}, "malformed_mask", "the mask's size is None"),
        ({"mask": [[1, 2, 3, 4]]}, "malformed_mask", "at least three points"),
        ({"mask": [[1, 2, 3, 4, 5, 1e12]]}, "malformed_mask", "far outside the image"),
        ({"mask": [[40, 40, 45, 40, 45, 45]]}, "empty_mask", "no pixel"),
        ({"mask": []}, "empty_mask", "an empty list"),
        ({"mask": 7}, "malformed_mask", "not int"),
        ({"mask": "nowhere.png"}, "malformed_mask", "there is no file nowhere.png"),
        ({"mask": "other_size.png"}, "malformed_mask", "(30, 21) pixels, and the image (30, 20)"),
        ({"mask": "black.png"}, "empty_mask", "no pixel"),
        ({"mask": "text.png"}, "malformed_mask", "text.png cannot be read"),
        ({"box": [1, 1, 5, 5], "is_crowd": True}, "crowd", "a crowd"),
        ({"broken": "the line is no JSON object"}, "malformed", "the line is no JSON object"),
        ({}, "no_prompt", "no points, no box and no mask"),
    ],
)
def test_bad_prompts_are_rows_with_a_reason(tmp_path, values, status, words):
    PIL.Image.new("L", (WIDTH, HEIGHT + 1), 255).save(tmp_path / "other_size.png")
    PIL.Image.new("L", (WIDTH, HEIGHT), 0).save(tmp_path / "black.png")
    (tmp_path / "text.png").write_text("no picture")
    row = resolved(tmp_path, **values)
    assert row.status == status
    assert words in row.message
    assert row.prompt is None


@pytest.mark.parametrize(
    ("image", "status", "words"),
    [
        (None, "unknown_image", "the dataset has no image 'a.png'"),
        (KnownImage("truncated", None, None, None), "bad_image", "the image cannot be used: truncated"),
    ],
)
def test_prompts_of_unusable_images_are_rows_too(image, status, words):
    row = resolved(image=image, box=[1, 1, 5, 5])
    assert (row.status, row.prompt) == (status, None)
    assert words in row.message


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"box": [-2, 3, 8, 9]}, "box"),
        ({"point_coords": [[0, 0], [30, 20]], "point_labels": [1, 0]}, "points"),
        ({"box": [1, 1, 5, 5], "point_coords": [[2, 3]]}, "box+points"),
        ({"mask": RLE}, "mask"),
        ({"mask": RLE, "point_coords": [[2, 3]]}, "points+mask"),
        ({"mask": RLE, "box": [1, 1, 5, 5], "point_coords": [[2, 3]]}, "box+points+mask"),
    ],
)
def test_every_combination_is_a_prompt(values, kind):
    row = resolved(**values)
    assert (row.status, row.prompt.kind) == ("ok", kind)


@pytest.mark.parametrize("form", ["compressed", "bytes", "uncompressed", "polygon", "grey", "rgba", "palette"])
def test_every_form_of_mask_gives_the_same_code(tmp_path, form):
    grey = PIL.Image.fromarray(SQUARE.view(np.uint8) * 255)
    grey.save(tmp_path / "grey.png")
    PIL.Image.merge("RGBA", [grey, grey, grey, PIL.Image.new("L", grey.size, 255)]).save(tmp_path / "rgba.png")
    palette = PIL.Image.fromarray(SQUARE.view(np.uint8) * 3, "P")
    palette.putpalette([0, 0, 0] * 256)
    palette.save(tmp_path / "palette.png")
    forms = {
        "compressed": RLE,
        "bytes": {**RLE, "counts": CODE},
        "uncompressed": rle.uncompressed(CODE, (HEIGHT, WIDTH)),
        "polygon": POLYGON,
    }
    row = resolved(tmp_path, mask=forms.get(form, f"{form}.png"))
    assert row.message is None
    assert np.array_equal(rle.decode(row.prompt.mask_counts, (HEIGHT, WIDTH)), SQUARE)
    assert row.reference_counts == row.prompt.mask_counts


def test_boxes_and_points_may_be_normalised():
    row = resolved(normalized=True, box=[0.1, 0.5, 0.2, 0.25], box_form="xywh", point_coords=[[0.5, 1.0]])
    in_pixels = pixels_of(row.prompt, (HEIGHT, WIDTH))
    np.testing.assert_allclose(in_pixels.box_xyxy, [3, 10, 9, 15])
    np.testing.assert_allclose(in_pixels.point_coords, [[15, 20]])
    assert resolved(normalized=True, box=[1, 1, 5, 5]).status == "outside_image"


def coco_file(path, annotations, **more):
    images = [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "b.png"}]
    categories = [{"id": 3, "name": "cup", "supercategory": "kitchen"}]
    content = {"images": images, "categories": categories, "annotations": annotations, **more}
    path.write_text(json.dumps(content))
    return path


ANNOTATION = {"id": 55, "image_id": 7, "category_id": 3, "bbox": [10, 5, 10, 10], "segmentation": RLE, "iscrowd": 0}


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        ("box", "box"),
        ("mask", "mask"),
        ("center_point", "points"),
        ("box_and_point", "box+points"),
        ("box_and_mask", "box+mask"),
        ("mask_and_point", "points+mask"),
    ],
)
def test_coco_annotations_are_used_as_the_config_says(tmp_path, use, kind):
    (found,) = read_source(coco_file(tmp_path / "c.json", [ANNOTATION]), use).entries
    row = resolve(found, IMAGE, 0, False, tmp_path)
    assert (row.image_key, row.source_id, row.category_id, row.category) == ("a.png", "55", 3, "cup")
    assert (row.status, row.prompt.kind) == ("ok", kind)
    # The mask is kept for comparison, even if it is not used as a prompt.
    assert row.reference_counts == CODE
    if "points" in kind:
        assert row.prompt.point_coords.tolist() == [[15.0, 10.0]]
    if "box" in kind:
        assert row.prompt.box_xyxy.tolist() == [10, 5, 20, 15]


@pytest.mark.parametrize(
    ("changes", "use", "status"),
    [
        ({"image_id": 99}, "box", "malformed"),
        ({"image_id": [1]}, "box", "malformed"),
        ({"category_id": 4}, "box", "ok"),
        ({"bbox": None}, "box", "malformed"),
        ({"bbox": [10, 5, 0, 10]}, "center_point", "no_area"),
        ({"iscrowd": 1}, "box", "crowd"),
        ({"segmentation": []}, "mask", "empty_mask"),
        ({"segmentation": []}, "box", "ok"),
        ({"segmentation": [[1, 2]]}, "box", "ok"),
    ],
)
def test_bad_coco_annotations(tmp_path, changes, use, status):
    (found,) = read_source(coco_file(tmp_path / "c.json", [{**ANNOTATION, **changes}]), use).entries
    row = resolve(found, IMAGE, 0, False, tmp_path)
    assert row.status == status
    if changes.get("segmentation") == [[1, 2]]:
        assert row.reference_counts is None
        assert "not compared with the source's mask" in row.message


ROWS = [
    {"image": "a.png", "object_id": "x1", "category": "cup", "box_xyxy": [1, 2, 11, 12]},
    {"image": "a.png", "object_id": "x2", "box_xywh": [1, 2, 10, 10], "point_coords": [[3, 4], [5, 6]]},
    {"image": "b.png", "object_id": "x3", "point_coords": [[3, 4]], "point_labels": [1]},
    {"image": "b.png", "object_id": "x4", "mask": RLE},
]


def write_csv(path):
    text = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in ROWS]
    pd.DataFrame(text).to_csv(path, index=False)


def write_parquet(path):
    pd.DataFrame(ROWS).to_parquet(path)


def write_jsonl(path):
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_jsonl])
def test_tables_of_every_format_give_the_same_prompts(tmp_path, write):
    path = tmp_path / f"prompts.{write.__name__.removeprefix('write_')}"
    write(path)
    entries = read_source(path, "box").entries
    rows = [resolve(found, IMAGE, 0, False, tmp_path) for found in entries]
    assert [row.status for row in rows] == ["ok"] * 4
    assert [row.prompt.kind for row in rows] == ["box", "box+points", "points", "mask"]
    assert [row.source_id for row in rows] == ["x1", "x2", "x3", "x4"]
    assert [row.category for row in rows] == ["cup", None, None, None]
    assert rows[1].prompt.box_xyxy.tolist() == [1, 2, 11, 12]
    assert rows[1].prompt.point_labels.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ('{"image": "a.png", "box_xyxy": [1, 2', "malformed", "the line is no valid JSON"),
        ("[1, 2]", "malformed", "the line is no JSON object"),
        ('{"image": 5, "box_xyxy": [1, 2, 3, 4]}', "malformed", "the column 'image' is 5"),
        ('{"image": "a.png", "box_xyxy": "(1, 2)"}', "malformed", "the column 'box_xyxy' is no valid JSON"),
        ('{"image": "a.png", "box_xyxy": [1, 2, 3, 4], "box_xywh": [1, 2, 3, 4]}', "malformed", "are both given"),
        ('{"image": "a.png"}', "no_prompt", "no points"),
    ],
)
def test_bad_rows_of_a_table_do_not_affect_others(tmp_path, line, status, words):
    path = tmp_path / "prompts.jsonl"
    path.write_text(f'{line}\n{{"image": "a.png", "box_xyxy": [1, 2, 3, 4]}}\n')
    bad, good = (resolve(found, IMAGE, 0, False, tmp_path) for found in read_source(path, "box").entries)
    assert (bad.status, good.status) == (status, "ok")
    assert words in bad.message
    assert (bad.source_id, good.source_id) == ("1", "2")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.json", "{", "not valid JSON"),
        ("p.json", "[]", "not a COCO file: it has no list 'images'"),
        ("p.json", '{"images": [], "annotations": 3}', "no list 'annotations'"),
        ("p.csv", "picture,box_xyxy\n", "needs a column 'image' and one of point_coords"),
        ("p.csv", "image,boxes\n", "needs a column 'image' and one of point_coords"),
        ("p.csv", 'image,box_xyxy\n"a', "not valid CSV"),
        ("p.parquet", "x", "not a valid Parquet"),
        ("absent.csv", None, "No such file"),
    ],
)
def test_files_that_cannot_be_read_are_clear_errors(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=words):
        read_source(tmp_path / name, "box")


def test_prompts_survive_a_round_trip_through_their_table(tmp_path):
    rows = [
        resolved(box=[1.1, 2.2, 8.7, 9.9], point_coords=[[0.1, 0.2]], mask=RLE),
        resolved(normalized=True, point_coords=[[0.1, 1 / 3], [1, 0]], point_labels=[0, 1]),
        resolved(box=[1, 1, 1, 1]),
    ]
    rows = [PromptRow(**{**{n: getattr(r, n) for n in r.__slots__}, "prompt_index": i}) for i, r in enumerate(rows)]
    lost = resolved(image=None, box=[1, 1, 5, 5])
    table = prompts_table([ShardedPrompt(lost, None), *(ShardedPrompt(row, "all") for row in reversed(rows))])
    assert table.schema == PROMPTS
    write_table(tmp_path / "prompts.parquet", table, {"fingerprint": fingerprint({})})
    read = read_prompts(tmp_path / "prompts.parquet", "all")
    assert list(map(repr, read)) == list(map(repr, rows))
    assert [row.status for row in read_unsharded(tmp_path / "prompts.parquet")] == ["unknown_image"]


def test_agreement_is_counted_in_pixels():
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[5:15, 10:15] = True
    prompt = Prompt(box_xyxy=np.array([10.0, 5.0, 20.0, 15.0]))
    found = agreement(rle.encode(mask), prompt, CODE, (HEIGHT, WIDTH))
    assert (found.box_iou, found.mask_iou, found.area_over_box, found.area_over_mask) == (0.5, 0.5, 0.5, 0.5)
    # A box that extends beyond the edge is clipped to the image before comparing.
    beyond = Prompt(box_xyxy=np.array([10.0, 5.0, 99.0, 15.0]))
    assert agreement(rle.encode(mask), beyond, None, (HEIGHT, WIDTH)).box_iou == 0.25
    nothing = agreement(rle.encode(np.zeros_like(mask)), prompt, CODE, (HEIGHT, WIDTH))
    assert (nothing.box_iou, nothing.mask_iou) == (0.0, 0.0)


def test_statistics_use_each_prompts_best_mask_and_list_the_worst_first():
    def row(index, status="ok", predicted_iou=None, box_iou=None, mask_iou=None):
        empty = dict.fromkeys(
            ("category_id", "category", "kind", "message", "area_px", "area_over_box", "area_over_mask")
        )
        return {
            **empty,
            "setting_id": "0",
            "image_key": "a.png",
            "prompt_index": index,
            "source_id": str(index),
            "status": status,
            "predicted_iou": predicted_iou,
            "box_iou": box_iou,
            "mask_iou": mask_iou,
        }

    rows = [
        row(0, predicted_iou=0.5, box_iou=0.9),
        row(0, predicted_iou=0.75, box_iou=0.25),
        row(1, predicted_iou=0.9, box_iou=0.1, mask_iou=0.8),
        row(2, "outside_image"),
        row(3, "no_mask", predicted_iou=0.9, box_iou=0.0),
        row(4, predicted_iou=0.5),
    ]
    table = statistics_table(rows)
    assert table["prompt_index"].to_pylist() == [3, 0, 4, 1, 2]
    assert table["agreement"].to_pylist() == [0.0, 0.25, 0.5, 0.8, None]
    line = summary_line(table)
    assert line.startswith("5 prompts: 3 ok, ")
    assert "mean IoU with the source's masks 0.8000 (1)" in line
    assert summary_line(statistics_table([])) == "0 prompts: none"


def test_image_names_are_normalised_like_keys(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"image": "./sub//a.png", "box_xyxy": [1, 2, 3, 4]}')
    assert [found.image_key for found in read_source(path, "box").entries] == ["sub/a.png"]


def test_the_plan_names_the_source(tmp_path):
    plan = make_plan(Config(prompts=PromptConfig(source="boxes.json")), tmp_path, tmp_path / "results")
    assert "prompts   boxes.json; not started" in plan_text(plan)


def test_the_demos_prompts_need_the_demos_images(tmp_path):
    plan = make_plan(Config(dataset={"source": "photos"}, prompts={"source": "demo"}), tmp_path, tmp_path)
    with pytest.raises(UserError, match=r"use it only with dataset\.source: demo"):
        source_path(plan)


def test_commands_without_the_section_are_errors(tmp_path):
    plan = make_plan(Config(), tmp_path, tmp_path / "results")
    assert plan.config.prompts is None
    (tmp_path / "config.yaml").write_text("generator: {points_per_side: 1}\n")
    assert main(["prompts", "--config", str(tmp_path / "config.yaml")]) == 2


def test_defaults_match_sam2():
    import inspect

    from sam2.sam2_image_predictor import SAM2ImagePredictor

    ours = PromptConfig(source="demo").model_dump()
    for function in (SAM2ImagePredictor.__init__, SAM2ImagePredictor.predict):
        for name, parameter in inspect.signature(function).parameters.items():
            if name in ours:
                assert ours.pop(name) == parameter.default
    assert {"mask_threshold", "max_hole_area", "max_sprinkle_area", "multimask_output"}.isdisjoint(ours)


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """A dataset of four images in two or more shards, with a table of boxes; commands run in this process."""
    (tmp_path / "images").mkdir()
    for number in range(4):
        pixels = np.ascontiguousarray(skimage.data.coffee()[50 * number :, 100:][::5, ::5][:HEIGHT, :WIDTH])
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    rows = [{"image": f"{number}.png", "category": "cup", "box_xyxy": [2, 2, 20, 12]} for number in range(4)]
    pd.DataFrame(rows).to_json(tmp_path / "boxes.jsonl", orient="records", lines=True)
    (tmp_path / "config.yaml").write_text("{dataset: {source: images, shard_size: 2}, prompts: {source: boxes.jsonl}}")
    monkeypatch.chdir(tmp_path)
    assert main(["index"]) == main(["prompts"]) == 0
    return tmp_path


def shards_of(folder):
    return pd.read_parquet(folder / "results/dataset/shards.parquet")["shard"].tolist()


def test_a_shard_with_unchanged_prompts_keeps_its_file(by_hand):
    paths = {shard: by_hand / "results/prompted" / f"{shard}.parquet" for shard in shards_of(by_hand)}
    assert len(paths) > 1
    assert [main(["prompt", "--shard", shard]) for shard in paths] == [0] * len(paths)
    before = {shard: path.stat().st_ino for shard, path in paths.items()}
    with (by_hand / "boxes.jsonl").open("a") as stream:
        stream.write('{"image": "0.png", "object_id": "new", "box_xyxy": [1, 1, 9, 9]}\n')
    assert main(["prompts"]) == 0
    assert [main(["prompt", "--shard", shard]) for shard in paths] == [0] * len(paths)
    changed = [shard for shard, path in paths.items() if path.stat().st_ino != before[shard]]
    assert len(changed) == 1
    assert "new" in pd.read_parquet(paths[changed[0]])["source_id"].tolist()
    assert main(["prompt-merge"]) == 0
    assert json.loads((by_hand / "results/prompted/annotations.json").read_text())["categories"] == [
        {"id": 1, "name": "cup"},
        {"id": 2, "name": "object"},
    ]


def test_thresholds_are_swept_like_the_generators(by_hand, capsys):
    rows = (by_hand / "boxes.jsonl").read_text().splitlines()
    (by_hand / "boxes.jsonl").write_text("\n".join([*rows, '{"image": "gone.png", "box_xyxy": [2, 2, 9, 9]}']))
    sweep = {
        "grid": {"mask_threshold": [-1.0, 0.0, 1.0], "multimask_output": [True, False]},
        "points": [{"name": "tidy", "max_hole_area": 8, "max_sprinkle_area": 8}],
        "exclude": [{"mask_threshold": 1.0, "multimask_output": False}],
    }
    config = {"dataset": {"source": "images", "shard_size": 2}, "prompts": {"source": "boxes.jsonl", "sweep": sweep}}
    (by_hand / "config.yaml").write_text(json.dumps(config))
    assert [main(["prompts"]), *(main(["prompt", "--shard", shard]) for shard in shards_of(by_hand))] == [0, 0, 0]
    capsys.readouterr()
    assert main(["prompt-merge"]) == 0
    assert "tidy" in capsys.readouterr().out
    settings = pd.read_parquet(by_hand / "results/prompted/settings.parquet").set_index("setting")
    assert len(settings) == 6
    assert settings.index[0] == "baseline"
    statistics = pd.read_parquet(by_hand / "results/prompted/statistics.parquet")
    assert statistics.groupby("setting").size().to_dict() == dict.fromkeys(settings.index, 5)
    # Each setting gives the same results as a run with this setting alone.
    for label, row in settings.iterrows():
        of_setting = statistics[statistics["setting"] == label]
        assert row["box_iou_mean"] == pytest.approx(of_setting["box_iou"].mean())
        names = ["mask_threshold", "multimask_output", "max_hole_area", "max_sprinkle_area"]
        alone = {**config, "prompts": {"source": "boxes.jsonl", **row[names].to_dict()}}
        (by_hand / "alone.yaml").write_text(json.dumps(alone))
        options = ["--config", "alone.yaml", "--results", "alone"]
        shutil.rmtree("alone", ignore_errors=True)
        assert [main([name, *options]) for name in ("index", "prompts")] == [0, 0]
        assert [main(["prompt", "--shard", shard, *options]) for shard in shards_of(by_hand)] == [0, 0]
        for shard in shards_of(by_hand):
            together = pd.read_parquet(by_hand / f"results/prompted/{shard}.parquet")
            mine = together[together["setting_id"] == row["setting_id"]].reset_index(drop=True)
            other = pd.read_parquet(by_hand / f"alone/prompted/{shard}.parquet")
            assert mine.to_json() == other.to_json()
    # The COCO file and the picture show the baseline.
    assert len(json.loads((by_hand / "results/prompted/annotations.json").read_text())["annotations"]) == 4


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"grid": {"mask_treshold": [0.0]}}, "prompts.sweep.grid.mask_treshold: unknown parameter; did you mean"),
        (
            {"grid": {"prompts_per_batch": [1, 2]}},
            "changes no mask and cannot be swept",
        ),
        ({"points": [{"max_hole_area": -1}]}, "prompts.sweep.points[0].max_hole_area"),
        ({}, "prompts.sweep: the sweep is empty"),
    ],
)
def test_mistakes_in_a_sweep_of_prompts_stop_before_any_work(tmp_path, sweep, words):
    config = Config.model_validate({"prompts": {"source": "boxes.json", "sweep": sweep}})
    with pytest.raises(UserError) as caught:
        make_plan(config, tmp_path, tmp_path / "results")
    assert words in str(caught.value)


def test_a_killed_shard_continues_after_its_last_image(by_hand, monkeypatch):
    from maskgrid.prompted.prompter import Prompter

    shard = pd.read_parquet(by_hand / "results/dataset/shards.parquet").nlargest(1, "n_images")["shard"].item()
    run, seen = Prompter.run_settings, []

    def killed(self, image, prompts, settings):
        seen.append(len(prompts))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return run(self, image, prompts, settings)

    monkeypatch.setattr(Prompter, "run_settings", killed)
    assert main(["prompt", "--shard", shard]) == 130
    path = by_hand / "results/prompted" / f"{shard}.parquet"
    assert not path.exists()
    assert main(["prompt", "--shard", shard]) == 0
    assert len(seen) == 3  # the first image once, the second twice
    resumed = path.read_bytes()
    path.unlink()
    assert main(["prompt", "--shard", shard]) == 0
    assert path.read_bytes() == resumed


def test_an_image_changed_since_the_index_gets_a_status(by_hand):
    PIL.Image.new("RGB", (WIDTH, HEIGHT), "red").save(by_hand / "images/0.png")
    for shard in shards_of(by_hand):
        assert main(["prompt", "--shard", shard]) == 0
    assert main(["prompt-merge"]) == 0
    table = pd.read_parquet(by_hand / "results/prompted/statistics.parquet").set_index("image_key")
    assert table.loc["0.png", "status"] == "bad_image"
    assert "bad_image" not in table.drop("0.png")["status"].tolist()


def test_the_picture_skips_images_changed_since(by_hand):
    for shard in shards_of(by_hand):
        assert main(["prompt", "--shard", shard]) == 0
    for path in (by_hand / "images").iterdir():
        PIL.Image.new("RGB", (WIDTH + 1, HEIGHT), "red").save(path)
    assert main(["prompt-merge"]) == 0
    assert "ok" in pd.read_parquet(by_hand / "results/prompted/statistics.parquet")["status"].tolist()
    with PIL.Image.open(by_hand / "results/prompted/worst.jpg") as picture:
        red, _, blue = np.asarray(picture).reshape(-1, 3).mean(0)
    assert abs(red - blue) < 5


def test_merging_before_a_shard_exists_says_what_to_run(by_hand, capsys):
    assert main(["prompt-merge"]) == 2
    assert "run maskgrid prompt --shard" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", '{"image": "nowhere.png", "box_xyxy": [1, 1, 9, 9]}'])
def test_a_source_without_a_usable_prompt_is_an_error(by_hand, capsys, content):
    (by_hand / "boxes.jsonl").write_text(content)
    assert main(["prompts"]) == 2
    assert "can be used" in (message := capsys.readouterr().err)
    assert "for instance '0.png'" in message


@pytest.mark.parametrize("part", [{"box_xyxy": [0.1, 0.2, 0.8, 0.9]}, {"point_coords": [[0.5, 0.5]]}])
def test_fractions_taken_for_pixels_are_an_error(by_hand, capsys, part):
    (by_hand / "boxes.jsonl").write_text(json.dumps({"image": "0.png", **part}))
    assert main(["prompts"]) == 2
    assert "set prompts.normalized: true" in capsys.readouterr().err


def prompt_rows(folder, images, annotations):
    (folder / "c.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    (folder / "config.yaml").write_text(json.dumps({"dataset": {"source": "images"}, "prompts": {"source": "c.json"}}))
    assert main(["prompts"]) == 0
    return pd.read_parquet(folder / "results/prompted/prompts.parquet").set_index("source_id").to_dict("index")


def test_coco_files_as_other_tools_write_them(by_hand):
    decomposed = unicodedata.normalize("NFD", "Müller.png")
    (by_hand / "images/0.png").rename(by_hand / "images" / decomposed)
    assert main(["index"]) == 0
    note = {"category_id": 3.0, "bbox": [2, 2, 18, 10], "score": float("nan")}
    rows = prompt_rows(
        by_hand,
        [
            {"id": 1.0, "file_name": "1.png"},
            {"id": "2", "file_name": "images/2.png"},
            {"id": 3, "file_name": "Müller.png"},
            {"id": 4, "file_name": "3.png", "width": str(WIDTH + 1), "height": float(HEIGHT)},
        ],
        [{"id": number, "image_id": number, **note} for number in range(1, 6)],
    )
    statuses = {number: row["status"] for number, row in rows.items()}
    assert statuses == {"1": "ok", "2": "ok", "3": "ok", "4": "other_size", "5": "malformed"}
    assert [rows[number]["image_key"] for number in "123"] == ["1.png", "2.png", decomposed]
    assert rows["1"]["category_id"] == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"images": [{"id": 1, "file_name": "1.png"}, {"id": 1.0, "file_name": "2.png"}]},
            "images: entries 1 ('1.png') and 2 ('2.png') have the same id, 1,",
        ),
        (
            {"categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "pan"}, {"id": 1.0, "name": "pot"}]},
            "categories: entries 1 ('cup') and 3 ('pot') have the same id, 1,",
        ),
        (
            {"categories": [{"id": "c", "name": "cup"}, {"id": "c", "name": "pot"}]},
            "categories: entries 1 ('cup') and 2 ('pot') have the same id, c,",
        ),
    ],
)
def test_one_id_for_two_names_is_an_error(by_hand, capsys, content, words):
    (by_hand / "c.json").write_text(json.dumps({"images": [], "annotations": [], **content}))
    (by_hand / "config.yaml").write_text(json.dumps({"dataset": {"source": "images"}, "prompts": {"source": "c.json"}}))
    assert main(["prompts"]) == 2
    message = capsys.readouterr().err
    assert "prompts.source: " in message
    assert "c.json: " + words in message


def test_a_column_that_is_there_twice_is_an_error(by_hand, capsys):
    (by_hand / "c.csv").write_text('image,box_xyxy,category,category\n1.png,"[1, 1, 9, 9]",cup,pot\n')
    (by_hand / "config.yaml").write_text(json.dumps({"dataset": {"source": "images"}, "prompts": {"source": "c.csv"}}))
    assert main(["prompts"]) == 2
    assert "c.csv has the column 'category' twice; keep one" in capsys.readouterr().err


def test_pictures_of_the_runs_own_results_are_no_prompts(by_hand):
    PIL.Image.fromarray(np.full((HEIGHT, WIDTH), 255, np.uint8)).save(by_hand / "mask.png")
    (by_hand / "results/tracked").mkdir()
    shutil.copy(by_hand / "mask.png", by_hand / "results/tracked/mask.png")
    masks = ["mask.png", "results/tracked/mask.png", "images/../results/tracked/mask.png"]
    rows = [{"image": "1.png", "object_id": str(number), "mask": mask} for number, mask in enumerate(masks)]
    pd.DataFrame(rows).to_json(by_hand / "boxes.jsonl", orient="records", lines=True)
    assert main(["prompts"]) == 0
    found = pd.read_parquet(by_hand / "results/prompted/prompts.parquet")
    assert found["status"].tolist() == ["ok", "malformed", "malformed"]
    assert "own results" in found["message"][1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of only the prompted job, on three photographs and a COCO file with good and bad boxes."""
    folder = tmp_path_factory.mktemp("prompted")
    (folder / "images").mkdir()
    names = ["coffee.png", "sub/astronaut.png", "rocket.png"]
    images = []
    for image_id, name in enumerate(names, start=1):
        pixels = getattr(skimage.data, name.rpartition("/")[2].removesuffix(".png"))()[::4, ::4]
        (folder / "images" / name).parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "images" / name)
        images.append({"id": image_id, "file_name": name})
    annotations = [
        {"id": 10 * image_id + number, "image_id": image_id, "category_id": 3, "bbox": [5 + 30 * number, 8, 40, 50]}
        for image_id in (2, 1, 3)
        for number in range(2)
    ]
    annotations += [
        {"id": 900, "image_id": 1, "category_id": 3, "bbox": [5, 5, 0, 9]},
        {"id": 901, "image_id": 4, "category_id": 3, "bbox": [5, 5, 9, 9]},
    ]
    coco_file(folder / "boxes.json", annotations, images=[*images, {"id": 4, "file_name": "gone.png"}])
    run = snakemake(folder, CONFIG, "prompted")
    assert run.code == 0, run.output
    return folder


CONFIG = {
    "dataset": {"source": "images"},
    "prompts": {"source": "boxes.json", "keep": "all"},
}


def test_a_file_of_boxes_gives_a_file_of_masks(finished, demo_model):
    """pycocotools reads the COCO file, and its masks are those of sam2's predictor."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    from maskgrid.network.predictor import fit_feature_sizes

    coco = COCO(str(finished / "results/prompted/annotations.json"))
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [
        "coffee.png",
        "rocket.png",
        "sub/astronaut.png",
    ]
    assert coco.loadCats(3) == [{"id": 3, "name": "cup", "supercategory": "kitchen"}]
    predictor = SAM2ImagePredictor(demo_model)
    fit_feature_sizes(predictor)
    found = {(row["source_id"], row["mask_index"]): row for row in coco.dataset["annotations"]}
    assert len(found) == len(coco.dataset["annotations"]) > 6
    assert sorted(coco.anns) == list(range(1, len(found) + 1))
    boxes = {row["id"]: row for row in json.loads((finished / "boxes.json").read_text())["annotations"]}
    for image in coco.dataset["images"]:
        predictor.set_image(np.array(PIL.Image.open(finished / "images" / image["file_name"])))
        for source_id in {row["source_id"] for row in coco.imgToAnns[image["id"]]}:
            x, y, w, h = boxes[source_id]["bbox"]
            masks, scores, _ = predictor.predict(box=np.array([x, y, x + w, y + h]))
            for index, (mask, score) in enumerate(zip(masks.astype(bool), scores, strict=True)):
                row = found.get((source_id, index))
                assert (row is None) == (not mask.any())
                if row is not None:
                    assert np.array_equal(coco.annToMask(row).astype(bool), mask)
                    assert np.float32(row["predicted_iou"]) == score
                    assert row["prompt"] == {"kind": "box", "box_xyxy": [x, y, x + w, y + h]}


def test_statistics_have_a_row_per_prompt_and_a_picture(finished):
    table = pd.read_parquet(finished / "results/prompted/statistics.parquet")
    assert len(table) == 8
    by_id = table.set_index("source_id")
    assert by_id.loc["900", "status"] == PromptStatus.NO_AREA
    assert by_id.loc["901", "status"] == PromptStatus.UNKNOWN_IMAGE
    agreements = table["agreement"].dropna().tolist()
    assert agreements == sorted(agreements)
    with PIL.Image.open(finished / "results/prompted/worst.jpg") as picture:
        assert picture.format == "JPEG"
        assert np.asarray(picture).std() > 10


def test_a_changed_source_reruns_only_the_prompted_job(finished):
    assert "Nothing to be done" in snakemake(finished, CONFIG, "prompted", "-n").output
    with (finished / "boxes.json").open("a") as stream:
        stream.write("\n")
    planned = snakemake(finished, CONFIG, "prompted", "-n").planned
    assert planned == {"prompts": 1, "prompt": 1, "prompt_merge": 1, "prompted": 1, "total": 4}


def test_a_changed_mask_image_is_read_again(tmp_path):
    (tmp_path / "images").mkdir()
    PIL.Image.new("RGB", (WIDTH, HEIGHT), "red").save(tmp_path / "images" / "a.png")
    mask = PIL.Image.new("L", (WIDTH, HEIGHT), 255)
    mask.save(tmp_path / "mask.png")
    (tmp_path / "masks.csv").write_text("image,mask\na.png,mask.png\n")
    config = {"dataset": CONFIG["dataset"], "prompts": {"source": "masks.csv"}}
    assert snakemake(tmp_path, config, "prompted").code == 0
    assert "Nothing to be done" in snakemake(tmp_path, config, "prompted", "-n").output
    mask.putpixel((0, 0), 0)
    mask.save(tmp_path / "mask.png")
    planned = snakemake(tmp_path, config, "prompted", "-n").planned
    assert planned == {"prompts": 1, "prompt": 1, "prompt_merge": 1, "prompted": 1, "total": 4}


def test_without_the_section_none_of_its_rules_run(finished):
    planned = snakemake(finished, {"dataset": CONFIG["dataset"]}, "-n").planned
    assert planned
    assert not {"prompts", "prompt", "prompt_merge"} & set(planned)


def test_prompts_on_an_image_that_is_read_in_windows_say_what_to_do():
    look = Look(bands=(1,), low=(0.0,), high=(255.0,), shrink=1)
    image = IndexedImage("a.tif", 1, Path("a.tif"), "0" * 64, 300, 200, None, look)
    prompt = Prompt(box_xyxy=np.array([1.0, 2.0, 30.0, 40.0]))
    row = PromptRow("a.tif", 0, "1", None, None, prompt, None, "ok", None)
    work = _Work([SimpleNamespace(id="setting", config=None)], 1000, lambda: None)
    (found,) = _image_values(image, [row], None, work)
    assert found["status"] == "too_large"
    assert found["message"].startswith("300 x 200 pixels, more than max_pixels allows (1000)")
    assert found["message"].endswith("raise dataset.max_pixels, or cut the image into parts")
