"""Kills of all stages of all jobs at random steps and times: the stage runs again, and ends with the same bytes."""

import json
import logging
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from corpus import scene
from killing import (
    RememberingNetwork,
    RememberingPrompter,
    copy_of,
    count_steps,
    die_after,
    die_at,
    hashes,
)
from made_tiffs import geotiff
from maskgrid import load_model
from maskgrid.automatic.generate import generate_shard
from maskgrid.automatic.merge import gather, merge_setting
from maskgrid.automatic.proposer import Proposer
from maskgrid.automatic.replay import replay_shard
from maskgrid.config.models import Config
from maskgrid.dataset.index import index_dataset
from maskgrid.plan.plan import Plan, make_plan
from maskgrid.prompted.merge import merge_prompted
from maskgrid.prompted.prompt import prompt_shard
from maskgrid.prompted.prompts import write_prompts
from maskgrid.results.accept import accept, write_provenance
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.explorer.stage import write_explorer
from maskgrid.results.exports.stage import export_prompted, export_setting, write_card
from maskgrid.results.leftovers import tidy
from maskgrid.results.report.stage import write_report
from maskgrid.results.statistics.stage import write_statistics
from maskgrid.results.tuning.stage import write_tuning
from maskgrid.tracked.accuracy.evaluate import evaluate_run
from maskgrid.tracked.accuracy.truth import write_true_objects
from maskgrid.tracked.exports.stage import export_run
from maskgrid.tracked.jobs import read_jobs
from maskgrid.tracked.masklets import join_masklets
from maskgrid.tracked.merge import merge_tracked
from maskgrid.tracked.propagation.tracker import load_tracker
from maskgrid.tracked.track import track_job
from maskgrid.tracked.videos.stage import write_videos
from soak.trials import Kind, Trial, WrongError

Stage = Callable[[Plan], object]
# These hold when and where the run was.
OF_THE_RUN = frozenset({"provenance.json", "report/provenance.js", "tracked/provenance.json", "outputs.json"})
FORMS_OF_RUN = ("sa_v", "png", "palette", "mots", "overlay", "overlay_mp4", "player")
CONFIG = {
    "dataset": {
        "source": "photos",
        "shard_size": 3,
        "max_failed_fraction": 0.5,
        "ground_truth": "objects.json",
        "georeference": True,
    },
    "model": {"checkpoint": "demo", "device": "cpu"},
    "generator": {"points_per_side": 3, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3},
    "sweep": {"grid": {"pred_iou_thresh": [0.2, 0.5], "crop_n_layers": [0, 1]}},
    "prompts": {"source": "objects.json", "use": "box"},
    "exports": [
        "card",
        "sa1b",
        "polygons",
        "labels",
        "yolo",
        "geojson",
        "geopackage",
        "webdataset",
        "masks_parquet",
        "cutouts",
    ],
    "tune": {"settings": 30, "folds": 2, "images": 4},
    "tracking": {
        "source": "clips",
        "prompts": "objects.jsonl",
        "exports": ["youtube_vis", "coco", *FORMS_OF_RUN],
        "ground_truth": "true",
    },
}


@dataclass(frozen=True, slots=True)
class State:
    """A stage, the results folder before it, and what is in that folder before and after it."""

    stage: Stage
    folder: Path
    before: dict[str, str]
    after: dict[str, str]
    n_steps: int
    seconds: float


def prepare(folder: Path) -> Trial:
    logging.disable(logging.CRITICAL)
    make_inputs(folder)
    states = snapshots(folder)
    kinds: dict[str, list[str]] = {}
    for name in states:
        kinds.setdefault(name.split()[0], []).append(name)

    def trial(chance: random.Random) -> Iterator[str]:
        if chance.random() < 0.05:
            yield from whole_run(folder, states, chance)
            return
        kind = chance.choice(list(kinds))
        yield from one_stage(folder, states[chance.choice(kinds[kind])], kind, chance)

    return trial


def make_inputs(folder: Path) -> None:
    """Five pictures, one on a map, a cut one, objects on them, and a clip with two objects that are known."""
    (folder / "photos").mkdir()
    for number in range(5):
        PIL.Image.fromarray(scene(40 + number, 56, seed=number)).save(folder / "photos" / f"{number}.png")
    geotiff(folder / "photos" / "map.tif", pixels=scene(40, 60, seed=9))
    (folder / "photos" / "cut.png").write_bytes((folder / "photos" / "0.png").read_bytes()[:200])
    square = [[2, 3, 24, 3, 24, 21, 2, 21]]
    objects = [
        {"id": 9 - n, "image_id": n, "bbox": [2, 3, 20 + n, 18], "segmentation": square, "category_id": 1}
        for n in range(5)
    ]
    images = [{"id": number, "file_name": f"photos/{number}.png"} for number in range(5)]
    coco = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "block"}]}
    (folder / "objects.json").write_text(json.dumps(coco))
    for name in ("clips", "true"):
        (folder / name / "a").mkdir(parents=True)
    for number in range(3):
        shifted = np.roll(scene(40, 56), number, axis=1)
        PIL.Image.fromarray(shifted).save(folder / "clips" / "a" / f"{number}.png")
        true = np.zeros((40, 56), np.uint8)
        true[4:30, 3 + number : 20 + number] = 1
        PIL.Image.fromarray(true).save(folder / "true" / "a" / f"{number}.png")
    rows = [{"video": "a", "frame": 0, "object_id": n, "box_xyxy": [3 * n, 4, 20 + n, 30]} for n in (1, 2)]
    (folder / "objects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def plan_in(folder: Path, results: Path) -> Plan:
    return make_plan(Config.model_validate(CONFIG), folder, results)


def stages(folder: Path, results: Path) -> Iterator[tuple[str, Stage]]:
    """All stages of all jobs in order; those of shards and videos only once these are known."""
    plan, network = plan_in(folder, results), RememberingNetwork(Proposer(load_model("demo", device="cpu")))
    prompter, tracker = RememberingPrompter(network.predictor.model), load_tracker("demo", device="cpu")
    yield "index", index_dataset
    shards = plan.shards()
    yield "truth", write_truth
    for run in plan.runs:
        for shard in shards:
            names = run.folder.split("/")
            yield f"generate {run.folder} {shard}", partial(_generate, names=names, shard=shard, load=network.load)
    yield from ((f"replay {shard}", partial(replay_shard, shard=shard)) for shard in shards)
    yield "gather", gather
    labels = [setting.label for setting in plan.exported()]
    yield from ((f"merge {label}", partial(merge_setting, label=label)) for label in labels)
    yield "statistics", write_statistics
    yield from ((f"evaluate {shard}", partial(evaluate_shard, shard=shard)) for shard in shards)
    yield "accuracy", write_accuracies
    yield "tune", write_tuning
    yield "prompts", write_prompts
    yield from ((f"prompt {shard}", partial(prompt_shard, shard=shard, load=prompter.load)) for shard in shards)
    yield "prompt-merge", merge_prompted
    for form in plan.config.setting_forms():
        yield from ((f"export {form} {label}", partial(export_setting, label=label, form=form)) for label in labels)
    yield from (
        (f"export-prompted {form}", partial(export_prompted, form=form)) for form in plan.config.prompted_forms()
    )
    yield "card", write_card
    yield "videos", write_videos
    jobs = read_jobs(plan.layout.tracked.jobs)
    for job in jobs:
        follow = partial(track_job, run=job.run, group=job.group, load=lambda *_: tracker, every=1)
        yield f"track {job.run} {job.group}", follow
    for run in dict.fromkeys(job.run for job in jobs):
        yield f"masklets {run}", partial(join_masklets, run=run)
        for form in FORMS_OF_RUN:
            yield f"track-export {form} {run}", partial(export_run, name=run, form=form)
    yield "track-truth", write_true_objects
    yield from (
        (f"track-evaluate {run}", partial(evaluate_run, name=run)) for run in dict.fromkeys(job.run for job in jobs)
    )
    yield "track-merge", merge_tracked
    yield from ((f"explorer {shard}", partial(write_explorer, shard=shard)) for shard in shards)
    yield "report", write_report
    yield "provenance", write_provenance
    yield "accept", accept
    yield "tidy", tidy


def _generate(plan: Plan, names: list[str], shard: str, load: Callable[..., Proposer]) -> None:
    generate_shard(plan, *names, shard, load=load)


def snapshots(folder: Path) -> dict[str, State]:
    """Run everything once, and keep the results folder before each stage."""
    results, states = folder / "results", {}
    results.mkdir()
    for number, (name, stage) in enumerate(stages(folder, results)):
        before = copy_of(results, folder / f"before-{number}")
        stage(plan_in(folder, results))
        after = hashes(results)
        trying = plan_in(folder, copy_of(before, folder / "killed"))
        start = time.monotonic()
        n_steps = count_steps(lambda stage=stage, trying=trying: stage(trying))
        states[name] = State(stage, before, hashes(before), after, n_steps, time.monotonic() - start)

    return states


def one_stage(folder: Path, state: State, kind: str, chance: random.Random) -> Iterator[str]:
    """Kill a stage a few times, and run it to its end."""
    plan = plan_in(folder, copy_of(state.folder, folder / "killed"))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if die_somewhere(partial(state.stage, plan), state, chance):
            yield f"kills of {kind}"
        for path, content in hashes(plan.layout.root).items():
            is_hidden = any(part.startswith(".") for part in Path(path).parts)
            known = (state.before.get(path), state.after.get(path))
            if not is_hidden and path not in OF_THE_RUN and content not in known:
                raise WrongError(f"{kind}: {path} is half written")
    state.stage(plan)
    require_same(kind, hashes(plan.layout.root), state.after)


def die_somewhere(work: Callable[[], object], state: State, chance: random.Random) -> bool:
    if chance.random() < 0.6:
        return die_at(work, chance.randint(1, state.n_steps))
    return die_after(work, chance.uniform(0.0, state.seconds))


def whole_run(folder: Path, states: dict[str, State], chance: random.Random) -> Iterator[str]:
    """Run all stages, each killed now and then, from nothing to the end."""
    results = folder / "killed"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    for name, state in states.items():
        plan = plan_in(folder, results)
        while chance.random() < 0.2:
            if die_somewhere(partial(state.stage, plan), state, chance):
                yield f"kills of {name.split()[0]}"
        state.stage(plan)
    yield "whole runs"
    require_same("a whole run", hashes(results), list(states.values())[-1].after)


def require_same(what: str, found: dict[str, str], expected: dict[str, str]) -> None:
    names = (expected.keys() | found.keys()) - OF_THE_RUN
    if differing := sorted(name for name in names if expected.get(name) != found.get(name)):
        raise WrongError(f"{what} ended with other bytes: {', '.join(differing[:10])}")
    if missing := OF_THE_RUN & expected.keys() - found.keys():
        raise WrongError(f"{what} ended without {', '.join(missing)}")


KIND = Kind("kills", prepare, 10_000, 50, 300.0, None, "kills of stages")
