"""Prompts as other tools write them, and prompt tables older than the config or the index."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import skimage.data

from maskgrid.cli.main import main
from maskgrid.dataset.annotations.mask_pictures import states_of
from maskgrid.dataset.annotations.object_sources import read_source
from maskgrid.prompted.prompts import KnownImage, resolve
from workflow import snakemake

HEIGHT, WIDTH = 40, 60
IMAGE = KnownImage("ok", HEIGHT, WIDTH, "all")
BOX = [5, 5, 30, 20]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three images, which becomes the working folder."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.ascontiguousarray(skimage.data.coffee()[60 * number :, 100:][::4, ::4][:HEIGHT, :WIDTH])
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(shard_size=100, **prompts):
    values = {"dataset": {"source": "images", "shard_size": shard_size}, "prompts": {"source": "boxes.json", **prompts}}
    Path("config.yaml").write_text(json.dumps(values))
    return values


def coco(images=None, annotations=None, **more):
    images = images or [{"id": number, "file_name": f"{number}.png"} for number in range(3)]
    annotations = annotations or [{"id": image["id"], "image_id": image["id"], "bbox": BOX} for image in images]
    Path("boxes.json").write_text(json.dumps({"images": images, "annotations": annotations, **more}))


def run_all():
    """Run all four stages; return their exit codes."""
    codes = [main([name]) for name in ("index", "prompts")]
    shards = pd.read_parquet("results/dataset/shards.parquet")["shard"]
    return [*codes, *(main(["prompt", "--shard", shard]) for shard in shards), main(["prompt-merge"])]


def statistics():
    return pd.read_parquet("results/prompted/statistics.parquet")


def document():
    return json.loads(Path("results/prompted/annotations.json").read_text())


def annotations():
    return document()["annotations"]


def test_another_shard_size_loses_no_prompt(folder):
    coco()
    for shard_size in (100, 1):
        run = snakemake(folder, config(shard_size), "prompted")
        assert run.code == 0, run.output
        assert statistics()["status"].tolist() == ["ok"] * 3
        assert len(annotations()) == 3
    assert run.finished["prompt"] == 3


@pytest.mark.parametrize(
    ("changes", "again", "words"),
    [
        ({"use": "center_point"}, [], "made with another prompts.use; run maskgrid prompts again"),
        ({"normalized": True}, [], "made with another prompts.normalized"),
        ({"shard_size": 1}, ["index"], "made with another index of the images"),
    ],
)
def test_an_outdated_prompt_table_is_refused(folder, capsys, changes, again, words):
    coco()
    config()
    assert [main([name]) for name in ("index", "prompts")] == [0, 0]
    config(**changes)
    assert [main([name]) for name in again] == [0] * len(again)
    shard = pd.read_parquet("results/dataset/shards.parquet")["shard"][0]
    assert main(["prompt", "--shard", shard]) == 2
    assert words in capsys.readouterr().err


def test_an_image_added_to_the_dataset_is_no_longer_unknown(folder, capsys):
    coco()
    config()
    (folder / "images/2.png").rename(folder / "2.png")
    assert set(run_all()) == {0}
    assert statistics()["status"].tolist() == ["ok", "ok", "unknown_image"]
    (folder / "2.png").rename(folder / "images/2.png")
    assert main(["index"]) == 0
    assert main(["prompt", "--shard", "all"]) == 2
    assert "run maskgrid prompts again" in capsys.readouterr().err
    assert set(run_all()) == {0}
    assert statistics()["status"].tolist() == ["ok"] * 3


@pytest.mark.parametrize("box", [[30, 20, 300, 200], [-300, -300, 310, 310], [20, 10, 90000, 70000], [-5, -5, 70, 50]])
def test_boxes_far_beyond_the_edge_are_drawn(folder, box):
    coco(annotations=[{"id": 1, "image_id": 0, "bbox": box}])
    config(mask_threshold=-1000.0)  # so that there is always a mask to draw
    assert set(run_all()) == {0}
    with PIL.Image.open("results/prompted/worst.jpg") as picture:
        orange = np.abs(np.asarray(picture, np.int32) - [255, 176, 0]).sum(-1) < 60
    assert orange.sum() > 20  # the part of the box inside the image


def test_a_changed_mask_image_outside_the_tables_folder_is_noticed(folder):
    for name in ("tables", "masks"):
        (folder / name).mkdir()
    (folder / "tables/p.jsonl").write_text('{"image": "0.png", "mask": "../masks/m.png"}')
    digests = [states_of(folder / "tables/p.jsonl")]
    for side in (10, 20):
        PIL.Image.fromarray(np.pad(np.full((side, side), 255, np.uint8), (0, 20))).save(folder / "masks/m.png")
        digests.append(states_of(folder / "tables/p.jsonl"))
    assert len(set(digests)) == 3


def test_ids_of_any_length_are_kept(folder):
    long, short = "20231015123456789012345", "184467440737095516"
    (folder / "boxes.csv").write_text(f'image,object_id,box_xywh\n0.png,{long},"{BOX}"\n1.png,{short},"{BOX}"\n')
    config(source="boxes.csv")
    assert set(run_all()) == {0}
    assert [annotation["source_id"] for annotation in annotations()] == [long, int(short)]


def test_images_may_be_named_by_absolute_or_unnormalised_paths(folder):
    absolute, detour = str(folder / "images/0.png"), "sub/../1.png"
    coco([{"id": 0, "file_name": absolute}, {"id": 1, "file_name": detour}])
    config()
    assert set(run_all()) == {0}
    assert sorted(statistics()["image_key"]) == ["0.png", "1.png"]
    (folder / "boxes.csv").write_text(f'image,box_xywh\n{absolute},"{BOX}"\n{detour},"{BOX}"\n')
    config(source="boxes.csv")
    assert main(["prompts"]) == 0


def test_unlisted_categories_are_kept(folder):
    boxes = [{"id": number, "image_id": number, "bbox": BOX} for number in range(3)]
    for box, category_id in zip(boxes, (7, 1, "b"), strict=True):
        box["category_id"] = category_id
    coco(annotations=boxes, categories=[{"id": 1, "name": "cup"}, {"id": "b", "name": "bowl"}])
    config()
    assert set(run_all()) == {0}
    assert dict(statistics()[["image_key", "category"]].to_numpy()) == {"0.png": "7", "1.png": "cup", "2.png": "bowl"}
    assert document()["categories"] == [{"id": 1, "name": "cup"}, {"id": 7, "name": "7"}, {"id": 8, "name": "bowl"}]
    assert [annotation["category_id"] for annotation in annotations()] == [7, 1, 8]


def test_the_default_category_does_not_repeat_a_name_from_the_source(folder):
    boxes = [{"id": 0, "image_id": 0, "bbox": BOX}, {"id": 1, "image_id": 1, "bbox": BOX, "category_id": 4}]
    coco(annotations=boxes, categories=[{"id": 4, "name": "object"}])
    config()
    assert set(run_all()) == {0}
    assert [annotation["category_id"] for annotation in annotations()] == [4, 4]


@pytest.mark.parametrize(
    ("size", "normalized", "status"),
    [
        ({"height": HEIGHT, "width": WIDTH}, False, "ok"),
        ({"height": WIDTH, "width": HEIGHT}, False, "other_size"),
        ({"height": 4 * HEIGHT, "width": 4 * WIDTH}, False, "other_size"),
        ({"height": 4 * HEIGHT, "width": 4 * WIDTH}, True, "ok"),
        ({"height": 0, "width": 0}, False, "ok"),
        ({"height": None}, False, "ok"),
    ],
)
def test_boxes_for_another_image_size_are_refused(folder, size, normalized, status):
    box = [0.1, 0.1, 0.5, 0.5] if normalized else BOX
    coco([{"id": 0, "file_name": "0.png", **size}], [{"id": 1, "image_id": 0, "bbox": box}])
    (found,) = read_source(folder / "boxes.json", "box").entries
    row = resolve(found, IMAGE, 0, normalized, folder)
    assert row.status == status
    if status != "ok":
        assert f"{size['width']} x {size['height']} pixels, and it has 60 x 40" in row.message


@pytest.mark.parametrize(
    "empty", [{"point_coords": [], "point_labels": []}, {"point_labels": []}, {"mask": []}, {"mask": ""}]
)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_empty_list_counts_as_missing(folder, empty, suffix):
    rows = pd.DataFrame([{"image": "0.png", "box_xyxy": [1, 1, 9, 9], **empty}])
    path = folder / f"boxes.{suffix}"
    rows.to_parquet(path) if suffix == "parquet" else rows.to_json(path, orient="records", lines=True)
    (found,) = read_source(path, "box").entries
    row = resolve(found, IMAGE, 0, False, folder)
    assert (row.status, row.prompt.kind) == ("ok", "box")


def test_a_byte_order_mark_is_ignored(folder):
    coco()
    text = (folder / "boxes.json").read_bytes()
    (folder / "boxes.json").write_bytes(b"\xef\xbb\xbf" + text)
    assert len(read_source(folder / "boxes.json", "box").entries) == 3
    (folder / "boxes.jsonl").write_bytes(b'\xef\xbb\xbf{"image": "0.png", "box_xyxy": [1, 1, 9, 9]}')
    (found,) = read_source(folder / "boxes.jsonl", "box").entries
    assert (found.image_key, found.broken) == ("0.png", None)


def test_csv_cells_may_be_long(folder):
    runs = [1] * (HEIGHT * WIDTH)
    code = json.dumps({"size": [HEIGHT, WIDTH], "counts": runs}) + " " * 200_000
    pd.DataFrame([{"image": "0.png", "mask": code}]).to_csv("masks.csv", index=False)
    (found,) = read_source(folder / "masks.csv", "box").entries
    assert resolve(found, IMAGE, 0, False, folder).status == "ok"


def test_the_mode_does_not_affect_prompts(folder):
    coco()
    values = config()
    assert set(run_all()) == {0}
    before = Path("results/prompted/all.parquet").stat().st_ino
    Path("config.yaml").write_text(json.dumps({**values, "model": {"mode": "fast"}}))
    assert main(["prompt", "--shard", "all"]) == 0
    assert Path("results/prompted/all.parquet").stat().st_ino == before


def test_a_setting_without_masks_has_no_mean_score_or_area(folder, capsys):
    coco()
    config(sweep={"points": [{"name": "nothing", "mask_threshold": 1000.0}]})
    assert set(run_all()) == {0}
    settings = pd.read_parquet("results/prompted/settings.parquet").set_index("setting")
    nothing = settings.loc["nothing"]
    assert (nothing["n_no_mask"], nothing["box_iou_mean"]) == (3, 0.0)
    assert pd.isna(nothing["predicted_iou_mean"])
    assert pd.isna(nothing["area_px_mean"])
    assert settings.loc["baseline", "predicted_iou_mean"] > 0
