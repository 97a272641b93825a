"""Is what the automatic job has written what its config, images and checkpoints make?"""

from collections.abc import Iterator
from functools import cache, partial

from maskgrid.automatic.notes import annotations_fingerprint, dataset_note, gathered_note, selections_note
from maskgrid.config.settings import Setting
from maskgrid.io.checks import Problem, check_annotations, check_note, check_table, check_tables, same_run
from maskgrid.io.tables import read_origin
from maskgrid.network.checkpoints import checkpoint_id
from maskgrid.plan.notes import network_note
from maskgrid.plan.passes import PassRun, Recording
from maskgrid.plan.plan import Plan

SELECTED_FROM = "candidates or settings"


def check_index(plan: Plan) -> list[Problem]:
    """Check the tables of the index, and that one run wrote them all."""
    paths = (plan.layout.images, plan.layout.files, plan.layout.shards, plan.layout.archives)
    problems = [problem for path in paths for problem in check_table(path)]
    return problems or [problem for path in paths[1:] for problem in same_run(paths[0], path)]


def check_candidates(plan: Plan, run: PassRun, shard: str) -> Iterator[Problem]:
    """Check what a pass recorded for a shard: whole, from these images, and enough for the sweep."""
    folder = checkpoint_id(run.checkpoint)
    path, images = (where(folder, run.pass_.name, shard) for where in (plan.layout.candidates, plan.layout.pass_images))
    problems = [*check_table(path), *check_table(images)]
    yield from problems
    if problems:
        return
    yield from same_run(path, images)
    note = read_origin(path)
    for name, value in {**network_note(plan, run), "images": plan.shard_digests()[shard]}.items():
        if note.get(name) != value:
            yield Problem("stale", path, f"was made with {name} {note.get(name)}, and now it is {value}")
    if not Recording.from_dict(note["recording"]).covers(run.recording):
        yield Problem("stale", path, "holds less than the sweep's thresholds need")


def check_selections(plan: Plan, shard: str) -> Iterator[Problem]:
    """Check the selections and counts of a shard."""
    paths = plan.layout.selections(shard), plan.layout.shard_counts(shard)
    yield from check_tables(paths, lambda: selections_note(plan, shard)["fingerprint"], SELECTED_FROM)


def check_gathered(plan: Plan) -> Iterator[Problem]:
    """Check the file that stands for the selections of all shards."""
    return check_note(plan.layout.gathered, lambda: gathered_note(plan)["fingerprint"], "other selections")


def check_merged(plan: Plan) -> Iterator[Problem]:
    """Check the COCO file of each setting that the config exports."""
    note = cache(partial(dataset_note, plan))  # a footer of each shard, read once for all settings
    for setting in plan.exported():

        def expected(setting: Setting = setting) -> str:
            return annotations_fingerprint(plan, setting, note())

        yield from check_annotations(plan.layout.annotations(setting.label), expected, "masks or settings")
