"""Tracking stages killed at any write and restarted end with the same bytes."""

import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from made_videos import with_points, write_videos

from killing import copy_of, count_steps, die_at, hashes
from maskgrid.config.models import Config
from maskgrid.plan.plan import make_plan
from maskgrid.tracked.accuracy.evaluate import evaluate_run
from maskgrid.tracked.accuracy.truth import write_true_objects
from maskgrid.tracked.exports.stage import export_run
from maskgrid.tracked.masklets import join_masklets
from maskgrid.tracked.merge import merge_tracked
from maskgrid.tracked.track import track_job
from maskgrid.tracked.videos.stage import write_videos as index_videos

RUN = "sub~frames"
# How many moments of a stage to test at most, evenly spaced, including the first and the last.
MOMENTS = {
    "videos": 12,
    "track": 8,
    "masklets": 12,
    "png": 12,
    "overlay": 12,
    "overlay_mp4": 6,
    "player": 8,
    "truth": 10,
    "evaluate": 5,
    "merge": 16,
}


class Runs:
    """Snapshots of a run before each stage, and the hashes after the stage if nothing kills it."""

    def __init__(self, folder, tracker):
        self.folder = folder
        clip = write_videos(folder / "clips")
        points = with_points(clip.masks[0, 0])
        for number, mask in enumerate(clip.masks[:, 0]):
            path = folder / "true" / "sub" / "frames" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(mask.astype(np.uint8)).save(path)
        (folder / "prompts.csv").write_text(f'video,frame,point_coords\nsub/frames,0,"{points}"\n')
        self.stages = {
            "videos": index_videos,
            "track": lambda plan: track_job(plan, RUN, load=lambda *_: tracker, every=1),
            "masklets": lambda plan: join_masklets(plan, RUN),
            "png": lambda plan: export_run(plan, RUN, "png"),
            "overlay": lambda plan: export_run(plan, RUN, "overlay"),
            "overlay_mp4": lambda plan: export_run(plan, RUN, "overlay_mp4"),
            "player": lambda plan: export_run(plan, RUN, "player"),
            "truth": write_true_objects,
            "evaluate": lambda plan: evaluate_run(plan, RUN),
            "merge": merge_tracked,
        }
        self.states = {}
        results = folder / "whole"
        for name, stage in self.stages.items():
            before = copy_of(results, folder / f"before-{name}") if results.exists() else None
            stage(self.plan(results))
            self.states[name] = before, hashes(results)

    def plan(self, results):
        tracking = {"source": "clips", "prompts": "prompts.csv", "stop": 3, "ground_truth": "true"}
        return make_plan(Config.model_validate({"tracking": tracking}), self.folder, results)

    def begin(self, name):
        """Copy the results folder as it was before the stage."""
        killed = self.folder / "killed"
        before = self.states[name][0]
        return self.plan(copy_of(before or self.folder / "nothing", killed))


@pytest.fixture(scope="module")
def runs(tracker):
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        (Path(folder) / "nothing").mkdir()
        yield Runs(Path(folder), tracker)


@pytest.mark.parametrize("name", MOMENTS)
def test_a_stage_killed_at_any_step_ends_with_the_same_bytes(runs, name):
    stage, (before, whole) = runs.stages[name], runs.states[name]
    old = hashes(before) if before else {}
    n_steps = count_steps(lambda: stage(runs.begin(name)))
    assert n_steps >= 5  # at least one file: create, write, sync, rename, sync folder
    moments = range(1, n_steps + 1, max(1, n_steps // MOMENTS[name]))
    for step in (*moments, n_steps):
        plan = runs.begin(name)
        assert die_at(lambda plan=plan: stage(plan), step), f"{name} has no step {step}"
        for path, content in hashes(plan.layout.root).items():
            hidden = any(part.startswith(".") for part in Path(path).parts)
            assert hidden or content in (old.get(path), whole.get(path)), f"{name} at {step}: {path} is half written"
        stage(plan)
        assert hashes(plan.layout.root) == whole, f"{name} killed at step {step}"
