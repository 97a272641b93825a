"""Stale inputs: each kind of file that a config names is replaced by an older one, as ``cp -p`` or ``unzip`` do.

Checks each row of the table in docs/reliability.md with the real workflow and ``maskgrid verify``.
"""

import json
import os
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from corpus import scene
from killing import hashes
from maskgrid.config.models import Config
from maskgrid.plan.plan import make_plan
from maskgrid.results.verify import verify_results
from workflow import ROOT, copy_own_weights, finish_and_copy, restored, snakemake

SIZE_HW = (40, 56)
CONFIG = {
    "dataset": {"source": "photos.txt", "ground_truth": "truth.json", "max_failed_fraction": 0.9},
    "model": {"checkpoint": "mine.pt", "config": "mine.yaml", "allow_unverified": True, "device": "cpu"},
    "generator": {"points_per_side": 1, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.0},
    "sweep": "settings.csv",
    "prompts": {"source": "prompts.jsonl", "use": "mask"},
    "tracking": {
        "source": "clips",
        "prompts": "objects.jsonl",
        "use": "mask",
        "exports": ["sa_v"],
        "ground_truth": "true",
    },
}
LONG_AGO, IN_THE_FUTURE = 1_000_000_000, 2_000_000_000
# Words of the table for rules that run together.
GROUPS = {
    "masks": {"generate", "replay", "gather", "merge", "statistics"},
    "settings": {"replay", "gather", "merge", "statistics"},
    "annotations": {"truth", "evaluate", "accuracy"},
    "accuracy": {"evaluate", "accuracy"},
    "prompts": {"prompts", "prompt", "prompt_merge"},
    "prompted masks": {"prompt", "prompt_merge"},
    "masklets": {"track", "masklets", "track_sa_v", "track_evaluate", "track_merge"},
    "true objects": {"track_truth", "track_evaluate"},
    "pages": {"card", "report", "accept", "provenance"},
}


def documented():
    """The rows of the table: the input, the rules that run again, and what verify calls stale before."""
    text = (ROOT / "docs/reliability.md").read_text()
    _, _, *rows = re.search(r"<!-- stale -->\n(.*?)\n<!-- end -->", text, re.DOTALL)[1].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {
        name: (set().union(*(GROUPS.get(word, {word}) for word in jobs.split(", "))), stale)
        for name, jobs, stale in cells
    }


def picture(path, seed, size_hw=SIZE_HW):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(scene(*size_hw, seed=seed)).save(path)


def mask(path, left):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(SIZE_HW, np.uint8)
    pixels[8:30, left : left + 18] = 255
    PIL.Image.fromarray(pixels).save(path)


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def truth(path, mask_left):
    square = [[mask_left, 5, mask_left + 20, 5, mask_left + 20, 25, mask_left, 25]]
    names = ["photos/0.png", "photos/1.png"]
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "segmentation": square},
            {"id": 2, "image_id": 1, "category_id": 1, "segmentation": "masks/true.png"},
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path.write_text(json.dumps(content))


def box(left):
    return [left, 4, left + 20, 30]


def prompt_rows(left):
    return {"image": "photos/0.png", "box_xyxy": box(left)}, {"image": "photos/1.png", "mask": "masks/prompt.png"}


def object_rows(left):
    point = {"video": "a", "frame": 0, "object_id": 1, "point_coords": [[left, 12]]}
    return point, {"video": "a", "frame": 0, "object_id": 2, "mask": "masks/object.png"}


def append(path, content):
    with path.open("ab") as stream:
        stream.write(content)


def write_inputs(folder):
    """All three jobs, with everything that a config can name."""
    for number in range(3):
        picture(folder / "photos" / f"{number}.png", number)
    (folder / "photos.txt").write_text("photos/0.png\nphotos/1.png\nphotos/2.png\n")
    for number in range(2):
        picture(folder / "clips" / "a" / f"{number}.png", 10 + number)
        mask(folder / "true" / "a" / f"{number}.png", 12)
    for name, left in (("true", 6), ("prompt", 8), ("object", 10)):
        mask(folder / "masks" / f"{name}.png", left)
    truth(folder / "truth.json", 5)
    lines(folder / "prompts.jsonl", *prompt_rows(3))
    lines(folder / "objects.jsonl", *object_rows(20))
    (folder / "settings.csv").write_text("pred_iou_thresh\n0.1\n0.2\n")
    copy_own_weights(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder after a run of all three jobs, and a copy from which each case starts."""
    folder = tmp_path_factory.mktemp("stale") / "run"
    write_inputs(folder)
    saved = finish_and_copy(folder, CONFIG)
    assert problems(folder) == []
    return folder, saved


@pytest.fixture
def folder(finished):
    return restored(*finished)


def problems(folder):
    plan = make_plan(Config.model_validate(CONFIG), folder, folder / "results")
    here = Path.cwd()
    os.chdir(folder)
    try:
        return [str(problem) for problem in verify_results(plan)]
    finally:
        os.chdir(here)


# For each row of the table, the file and its new content.
CASES = {
    "an image": ("photos/1.png", lambda path: picture(path, 100)),
    "a list of images": ("photos.txt", lambda path: path.write_text("photos/0.png\nphotos/1.png\n")),
    "annotations (`dataset.ground_truth`)": ("truth.json", lambda path: truth(path, 9)),
    "a mask picture that annotations name": ("masks/true.png", lambda path: mask(path, 20)),
    "prompts (`prompts.source`)": ("prompts.jsonl", lambda path: lines(path, *prompt_rows(5))),
    "a mask picture that prompts name": ("masks/prompt.png", lambda path: mask(path, 20)),
    "a frame of a video": ("clips/a/1.png", lambda path: picture(path, 100)),
    "prompts of videos (`tracking.prompts`)": ("objects.jsonl", lambda path: lines(path, *object_rows(22))),
    "a mask picture that prompts of videos name": ("masks/object.png", lambda path: mask(path, 20)),
    "a picture of true objects (`tracking.ground_truth`)": ("true/a/1.png", lambda path: mask(path, 20)),
    "own weights (`model.checkpoint`)": ("mine.pt", lambda path: append(path, b"\0")),
    "their YAML (`model.config`)": ("mine.yaml", lambda path: append(path, b"# other\n")),
    "a table of settings (`sweep`)": ("settings.csv", lambda path: path.write_text("pred_iou_thresh\n0.1\n0.3\n")),
}


def planned(folder):
    """The rules that run again; later jobs are known only after the index and the list of videos."""
    first = snakemake(folder, None, "-n")
    assert first.code == 0, first.output
    found = {rule for rule in ("index", "videos") if first.planned[rule]}
    for rule in found:
        done = snakemake(folder, None, "--until", rule)
        assert done.code == 0, done.output
    run = snakemake(folder, None, "-n") if found else first
    return found | set(run.planned) - {"all", "total", "tidy"}


def test_the_table_and_the_tests_have_the_same_rows():
    assert list(documented()) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_an_older_file_of_other_content_reruns_what_depends_on_it(folder, name):
    jobs, stale = documented()[name]
    file, replace = CASES[name]
    replace(folder / file)
    os.utime(folder / file, (LONG_AGO, LONG_AGO))
    found = problems(folder)
    named = [line for line in found if line.startswith("stale") and f"results/{stale}" in line]
    assert named, f"verify does not name results/{stale}: {found}"
    assert planned(folder) == jobs


def test_another_time_alone_reruns_no_network(folder):
    for file, _ in CASES.values():
        os.utime(folder / file)
    assert problems(folder) == []
    # Images, videos and mask pictures are looked at again; the network runs for none.
    assert not planned(folder) & {"generate", "replay", "merge", "track", "statistics"}


def test_after_all_are_replaced_a_run_makes_everything_anew(folder):
    for file, replace in CASES.values():
        replace(folder / file)
        os.utime(folder / file, (LONG_AGO, LONG_AGO))
    run = snakemake(folder, None)
    assert run.code == 0, run.output
    assert problems(folder) == []


def test_files_dated_in_the_future_are_read_once(tmp_path):
    """Cameras with a wrong clock date them so, and archives from other time zones; Snakemake refuses such inputs."""
    write_inputs(tmp_path)
    for path in sorted(tmp_path.rglob("*")):
        os.utime(path, (IN_THE_FUTURE, IN_THE_FUTURE))
    run = snakemake(tmp_path, CONFIG)
    assert run.code == 0, run.output
    assert problems(tmp_path) == []
    assert not set(snakemake(tmp_path, None, "-n").planned) - {"all", "total", "tidy"}


@pytest.mark.parametrize("file", ["photos.txt", "truth.json", "prompts.jsonl", "objects.jsonl", "mine.pt"])
def test_a_run_without_an_input_loses_no_results(folder, file):
    before = hashes(folder / "results")
    (folder / file).unlink()
    snakemake(folder, None)
    assert {name: digest for name, digest in hashes(folder / "results").items() if name in before} == before
