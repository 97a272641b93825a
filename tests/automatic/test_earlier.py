"""Images that an earlier job has finished do not go through the network again, wherever they are now."""

import shutil

import pytest

from corpus import encode, scene
from killing import RememberingNetwork, hashes, tiny_plan
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.shards import ShardNames
from maskgrid.io.tables import read_table

N_IMAGES = 6


class Workspace:
    """A source of small images, and runs of its index and network."""

    def __init__(self, folder, model):
        self.folder, self.network = folder, RememberingNetwork(Proposer(model))
        (folder / "source").mkdir()
        for number in range(N_IMAGES):
            self.write(f"{number}.png", number)

    def write(self, name, seed):
        path = self.folder / "source" / name
        path.write_bytes(encode(scene(40, 60, seed=seed), "PNG"))

    def remove(self, *names):
        for name in names:
            (self.folder / "source" / name).unlink()

    def run(self, results="results", **changes):
        """Run the index and all passes; return the plan and how many images each pass had to see."""
        source = {"source": str(self.folder / "source"), "shard_size": 64, **changes.pop("dataset", {})}
        plan = tiny_plan(self.folder / "source", self.folder / results, dataset=source, **changes)
        index_dataset(plan)
        self.network.n_runs = 0
        for run in plan.runs:
            for shard in plan.shards():
                generate_shard(plan, *run.folder.split("/"), shard, load=self.network.load)
        return plan, self.network.n_runs / len(plan.runs)


@pytest.fixture
def workspace(tmp_path, demo_model):
    return Workspace(tmp_path, demo_model)


def current(plan):
    """The hashes of the candidates of all current shards."""
    root = plan.layout.root
    shards = set(plan.shards())
    return {
        name: value
        for name, value in hashes(root / "candidates").items()
        if name.split("/")[-1].split(".")[0] in shards
    }


CHANGES = {
    "nothing": (lambda w: {}, 0),
    "a new image": (lambda w: w.write("new.png", 100), 1),
    "a new image before all others": (lambda w: w.write("00.png", 100), 1),
    "an image less": (lambda w: w.remove("3.png"), 0),
    "other content": (lambda w: w.write("2.png", 100), 1),
    "the content of two images swapped": (lambda w: (w.write("2.png", 4), w.write("4.png", 2)), 2),
    "smaller shards": (lambda w: {"dataset": {"shard_size": 2}}, 0),
    "smaller shards and a new image": (lambda w: w.write("new.png", 100) or {"dataset": {"shard_size": 2}}, 1),
    "another crop layer": (
        lambda w: {"sweep": {"grid": {"pred_iou_thresh": [0.3], "crop_n_layers": [0, 1, 2]}}},
        N_IMAGES / 3,
    ),
    "a lower floor": (lambda w: {"record": {"pred_iou_thresh": 0.1}}, N_IMAGES),
    "another level": (lambda w: {"record": {"mask_thresholds": [1.0]}}, N_IMAGES),
    "another way of computing": (lambda w: {"model": {"apply_postprocessing": False}}, N_IMAGES),
}


@pytest.mark.parametrize("case", CHANGES)
def test_only_what_is_new_is_computed_and_bytes_are_those_of_a_run_from_nothing(workspace, case):
    change, expected = CHANGES[case]
    workspace.run()
    config = change(workspace)
    config = config if isinstance(config, dict) else {}
    plan, n_seen = workspace.run(**config)
    assert n_seen == expected
    anew, n_anew = workspace.run("anew", **config)
    assert n_anew == len(read_table(plan.layout.images))
    assert current(plan) == current(anew)


def test_shards_that_join_again_take_over_their_images(workspace):
    workspace.run(dataset={"shard_size": 2})
    plan, n_seen = workspace.run()
    assert plan.shards() == ["all"]
    assert n_seen == 0
    assert current(plan) == current(workspace.run("anew")[0])


def test_damaged_or_half_replaced_outputs_are_not_taken_over(workspace):
    plan, _ = workspace.run()
    workspace.write("new.png", 100)
    path = plan.layout.candidates(plan.runs[0], "all")
    path.write_bytes(path.read_bytes()[:-20])
    images = plan.layout.pass_images(plan.runs[1], "all")
    shutil.copy(plan.layout.pass_images(plan.runs[0], "all"), images)
    plan, n_seen = workspace.run()
    assert n_seen == N_IMAGES + 1
    assert current(plan) == current(workspace.run("anew")[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("all", ["all", "d01-0", "d01-1", "d02-2", "d05-1f"]),
        ("d01-1", ["d01-1", "all", "d02-2", "d05-1f"]),
        ("d02-2", ["d02-2", "d01-1", "all"]),
        ("d02-3", ["all", "d01-1", "d05-1f"]),
        ("d03-2", ["all", "d01-0"]),
        ("odd", []),
    ],
)
def test_related_shards_are_those_above_and_below(name, expected):
    names = ["d05-1f", "all", "d01-0", "d01-1", "d02-2", "notes", "d2-2"]
    found = ShardNames(names).related(name)
    assert sorted(found) == sorted(expected)
    assert name not in names or found[0] == name
