"""A user is told to install an extra, does so, and runs again: what lacked it is listed again, and once."""

import os
import subprocess
import sys

import PIL.Image
import pytest
import yaml

from corpus import scene
from maskgrid.dataset.tables import read_images
from maskgrid.tracked.videos.index import read_videos
from workflow import ROOT, Run

CONFIG = {
    "dataset": {"source": "photos", "shard_size": 1, "ground_truth": None, "max_failed_fraction": 0.9},
    "model": {"checkpoint": "demo", "device": "cpu"},
    "generator": {"points_per_side": 1, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.0},
    "tracking": {"source": "clips", "prompts": "objects.jsonl", "exports": ["sa_v"]},
}
PROMPT = '{"video": "%s", "frame": 0, "object_id": 1, "box_xyxy": [4, 4, 24, 30]}\n'


@pytest.fixture
def folder(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    for place in ("photos", "clips/a", "clips/b", "hidden"):
        (tmp_path / place).mkdir(parents=True)
    for number in range(2):
        picture = PIL.Image.fromarray(scene(40, 56, seed=number))
        picture.save(tmp_path / f"photos/{number}.png")
        picture.save(tmp_path / f"clips/a/{number}.png")
        heic = pillow_heif.from_pillow(picture)
        heic.save(tmp_path / f"clips/b/{number}.heic")
        heic.save(tmp_path / f"photos/{number}.heic")
    (tmp_path / "objects.jsonl").write_text(PROMPT % "a" + PROMPT % "b")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "hidden/pillow_heif.py").write_text("raise ImportError('not installed')\n")
    return tmp_path


def run(folder, *arguments, is_hidden, command="snakemake"):
    sources = [str(ROOT / "src"), *([str(folder / "hidden")] if is_hidden else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sources)}
    of_workflow = ["-s", str(ROOT / "Snakefile"), "--cores", "1"] if command == "snakemake" else []
    done = subprocess.run(
        [sys.executable, "-m", command, *of_workflow, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return Run(done.returncode, done.stdout)


def statuses(folder):
    images = read_images(folder / "results/dataset").to_pylist()
    videos = read_videos(folder / "results/tracked/files.parquet")
    return {row["image_key"]: row["status"] for row in images} | {one.video_key: one.status for one in videos}


def test_what_lacked_a_package_is_listed_again_once_that_is_installed(folder):
    listing = ("--until", "index", "videos")
    run(folder, *listing, is_hidden=True)
    assert statuses(folder) == {
        **{"0.png": "ok", "1.png": "ok", "0.heic": "unsupported", "1.heic": "unsupported"},
        **{"a": "ok", "b": "bad_frame"},
    }
    assert "Nothing to be done" in run(folder, *listing, "--dry-run", is_hidden=True).output
    told = "to read more     pip install 'maskgrid[heic]', then run again"
    assert told in run(folder, "summary", is_hidden=True, command="maskgrid").output

    plan = run(folder, "plan", is_hidden=False, command="maskgrid").output
    assert "2 images to be tried again, since maskgrid[heic] is installed now: the source is indexed again" in plan
    assert "videos or prompts have changed, so they are listed again first" in plan
    assert run(folder, *listing, is_hidden=False).finished == {"index": 1, "videos": 1}
    assert set(statuses(folder).values()) == {"ok"}
    assert "Nothing to be done" in run(folder, *listing, "--dry-run", is_hidden=False).output
    assert told not in run(folder, "summary", is_hidden=False, command="maskgrid").output
