"""Growing data: check each row of the table in docs/growing-data.md with the real workflow."""

import os
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from workflow import ROOT, copy_own_weights, finish_and_copy, restored, snakemake

RULES = ("index", "generate", "replay", "gather", "merge", "statistics", "report", "accept")
N_IMAGES, SHARD_SIZE = 10, 5
CONFIG = {
    "dataset": {"source": "images", "shard_size": SHARD_SIZE, "max_failed_fraction": 0.5},
    "model": {"checkpoint": "mine.pt", "config": "mine.yaml", "allow_unverified": True, "device": "cpu"},
    "generator": {"points_per_side": 1, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.0},
    "sweep": {"grid": {"pred_iou_thresh": [0.02, 0.05, 0.1]}, "points": [{"name": "few", "pred_iou_thresh": 0.3}]},
}


def documented():
    """The rows of the table: what changes, and how many jobs of each rule then run."""
    text = (ROOT / "docs/growing-data.md").read_text()
    head, _, *rows = re.search(r"<!-- cases -->\n(.*?)\n<!-- end -->", text, re.DOTALL)[1].splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["what changes", *RULES]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name: dict(zip(RULES, counts, strict=True)) for name, *counts in cells}


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)).save(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder after a first run, and a copy from which each case starts."""
    folder = tmp_path_factory.mktemp("growing") / "run"
    for number in range(N_IMAGES):
        write_image(folder / "images" / f"{number:02d}.png", number)
    copy_own_weights(folder)
    return folder, finish_and_copy(folder, CONFIG)


@pytest.fixture
def folder(finished):
    return restored(*finished)


def changed(section, **values):
    """Change a section of the config."""
    return lambda folder: {section: {**CONFIG.get(section, {}), **values}}


def swept(values, **grid):
    return lambda folder: {"sweep": {**CONFIG["sweep"], "grid": {"pred_iou_thresh": values, **grid}}}


def new_images(folder):
    for seed in (100,):
        write_image(folder / "images" / f"{seed}.png", seed)


def touch_all(folder):
    for path in (folder / "images").iterdir():
        os.utime(path)


def move(folder):
    (folder / "images").rename(folder / "photos")
    return {"dataset": {**CONFIG["dataset"], "source": "photos"}}


def replace_checkpoint(folder):
    with (folder / "mine.pt").open("ab") as stream:
        stream.write(b"\0")


def removed(pattern, one=False):
    def remove(folder):
        for path in sorted(folder.glob(pattern))[: 1 if one else None]:
            path.unlink()

    return remove


def exported_without(pattern):
    """Export another setting after deleting one of the files that it is made from."""

    def change(folder):
        removed(pattern, one=True)(folder)
        return {"annotations": ["few"]}

    return change


def name_a_setting(folder):
    return {"sweep": {**CONFIG["sweep"], "points": [{"name": "fewer", "pred_iou_thresh": 0.3}]}}


SELECTIONS, CANDIDATES = "results/selections/d*[!s].parquet", "results/candidates/*/*/d*[!s].parquet"

# What each row of the table changes: files in the folder, and sections of the config (returned).
CASES: dict[str, Callable] = {
    "nothing": lambda folder: None,
    "new images": new_images,
    "an image is removed": removed("images/07.png"),
    "an image gets other content": lambda folder: write_image(folder / "images/03.png", 1003),
    "an image gets another name": lambda folder: (folder / "images/05.png").rename(folder / "images/five.png") and None,
    "all images are touched, or copied to the same place again": touch_all,
    "the dataset moves to another folder": move,
    "a file that is no image": lambda folder: (folder / "images/page.jpg").write_bytes(b"<html>") and None,
    "thresholds within the floor": swept([0.02, 0.05, 0.2]),
    "thresholds between the recorded ones, none below": swept([0.02, 0.03, 0.04, 0.05, 0.1]),
    "a threshold below the floor": swept([0.01, 0.05, 0.1]),
    "a threshold above the floor is left out": swept([0.05, 0.1]),
    "another box_nms_thresh": swept([0.02, 0.05, 0.1], box_nms_thresh=[0.5, 0.7]),
    "a further mask_threshold": swept([0.02, 0.05, 0.1], mask_threshold=[0.0, 1.0]),
    "a further grid of points": swept([0.02, 0.05, 0.1], points_per_side=[1, 2]),
    "a setting gets a name": name_a_setting,
    "a setting is exported as well": lambda folder: {"annotations": ["baseline", "few"]},
    "output_mode": changed("generator", output_mode="uncompressed_rle"),
    "points_per_batch": changed("generator", points_per_batch=7),
    "device": changed("model", device="auto"),
    "room below the floor (record)": changed("record", pred_iou_thresh=0.0),
    "another checkpoint": changed("model", checkpoint="demo"),
    "the checkpoint's file is replaced": replace_checkpoint,
    "dtype": changed("model", dtype="bfloat16"),
    "a larger shard_size that fits all images into one shard": changed("dataset", shard_size=64),
    "max_failed_fraction": changed("dataset", max_failed_fraction=0.4),
    "a table of the index is deleted": removed("results/dataset/archives.parquet"),
    "a shard's candidates are deleted": removed(CANDIDATES, one=True),
    "a shard's selections are deleted": removed(SELECTIONS, one=True),
    "a COCO file is deleted": removed("results/annotations/*.json"),
    "the logs are deleted": removed("logs/*/*.log"),
    "another setting is exported, and selections were deleted": exported_without(SELECTIONS),
    "another setting is exported, and candidates were deleted": exported_without(CANDIDATES),
}


def test_the_table_and_the_tests_have_the_same_rows():
    assert list(documented()) == list(CASES)


def shards(folder):
    table = pd.read_parquet(folder / "results/dataset/shards.parquet")
    return set(zip(table["shard"], table["digest"], strict=True))


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_jobs_in_the_table_run(folder, finished, name):
    expected = documented()[name]
    before = shards(folder)
    sections = CASES[name](folder) or {}
    config = {**CONFIG, **sections}
    assert len(before) >= 3
    if expected["index"] == "1":  # later jobs are known only after the index
        indexed = snakemake(folder, config, "--until", "index")
        assert indexed.finished == {"index": 1}, indexed.output
        config = None
    run = snakemake(folder, config, "-n")
    assert run.code == 0, run.output
    n_changed = len(shards(folder) - before)
    assert (n_changed > 0) == ("changed" in expected.values())
    wanted = {"-": 0, "1": 1, "changed": n_changed, "all": len(before)}
    counts = {rule: run.planned[rule] for rule in RULES}
    assert counts == {rule: wanted[cell] for rule, cell in expected.items()} | {"index": 0}, run.output


def test_snakemakes_report_has_pages_and_masks(folder):
    run = snakemake(folder, CONFIG, "--report", "report.html")
    assert run.code == 0, run.output
    text = (folder / "report.html").read_text()
    for words in ("Pages", "Masks", "overlays/baseline.jpg", "report/index.html"):
        assert words in text
