"""Prompts on images that an earlier job has finished are not segmented again, unless image or prompts changed."""

import json

import pytest

from corpus import encode, scene
from killing import RememberingPrompter, hashes, tiny_plan
from maskgrid.dataset.index import index_dataset
from maskgrid.prompted.prompt import prompt_shard
from maskgrid.prompted.prompts import write_prompts

N_IMAGES = 6


class Counting(RememberingPrompter):
    n_runs = 0

    def run_settings(self, image, prompts, settings):
        self.n_runs += 1
        return self.prompter.run_settings(image, prompts, settings)


class Workspace:
    def __init__(self, folder, model):
        self.folder, self.network = folder, Counting(model)
        (folder / "source").mkdir()
        for number in range(N_IMAGES):
            self.draw(f"{number}.png", number)
        self.boxes = {f"{number}.png": [2, 3, 30, 18] for number in range(N_IMAGES)}
        self.ids = {name: number for number, name in enumerate(self.boxes)}

    def draw(self, name, seed):
        (self.folder / "source" / name).write_bytes(encode(scene(40, 60, seed=seed), "PNG"))

    def run(self, results="results", shard_size=64, **prompts):
        names = sorted(self.boxes)
        file = {
            "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
            "annotations": [
                {"id": self.ids[name], "image_id": number, "bbox": self.boxes[name], "category_id": 1}
                for number, name in enumerate(names)
            ],
            "categories": [{"id": 1, "name": "thing"}],
        }
        (self.folder / "boxes.json").write_text(json.dumps(file))
        plan = tiny_plan(
            self.folder / "source",
            self.folder / results,
            dataset={"source": str(self.folder / "source"), "shard_size": shard_size},
            prompts={"source": str(self.folder / "boxes.json"), **prompts},
        )
        index_dataset(plan)
        write_prompts(plan)
        self.network.n_runs = 0
        for shard in plan.shards():
            prompt_shard(plan, shard, self.network.load)
        return plan, self.network.n_runs


def current(plan):
    return {shard: hashes(plan.layout.root)[f"prompted/{shard}.parquet"] for shard in plan.shards()}


def new_image(workspace):
    workspace.draw("00.png", 100)
    workspace.boxes["00.png"], workspace.ids["00.png"] = [5, 5, 20, 20], 99


CHANGES = {
    "nothing": (lambda w: None, {}, 0),
    "a new image": (new_image, {}, 1),
    "another box": (lambda w: w.boxes.update({"3.png": [5, 5, 20, 20]}), {}, 1),
    "an object less": (lambda w: w.boxes.pop("3.png"), {}, 0),
    "other content": (lambda w: w.draw("3.png", 100), {}, 1),
    "smaller shards": (lambda w: None, {"shard_size": 2}, 0),
    "another way of predicting": (lambda w: None, {"refine_rounds": 1}, N_IMAGES),
}


@pytest.mark.parametrize("case", CHANGES)
def test_only_what_is_new_is_segmented_and_bytes_are_those_of_a_run_from_nothing(tmp_path, demo_model, case):
    change, config, expected = CHANGES[case]
    workspace = Workspace(tmp_path, demo_model)
    workspace.run()
    change(workspace)
    plan, n_runs = workspace.run(**config)
    anew, n_anew = workspace.run("anew", **config)
    assert (n_runs, n_anew) == (expected, len(workspace.boxes))
    assert current(plan) == current(anew)
