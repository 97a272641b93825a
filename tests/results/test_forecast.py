"""What ``maskgrid plan`` says beforehand is what happens."""

import os
import random
import re
import shutil

import pytest

from corpus import encode, scene
from killing import RememberingNetwork, die_at, tiny_plan
from maskgrid.automatic.forecast import Measured, forecast, record_time
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard
from maskgrid.dataset.changes import SourceChanges, source_changes
from maskgrid.dataset.index import index_dataset
from maskgrid.io.errors import UserError
from maskgrid.network.official import OFFICIAL
from maskgrid.results.forecast import plan_text
from workflow import snakemake

SMALL = {
    "generator": {"points_per_side": 2, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5},
    "exports": [],
}


class Project:
    """A small project that random edits change."""

    def __init__(self, folder, seed):
        self.folder, self.chance, self.n_drawn = folder, random.Random(seed), 0
        self.source = folder / "photos"
        self.source.mkdir(parents=True)
        self.config = {**SMALL, "sweep": {"grid": {"pred_iou_thresh": [0.3, 0.6]}}}
        self.shard_size = 3
        for _ in range(5):
            self.add()

    def plan(self):
        dataset = {"source": str(self.source), "shard_size": self.shard_size}
        return tiny_plan(self.source, self.folder / "results", dataset=dataset, **self.config)

    def draw(self, name):
        self.n_drawn += 1
        (self.source / name).write_bytes(encode(scene(24, 32, seed=self.n_drawn), "PNG"))

    def add(self):
        self.draw(f"{self.chance.randrange(10**6)}.png")

    def any_image(self):
        return self.chance.choice(sorted(self.source.iterdir()))

    def edit(self):
        """Make one random edit; return its name."""
        name = self.chance.choice([name for name in dir(self) if name.startswith("do_")])
        getattr(self, name)()
        return name

    def do_add(self):
        self.add()

    def do_change(self):
        self.draw(self.any_image().name)

    def do_remove(self):
        if len(list(self.source.iterdir())) > 2:
            self.any_image().unlink()

    def do_touch(self):
        for path in self.source.iterdir():
            os.utime(path, (1, self.chance.randrange(10**6)))

    def do_copy(self):
        shutil.move(self.source, self.source.with_name("old"))
        shutil.copytree(self.source.with_name("old"), self.source)
        shutil.rmtree(self.source.with_name("old"))

    def do_thresholds(self):
        low = self.chance.choice([0.1, 0.2, 0.3, 0.4])
        self.config["sweep"] = {"grid": {"pred_iou_thresh": [low, 0.6]}}

    def do_points(self):
        grid = {"pred_iou_thresh": [0.3, 0.6], "points_per_side": self.chance.sample([1, 2, 3], 2)}
        self.config["sweep"] = {"grid": grid}

    def do_shard_size(self):
        self.shard_size = self.chance.choice([2, 3, 5])

    def do_delete_candidates(self):
        found = sorted((self.folder / "results").glob("candidates/*/*/*[!s].parquet"))
        if found:
            self.chance.choice(found).unlink()

    def do_nothing(self):
        pass


@pytest.mark.parametrize("seed", range(6))
def test_as_many_images_go_through_the_network_as_the_plan_says(tmp_path, demo_model, seed):
    """All jobs run here, also those whose outputs nothing needs; so deletions count."""
    project, network = Project(tmp_path, seed), RememberingNetwork(Proposer(demo_model))
    for _ in range(8):
        edit = project.edit()
        plan = project.plan()
        is_indexed = plan.layout.shards.is_file()
        said = {one.run: one.n_images for one in forecast(plan, source_changes(plan))}
        index_dataset(plan)
        for run in plan.runs:
            network.n_runs = 0
            for shard in plan.shards():
                generate_shard(plan, *run.folder.split("/"), shard, load=network.load)
            assert not is_indexed or said[run] == network.n_runs, f"{edit}: {run.folder}"
        assert sum(one.n_images for one in forecast(plan, source_changes(plan))) == 0


@pytest.mark.timeout(600)
def test_snakemake_plans_the_jobs_that_the_plan_names(tmp_path):
    project = Project(tmp_path, 1)

    def config():
        plan = project.plan()
        return plan.config.model_dump(mode="json", exclude_defaults=True) | {"model": {"device": "cpu"}}

    assert snakemake(tmp_path, config()).code == 0
    for edit in ("do_nothing", "do_delete_candidates", "do_thresholds", "do_points", "do_touch", "do_add", "do_copy"):
        getattr(project, edit)()
        changes = source_changes(project.plan())
        dry = snakemake(tmp_path, config(), "-n")
        assert dry.code == 0, dry.output
        assert bool(changes) == bool(dry.planned["index"]), edit
        if changes:
            assert snakemake(tmp_path, config(), "--until", "index").code == 0
            dry = snakemake(tmp_path, config(), "-n")
        said = sum(one.n_jobs for one in forecast(project.plan(), source_changes(project.plan())))
        assert said == dry.planned["generate"], f"{edit}: {dry.output}"


@pytest.fixture
def plan(tmp_path, demo_model):
    """Five images in shards of 3, all done at two thresholds."""
    project = Project(tmp_path, 7)
    plan = project.plan()
    index_dataset(plan)
    network = RememberingNetwork(Proposer(demo_model))
    for shard in plan.shards():
        generate_shard(plan, *plan.runs[0].folder.split("/"), shard, load=network.load)
    return plan


def lower(plan):
    """The same plan with a threshold below the floor."""
    config = {**SMALL, "sweep": {"grid": {"pred_iou_thresh": [0.1, 0.6]}}}
    return tiny_plan(plan.config.dataset.source, plan.layout.root, dataset=plan.config.dataset.model_dump(), **config)


def test_a_finished_network_is_not_needed(plan):
    assert "\n  network   not needed\n" in plan_text(plan)


def test_a_threshold_below_the_floor_needs_the_network_and_is_estimated_from_images_of_another_floor(plan):
    for path in plan.layout.root.parent.glob("benchmarks/generate/demo/*/*.network.json"):
        path.unlink()
    record_time(plan.layout, plan.runs[0], "all", Measured(2, 7.0, "cuda", 3_000_000.0, 1000.0))
    text = plan_text(lower(plan))
    found = re.search(r"network   needed for 5 images in demo/crop0-grid2: (.*)", text)
    assert found[1] == "about 0.3 minutes on cuda and 15 MB (3.5 s an image, from 2 images)"


def test_generate_notes_its_time_for_images_that_went_through_the_network_alone(plan):
    one = forecast(lower(plan), None)[0]
    assert sum(measured.n_images for measured in one.measured) == 5
    assert one.devices == ("cpu",)
    assert one.seconds == pytest.approx(5 * one.seconds_per_image)


def test_recording_everything_has_a_price(plan):
    record_time(plan.layout, plan.runs[0], "all", Measured(2, 7.0, "cuda", 3_000_000.0, 1000.0))
    for path in plan.layout.root.parent.glob("benchmarks/generate/demo/*/d*.network.json"):
        path.unlink()
    dataset = plan.config.dataset.model_dump()
    everything = tiny_plan(dataset["source"], plan.layout.root, dataset=dataset, **SMALL, record="all", sweep=None)
    text = plan_text(everything)
    # Four points with three masks each, 3 kB a candidate.
    assert "record    all 12 masks an image of demo/crop0-grid2, about 36 kB an image" in text
    assert "needed for 5 images in demo/crop0-grid2: about 0.3 minutes on cuda and 180 kB" in text


def test_without_a_measured_image_the_plan_says_so(plan):
    shutil.rmtree(plan.layout.root.parent / "benchmarks")
    assert "needed for 5 images in demo/crop0-grid2; no image measured yet" in plan_text(lower(plan))


def test_images_that_an_unfinished_job_has_finished_do_not_count(plan, demo_model):
    network = RememberingNetwork(Proposer(demo_model))
    wider = lower(plan)
    shard = wider.shards()[0]
    before = forecast(wider, None)[0].n_images
    folder, name = wider.runs[0].folder.split("/")
    assert die_at(lambda: generate_shard(wider, folder, name, shard, load=network.load), 25)
    assert forecast(wider, None)[0].n_images < before


def test_a_missing_source_or_checkpoint_is_an_error_beforehand(plan):
    gone = tiny_plan(plan.layout.root / "nowhere", plan.layout.root)
    with pytest.raises(UserError, match=r"dataset\.source: there is no file or folder"):
        plan_text(gone)
    config = {**SMALL, "model": {"checkpoint": "nowhere.pt", "config": "configs/sam2.1/sam2.1_hiera_t.yaml"}}
    missing = tiny_plan(plan.config.dataset.source, plan.layout.root, **config)
    with pytest.raises(UserError, match=r"model\.checkpoint: there is no file .*nowhere\.pt"):
        plan_text(missing)


def test_the_plan_says_how_much_there_is_to_download(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("MASKGRID_CACHE", str(tmp_path / "cache"))
    config = {**SMALL, "model": {"checkpoint": "sam2.1_hiera_tiny"}}
    other = tiny_plan(plan.config.dataset.source, plan.layout.root, **config)
    size = OFFICIAL["sam2.1_hiera_tiny"].size_bytes
    assert f"sam2.1_hiera_tiny is not here yet: {size / 1e6:.3g} MB to download" in plan_text(other)


def test_before_the_index_the_plan_counts_the_files(tmp_path):
    text = plan_text(Project(tmp_path, 3).plan())
    assert "images    5 files, not indexed yet" in text
    assert "network   needed for all images" in text


def test_what_matters_comes_first_and_the_settings_last(tmp_path):
    project = Project(tmp_path, 4)
    project.config["sweep"] = {"grid": {"pred_iou_thresh": [0.1, 0.2, 0.3, 0.4, 0.6, 0.7]}}
    plan = project.plan()
    heads = ["images", "network", "passes", "shards", "settings"]
    lines = plan_text(plan).splitlines()
    at = [number for head in heads for number, line in enumerate(lines) if line.startswith(f"  {head} ")]
    assert at == sorted(at) == [2, 3, 4, 6, 7]
    labels = [setting.label for setting in plan.settings]
    assert len(labels) == 7
    shown = [line.strip().partition(":")[0] for line in lines[8:]]
    assert shown == [*labels[:3], "and 4 more"]
    assert lines[-1] == "    and 4 more: maskgrid plan --verbose"
    every = [line.strip().partition(":")[0] for line in plan_text(plan, verbose=True).splitlines()[8:]]
    assert every == labels


def test_too_much_to_hash_is_said(plan, tmp_path):
    for path in (tmp_path / "photos").iterdir():
        os.utime(path, (1, 1))
    changes = source_changes(plan, max_bytes=0)
    assert (len(changes.unread), len(changes.touched)) == (5, 0)
    assert "5 with another time or place, too many to read their content now" in str(changes)
    assert str(SourceChanges(new=("a",), touched=("b",))) == (
        "1 new, 0 changed and 0 gone since the index; 1 with another time or place and the same content"
    )
