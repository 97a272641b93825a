"""Kill runs: each is a process forked from one that has already loaded the network."""

import hashlib
import json
import mmap
import os
import shutil
import signal
import struct
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import PIL.Image
from sam2.modeling.sam2_base import SAM2Base
from tqdm import tqdm

from corpus import scene
from maskgrid.automatic.candidates import Candidates
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard
from maskgrid.automatic.merge import gather, merge_setting
from maskgrid.automatic.replay.stage import replay_shard
from maskgrid.config.models import Config, ModelConfig
from maskgrid.config.prompts import PromptConfig
from maskgrid.dataset.annotations.objects import Prompt
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.pixels.windows import Picture
from maskgrid.io.files import Step, observed
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.plan.passes import Pass, Recording
from maskgrid.plan.plan import Plan, make_plan
from maskgrid.prompted.merge import merge_prompted
from maskgrid.prompted.prompt import prompt_shard
from maskgrid.prompted.prompter import PromptedMasks, Prompter
from maskgrid.prompted.prompts import write_prompts
from maskgrid.results.accept import accept, write_provenance
from maskgrid.results.explorer.stage import write_explorer
from maskgrid.results.exports.stage import export_setting
from maskgrid.results.report.stage import write_report
from maskgrid.results.statistics.stage import write_statistics

Work = Callable[[], None]
Stage = Callable[[Plan], object]


class RememberingNetwork(Proposer):
    """A network that computes each image and pass only once, and counts all requests, those of forks included."""

    def __init__(self, network: Proposer) -> None:
        self.network, self.predictor = network, network.predictor
        self.known: dict[tuple[object, ...], Candidates] = {}
        self._counter = mmap.mmap(-1, 8)  # shared with forked processes

    def run(
        self, image: Picture, pass_: Pass, recording: Recording, points_per_batch: int = 64, *others: object
    ) -> Candidates:
        pixels = image.read((0, 0, *image.size_hw[::-1]))
        key = hashlib.sha256(pixels.tobytes()).digest(), pixels.shape, pass_.name, str(recording.as_dict())
        if key not in self.known:
            self.known[key] = self.network.run(image, pass_, recording, points_per_batch)
        self.n_runs += 1
        return self.known[key]

    def prepare(self, picture: Picture, pass_: Pass) -> Picture:
        return self.network.prepare(picture, pass_)

    def load(self, model: ModelConfig, checkpoint: Checkpoint) -> Proposer:
        return self

    @property
    def n_runs(self) -> int:
        return struct.unpack("q", self._counter[:8])[0]

    @n_runs.setter
    def n_runs(self, value: int) -> None:
        self._counter[:8] = struct.pack("q", value)


class RememberingPrompter(Prompter):
    """The same for prompts: it computes each image only once."""

    def __init__(self, model: SAM2Base) -> None:
        self.model, self.known = model, {}

    def run_settings(
        self, image: np.ndarray, prompts: Sequence[Prompt], settings: Sequence[PromptConfig]
    ) -> list[list[PromptedMasks]]:
        key = hashlib.sha256(image.tobytes()).digest(), image.shape
        if key not in self.known:
            self.known[key] = self.prompter.run_settings(image, prompts, settings)
        return self.known[key]

    def load(self, model: ModelConfig, checkpoint: Checkpoint) -> Prompter:
        self.prompter = Prompter(self.model)
        return self


def write_images(folder: Path) -> None:
    """Write five small pictures, a truncated one, and a COCO file with a box on each of the five."""
    folder.mkdir()
    for number in range(5):
        PIL.Image.fromarray(scene(40 + number, 56, seed=number)).save(folder / f"{number}.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:200])
    boxes = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(5)],
        "annotations": [{"id": 9 - n, "image_id": n, "bbox": [2, 3, 20 + n, 18], "category_id": 1} for n in range(5)],
        "categories": [{"id": 1, "name": "block"}],
    }
    (folder / "boxes.json").write_text(json.dumps(boxes))


def tiny_plan(source: Path, results: Path, base: Path = Path(), **changes: object) -> Plan:
    """Plan a run of seconds: few points, two passes, some settings, several shards; paths are relative to ``base``."""
    config = {
        "dataset": {"source": str(source), "shard_size": 3, "max_failed_fraction": 0.5},
        "model": {"checkpoint": "demo"},
        "generator": {"points_per_side": 4, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5},
        "sweep": {"grid": {"pred_iou_thresh": [0.3, 0.6], "crop_n_layers": [0, 1]}},
        "exports": [],
    }
    return make_plan(Config.model_validate(config | changes), base, results)


def stages(plan: Plan, network: RememberingNetwork) -> Iterator[tuple[str, Stage]]:
    """The run's stages in order, by name; those of shards only once the index exists."""
    yield "index", index_dataset
    for run in plan.runs:
        for shard in plan.shards():
            folder, name = run.folder.split("/")

            def generate(plan: Plan, folder: str = folder, name: str = name, shard: str = shard) -> None:
                generate_shard(plan, folder, name, shard, load=network.load)

            yield f"generate {name} {shard}", generate
    for shard in plan.shards():
        yield f"replay {shard}", lambda plan, shard=shard: replay_shard(plan, shard)
    yield "gather", gather
    for setting in plan.exported():
        yield f"merge {setting.label}", lambda plan, label=setting.label: merge_setting(plan, label)
    if plan.config.prompts:
        prompter = RememberingPrompter(network.predictor.model)
        yield "prompts", write_prompts
        for shard in plan.shards():
            yield f"prompt {shard}", lambda plan, shard=shard: prompt_shard(plan, shard, prompter.load)
        yield "prompt-merge", merge_prompted
    yield "statistics", write_statistics
    for form in plan.config.setting_forms():
        for setting in plan.exported():
            export = partial(export_setting, label=setting.label, form=form)
            yield f"export {form} {setting.label}", export
    for shard in plan.shards():
        yield f"explorer {shard}", lambda plan, shard=shard: write_explorer(plan, shard)
    yield "report", write_report
    yield "accept", finish


def finish(plan: Plan) -> None:
    write_provenance(plan)
    accept(plan)


def run_all(plan: Plan, network: RememberingNetwork) -> None:
    for _, stage in stages(plan, network):
        stage(plan)


def die_at(work: Work, step: int) -> bool:
    """Run ``work`` in a process that is killed at its ``step``-th step; return whether it got that far."""

    def child() -> None:
        steps = count(1)

        def kill(_: Step, __: Path) -> None:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        with observed(kill):
            work()

    return _was_killed(_fork(child))


def die_after(work: Work, seconds: float) -> bool:
    """Run ``work`` in a process that is killed after some time; return whether it was still working."""
    pid = _fork(work)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return _was_killed(pid)


def count_steps(work: Work) -> int:
    steps: list[Step] = []
    with observed(lambda step, path: steps.append(step)):
        work()
    return len(steps)


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder, including hidden ones; not of benchmarks, which hold times."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "benchmarks"
    }


def copy_of(folder: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(folder, target)


def _fork(work: Work) -> int:
    with warnings.catch_warnings():
        # Python 3.12+ warns about forking a process with threads. Ours are idle.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    try:
        # tqdm's own lock is shared with all forked processes, and a killed one may hold it forever.
        tqdm.set_lock(threading.RLock())
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _was_killed(pid: int) -> bool:
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed without being killed"
    return False
