"""Tracking with the real workflow runs only the jobs that are needed."""

import json
import shutil

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from made_videos import SIZE_HW, drawn, with_points, write_frames

from workflow import snakemake

TRACKING = {"source": "clips", "prompts": "prompts.jsonl", "stop": 2, "objects_per_job": 1}


def config(**changes):
    return {"tracking": {**TRACKING, **changes}}


def add_prompts(folder, clip, video, objects):
    with (folder / "prompts.jsonl").open("a") as stream:
        for number in objects:
            row = {"video": video, "frame": 0, "object_id": number + 1}
            stream.write(json.dumps({**row, "point_coords": with_points(clip.masks[0, number])}) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two small videos, one with a broken last frame, after a first run."""
    folder = tmp_path_factory.mktemp("tracked")
    clip = drawn()
    write_frames(folder / "clips" / "a", clip.frames[:3])
    (folder / "clips" / "a" / "2.png").write_bytes(b"no image")
    write_frames(folder / "clips" / "b", clip.frames[:2])
    add_prompts(folder, clip, "a", [0])
    add_prompts(folder, clip, "b", [0, 1])
    run = snakemake(folder, config(), "tracked")
    assert run.code == 0, run.output
    return folder


# The tests run in this order: each starts from the state that the one before left.


def test_prompts_give_masklets(folder):
    results = folder / "results/tracked"
    summary = pd.read_parquet(results / "summary.parquet").set_index("video_key")
    assert summary["n_objects"].to_dict() == {"a": 1, "b": 2}
    rows = pd.read_parquet(results / "masklets/b.parquet")
    assert rows[["object_id", "frame"]].to_numpy().tolist() == [[1, 0], [1, 1], [2, 0], [2, 1]]
    assert len(json.loads((results / "youtube_vis.json").read_text())["videos"]) == 2
    assert (results / "overlay/b.webp").is_file()
    assert "Nothing to be done" in snakemake(folder, config(), "tracked", "-n").output


def test_snakemakes_report_shows_the_masklets(folder):
    run = snakemake(folder, config(), "tracked", "--report", "report.html")
    assert run.code == 0, run.output
    text = (folder / "report.html").read_text()
    for words in ("Videos", "overlay/a.webp", "overlay/b.webp", "overlay/b.jpg", "side by side"):
        assert words in text


@pytest.mark.parametrize(
    ("changes", "planned"),
    [
        ({"offload_state_to_cpu": True}, {}),
        ({"exports": ["youtube_vis", "coco", "overlay"]}, {"track_merge": 1}),
        ({"exports": ["youtube_vis", "overlay", "mots"]}, {"track_mots": 2, "track_merge": 1}),
        ({"exports": ["youtube_vis", "overlay", "png"]}, {"track_png": 2, "track_merge": 1}),
        ({"exports": ["youtube_vis", "overlay", "player"]}, {"track_player": 2, "track_merge": 1}),
        ({"fill_hole_area": 3}, {"track": 3, "masklets": 2, "track_overlay": 2, "track_merge": 1}),
    ],
)
def test_a_change_reruns_only_what_depends_on_it(folder, changes, planned):
    found = snakemake(folder, config(**changes), "tracked", "-n").planned
    assert {name: count for name, count in found.items() if name not in ("tracked", "total")} == planned


def test_ground_truth_measures_finished_masklets(folder):
    for video in ("a", "b"):
        for frame in range(2):
            picture = np.zeros(SIZE_HW, np.uint8)
            for number, mask in enumerate(drawn().masks[frame], start=1):
                picture[mask] = number
            (folder / "truth" / video).mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(picture).save(folder / "truth" / video / f"{frame}.png")
    changed = config(ground_truth="truth", skip_first_and_last=False)
    run = snakemake(folder, changed, "tracked")
    assert run.code == 0, run.output
    assert {name: count for name, count in run.finished.items() if name != "tracked"} == {
        "track_truth": 1,
        "track_evaluate": 2,
        "track_merge": 1,
    }
    rows = pd.read_parquet(folder / "results/tracked/accuracy.parquet")
    prompted = rows[rows["status"] == "ok"]
    assert prompted.groupby("video_key")["object_id"].apply(list).to_dict() == {"a": [1], "b": [1, 2]}
    assert set(prompted["n_frames"]) == {2}
    assert set(rows[~rows.index.isin(prompted.index)]["j"]) == {0.0}
    assert "Against ground truth" in (folder / "results/tracked/index.html").read_text()
    assert "Nothing to be done" in snakemake(folder, changed, "tracked", "-n").output
    assert snakemake(folder, config(ground_truth="truth"), "tracked", "-n").planned["track_evaluate"] == 2
    run = snakemake(folder, config(), "tracked")  # for the next tests
    assert (run.code, run.finished["track_merge"]) == (0, 1), run.output


def test_a_new_object_runs_only_its_own_job(folder):
    add_prompts(folder, drawn(), "a", [1])
    run = snakemake(folder, config(exports=["youtube_vis"]), "tracked")
    assert run.code == 0, run.output
    assert (run.finished["videos"], run.finished["track"], run.finished["masklets"]) == (1, 1, 1)
    assert sorted(pd.read_parquet(folder / "results/tracked/masklets/a.parquet")["object_id"].unique()) == [1, 2]


def test_a_removed_video_is_dropped_without_rerunning_others(folder):
    shutil.rmtree(folder / "clips/b")
    run = snakemake(folder, config(exports=["youtube_vis"]), "tracked")
    assert run.code == 0, run.output
    assert run.finished["track"] == 0
    objects = pd.read_parquet(folder / "results/tracked/objects.parquet").set_index(["video_key", "object_id"])
    assert objects.loc[("b", 1), "status"] == "unknown_video"


def test_without_the_section_none_of_its_rules_run(folder):
    planned = snakemake(folder, {"dataset": {"source": "clips"}}, "-n").planned
    assert planned
    assert not {"videos", "track", "masklets", "track_merge"} & set(planned)


def test_a_wrong_value_is_an_error_before_any_work(folder):
    run = snakemake(folder, config(strid=2), "tracked", "-n")
    assert run.code != 0
    assert "tracking.strid: unknown key; did you mean 'stride'?" in run.output
