"""The workflow turns a folder of images into results, and a change reruns exactly the jobs that it affects."""

import json

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from workflow import snakemake

N_IMAGES, SHARD_SIZE = 100, 50
CONFIG = {
    "dataset": {"source": "images", "shard_size": SHARD_SIZE},
    "generator": {"points_per_side": 1, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.0},
    "sweep": {"grid": {"pred_iou_thresh": [0.02, 0.05, 0.1]}},
}


def swept(values, **sections):
    return {**CONFIG, **sections, "sweep": {"grid": {"pred_iou_thresh": values}}}


def write_image(path, seed):
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    PIL.Image.fromarray(pixels).resize((32, 24)).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with 100 images and a broken one, after a first run."""
    folder = tmp_path_factory.mktemp("dataset")
    for number in range(N_IMAGES):
        write_image(folder / "images" / f"{number:03d}.png", number)
    (folder / "images" / "broken.jpg").write_bytes(b"no image")
    run = snakemake(folder, CONFIG)
    assert run.code == 0, run.output
    return folder


def n_shards(folder):
    return len(pd.read_parquet(folder / "results/dataset/shards.parquet"))


# The tests run in this order: each starts from the state that the one before left.


def test_first_run_makes_everything(folder):
    coco = json.loads((folder / "results/annotations/baseline.json").read_text())
    assert len(coco["images"]) == N_IMAGES
    summary = pd.read_parquet(folder / "results/statistics/summary.parquet")
    assert list(summary["n_images"]) == [N_IMAGES] * 3
    assert json.loads((folder / "results/accepted.json").read_text())["n_failed"] == 1
    assert n_shards(folder) >= N_IMAGES / SHARD_SIZE


def test_touching_nothing_reruns_nothing(folder):
    run = snakemake(folder, CONFIG, "-n")
    assert "Nothing to be done" in run.output
    assert not run.planned


@pytest.mark.parametrize("rule", ["generate", "replay", "merge"])
def test_a_job_on_a_cluster_node_knows_the_index(folder, rule):
    """On a node, Snakemake is given one job of one rule, and must use the checkpoint's existing outputs."""
    shard = pd.read_parquet(folder / "results/dataset/shards.parquet")["shard"][0]
    jobs = {
        "generate": f"checkpoint=demo,pass_name=crop0-grid1,shard={shard}",
        "replay": f"shard={shard}",
        "merge": "label=baseline",
    }
    target = ["--target-jobs", f"{rule}:{jobs[rule]}", "--allowed-rules", rule, "--force"]
    run = snakemake(folder, CONFIG, "-n", "--mode", "remote", "--nolock", "--ignore-incomplete", "--no-hooks", *target)
    assert run.code == 0, run.output
    assert run.planned[rule] == 1


@pytest.mark.parametrize("values", [[0.05, 0.1], [0.02, 0.03, 0.4], [0.9]])
def test_thresholds_at_or_above_the_floor_rerun_no_pass(folder, values):
    planned = snakemake(folder, swept(values), "-n").planned
    assert planned["replay"] == n_shards(folder)
    assert planned["generate"] == planned["index"] == 0


def test_a_threshold_below_the_floor_reruns_its_pass(folder):
    assert snakemake(folder, swept([0.01, 0.1]), "-n").planned["generate"] == n_shards(folder)


def test_a_new_grid_runs_only_its_own_pass(folder):
    config = {**CONFIG, "sweep": {"grid": {"pred_iou_thresh": [0.02, 0.05, 0.1], "points_per_side": [1, 2]}}}
    run = snakemake(folder, config, "-n")
    assert run.planned["generate"] == n_shards(folder)
    assert "crop0-grid2 over shard" in run.output
    assert "crop0-grid1 over shard" not in run.output


def test_another_export_reruns_only_the_merge(folder):
    planned = snakemake(folder, {**CONFIG, "annotations": ["all"]}, "-n").planned
    assert planned["generate"] == planned["replay"] == planned["statistics"] == 0
    assert planned["merge"] == 2


def test_batch_size_reruns_nothing(folder):
    config = {**CONFIG, "generator": {**CONFIG["generator"], "points_per_batch": 7}}
    assert "Nothing to be done" in snakemake(folder, config, "-n").output


def test_a_new_image_reruns_one_shard(folder):
    before = pd.read_parquet(folder / "results/dataset/shards.parquet")
    write_image(folder / "images" / "new.png", 1234)
    run = snakemake(folder, swept([0.05, 0.1]))
    assert run.code == 0, run.output
    after = pd.read_parquet(folder / "results/dataset/shards.parquet")
    n_changed = len(set(after["digest"]) - set(before["digest"]))
    assert run.finished["index"] == 1
    assert run.finished["generate"] == n_changed
    assert run.finished["replay"] == len(after)  # because the settings changed too
    assert n_changed in (1, 2)  # two if a full leaf was split
    coco = json.loads((folder / "results/annotations/baseline.json").read_text())
    assert len(coco["images"]) == N_IMAGES + 1


def test_raising_the_floor_and_lowering_it_again_reruns_no_pass(folder):
    # The run before had a higher floor and ran the network on the new image's shard.
    planned = snakemake(folder, CONFIG, "-n").planned
    assert planned["generate"] == 0
    assert planned["replay"] == n_shards(folder)


def test_a_removed_image_reruns_one_shard(folder):
    before = pd.read_parquet(folder / "results/dataset/shards.parquet")
    (folder / "images" / "017.png").unlink()
    run = snakemake(folder, swept([0.05, 0.1]))
    assert run.code == 0, run.output
    after = pd.read_parquet(folder / "results/dataset/shards.parquet")
    n_changed = len(set(after["digest"]) - set(before["digest"]))
    assert run.finished["generate"] == run.finished["replay"] == n_changed == 1


def test_an_index_made_anew_with_the_same_images_writes_no_export_anew(tmp_path):
    write_image(tmp_path / "images" / "a.png", 1)
    (tmp_path / "prompts.csv").write_text("image,x1,y1,x2,y2\na.png,5,5,20,20\n")
    config = {**CONFIG, "prompts": {"source": "prompts.csv"}, "exports": ["labels", "sa1b", "polygons"]}
    run = snakemake(tmp_path, config)
    assert run.code == 0, run.output
    exports = {"export", "export_sa1b", "export_polygons", "export_prompted", "export_prompted_polygons"}
    assert exports <= run.finished.keys()
    run = snakemake(tmp_path, {**config, "dataset": {**CONFIG["dataset"], "georeference": True}})
    assert run.code == 0, run.output
    assert run.finished["index"] == 1
    assert not exports & run.finished.keys()


def test_mistakes_stop_before_any_work(tmp_path):
    run = snakemake(tmp_path, {"generator": {"pred_iou_tresh": 0.3}})
    assert run.code != 0
    assert "generator.pred_iou_tresh: unknown key; did you mean 'pred_iou_thresh'?" in run.output
    assert "Traceback" not in run.output
    assert not (tmp_path / "results").exists()


def test_too_many_failures_fail_the_run_after_the_rest_is_done(tmp_path):
    write_image(tmp_path / "images" / "good.png", 1)
    for number in range(12):
        (tmp_path / "images" / f"bad{number:02d}.png").write_bytes(b"")
    run = snakemake(tmp_path, CONFIG)
    assert run.code != 0
    assert "Traceback" not in run.output
    assert "Removing output files" not in run.output
    assert json.loads((tmp_path / "results/provenance.json").read_text())["images"]["n"] == 13
    assert not (tmp_path / "results/accepted.json").exists()
    # At the very end, as after a good run: the table, the paths, and then the files with their reasons.
    _, _, end = run.output.rpartition("Exiting because a job execution failed")
    parts = [
        "> marks the baseline",
        "report           results/report/index.html",
        "maskgrid: 12 of 13 images could not be used (12 empty), more than dataset.max_failed_fraction: 0.2 allows.",
        "  bad00.png: empty: the file has no bytes\n",
        "  bad09.png: empty: ",
        "  and 2 more\n",
    ]
    places = [end.index(part) for part in parts]
    assert places == sorted(places)
    assert "bad10.png" not in end
    # The verdict alone is asked for again, and a config that allows it ends well, with the same names.
    assert snakemake(tmp_path, None, "-n").planned == {"accept": 1, "all": 1, "total": 2}
    run = snakemake(tmp_path, {**CONFIG, "dataset": {**CONFIG["dataset"], "max_failed_fraction": 1.0}})
    assert run.code == 0, run.output
    assert "WARNING: 12 of 13 images could not be used (12 empty); the reasons are in" in run.output
    assert "  bad00.png: empty: the file has no bytes\n" in run.output


def test_results_of_a_former_config_go_without_running_anything_else(tmp_path):
    write_image(tmp_path / "images" / "good.png", 1)
    before = {**CONFIG, "exports": ["card", "polygons"], "annotations": ["baseline", "loose"]}
    before["sweep"] = {"points": [{"name": "loose", "pred_iou_thresh": 0.02}]}
    assert snakemake(tmp_path, before).code == 0
    results = tmp_path / "results"
    (results / "exports/polygons/mine.json").write_bytes((results / "exports/polygons/loose.json").read_bytes())
    # A form less: nothing runs but the card and the report, which list the files, what ends a run, and the search.
    run = snakemake(tmp_path, {**before, "exports": ["card"]})
    assert run.finished == dict.fromkeys(("card", "report", "accept", "provenance", "tidy", "all"), 1), run.output
    assert [path.name for path in (results / "exports/polygons").iterdir()] == ["mine.json"]
    assert "polygons" not in (results / "README.md").read_text()
    assert "exports/polygons" not in (results / "report/index.html").read_text()
    # Another setting and no card: the file that others made is named, once it no longer belongs to the run.
    after = {**before, "exports": [], "annotations": ["baseline"], "sweep": None}
    run = snakemake(tmp_path, after)
    assert run.code == 0, run.output
    assert not run.finished["generate"]
    assert not (results / "README.md").exists()
    assert [path.name for path in (results / "annotations").iterdir()] == ["baseline.json"]
    (end,) = run.output.split("report           results/report/index.html\n")[1:]
    assert "INFO: removed results/annotations/loose.json: this config does not ask for it" in end
    assert "WARNING: results/exports/polygons/mine.json was made for another config; it may be deleted" in end
    assert "Nothing to be done" in snakemake(tmp_path, None, "-n").output


def test_when_no_image_can_be_used_the_reasons_are_said(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic0000")
    (tmp_path / "images" / "b.png").write_bytes(b"")
    run = snakemake(tmp_path, CONFIG)
    assert run.code != 0
    assert "maskgrid: dataset.source: none of the 2 images in images can be used.\n  a.heic: " in run.output
    assert "\n  b.png: empty: the file has no bytes\n" in run.output
