"""The same images and settings give the same bytes in any folder, any number of shards and any order."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from corpus import scene
from killing import RememberingNetwork, hashes, stages, tiny_plan
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.dataset import index as index_module
from maskgrid.dataset.tables import read_images
from maskgrid.io.tables import read_origin
from maskgrid.plan.plan import Plan

KINDS = (
    *("generate", "replay", "merge", "prompts", "prompt", "prompt-merge"),
    *("statistics", "explorer", "report", "accept"),
)
NAMES = ["b/two.png", "a/one.png", "Ä.png", "a/three.png", "zero.png", "b/c/five.png", "six.png"]


@pytest.fixture(scope="module")
def network(demo_model):
    return RememberingNetwork(Proposer(demo_model))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("one") / "images"
    for seed, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(scene(40 + seed, 60, seed=seed)).save(folder / name)
    (folder / "cut.png").write_bytes((folder / NAMES[0]).read_bytes()[:300])
    rows = [
        {"image": name, "object_id": "left", "box_xyxy": [2, 3, 30, 30]} for name in [*NAMES, "cut.png", "gone.png"]
    ]
    (folder / "boxes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def of_images(**changes: object) -> dict[str, object]:
    return {"source": "images", "shard_size": 3, "max_failed_fraction": 0.5, **changes}


def plan_of(source: Path, results: Path, **changes: object) -> Plan:
    """Plan a run with paths as users write them: relative to their folder."""
    changes = {"prompts": {"source": "images/boxes.jsonl"}, "dataset": of_images(), **changes}
    return tiny_plan(source, results, source.parent, **changes)


@pytest.fixture(scope="module")
def results(source, network, tmp_path_factory) -> Path:
    return run(plan_of(source, tmp_path_factory.mktemp("one") / "results"), network)


def run(plan: Plan, network: RememberingNetwork, shuffle: Callable[[list], None] = lambda names: None) -> Path:
    """Run all stages; stages of one kind are independent, and ``shuffle`` sets their order."""
    waiting = dict(stages(plan, network))  # before the index exists, the shards are unknown
    waiting["index"](plan)
    waiting = dict(stages(plan, network))
    for kind in KINDS:
        names = [name for name in waiting if name.split()[0] == kind]
        shuffle(names)
        for name in names:
            waiting[name](plan)
    return plan.layout.root


def of_dataset(results: Path) -> dict[str, str]:
    """Hashes of the outputs that depend neither on shards nor on the images' folder."""
    kept = ("annotations/", "statistics/", "report/")
    of_objects = ("prompted/annotations.json", "prompted/statistics.parquet", "prompted/worst.jpg")
    found = {name: digest for name, digest in hashes(results).items() if name.startswith(kept) or name in of_objects}
    found.pop("report/provenance.js", None)  # contains times
    # What lies beside the explorer is in the shards' folders.
    return {name: digest for name, digest in found.items() if not name.startswith("report/explorer/")}


def portable(results: Path) -> dict[str, str]:
    """Hashes of all outputs except those with the images' paths or facts about the run itself."""
    aside = ("dataset/files.parquet", "provenance.json", "report/provenance.js")
    return {name: digest for name, digest in hashes(results).items() if name not in aside}


def test_in_another_folder_with_other_times(source, results, network, tmp_path):
    moved = shutil.copytree(source, tmp_path / "elsewhere" / "images", copy_function=shutil.copyfile)
    assert portable(run(plan_of(moved, tmp_path / "there" / "r"), network)) == portable(results)


def test_in_another_order(source, results, network, tmp_path):
    again = run(plan_of(source, tmp_path / "results"), network, random.Random(5).shuffle)
    assert portable(again) == portable(results)


def test_with_another_number_of_workers(source, results, network, tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "_MAX_WORKERS", 1)
    monkeypatch.setattr(index_module, "_BATCH", 2)
    assert portable(run(plan_of(source, tmp_path / "results"), network)) == portable(results)


def test_listed_in_another_order(source, results, network, tmp_path):
    listing = source / "list.txt"
    listing.write_text("".join(f"{name}\n" for name in ["cut.png", *reversed(NAMES)]))
    listed = run(plan_of(source, tmp_path / "results", dataset=of_images(source=f"{source.name}/list.txt")), network)
    changed = {name for name, digest in portable(listed).items() if digest != portable(results)[name]}
    assert changed <= {"report/index.html"}, "which shows the config"


@pytest.mark.parametrize("shard_size", [1, 2, 100])
def test_in_other_shards(source, results, network, tmp_path, shard_size):
    other = run(plan_of(source, tmp_path / "results", dataset=of_images(shard_size=shard_size)), network)
    assert len(list((other / "selections").iterdir())) != len(list((results / "selections").iterdir()))
    assert of_dataset(other) == of_dataset(results)
    one, two = (read_images(folder / "dataset").drop_columns("shard") for folder in (other, results))
    assert one.equals(two)


def test_other_images_give_other_fingerprints(source, results, network, tmp_path):
    changed = shutil.copytree(source, tmp_path / "changed" / "images")
    PIL.Image.fromarray(scene(40, 60, seed=99)).save(changed / "zero.png")
    other = run(plan_of(changed, tmp_path / "results"), network)
    for name in ("summary", "effects", "interactions", "mask_counts", "settings"):
        prints = [read_origin(folder / "statistics" / f"{name}.parquet")["fingerprint"] for folder in (other, results)]
        assert prints[0] != prints[1]
