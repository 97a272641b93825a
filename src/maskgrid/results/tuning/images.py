"""Read the images that settings are judged on, with their candidates and annotated objects."""

from maskgrid.automatic.candidates import Candidates, read_shard_results
from maskgrid.dataset.annotations.region_masks import read_regions
from maskgrid.dataset.tables import files_by_key
from maskgrid.io.errors import UserError
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import Plan
from maskgrid.results.accuracy.stage import NO_OBJECTS, read_objects
from maskgrid.results.advice.goals import Goal
from maskgrid.results.statistics.spread import sample
from maskgrid.results.tuning.evaluation import Image


def read_images(plan: Plan, goal: Goal, at_most: int | None) -> list[Image]:
    """Read the images, chosen by hash if there are more than ``at_most``; those that a pass failed on are left out.

    Raises:
        UserError: a table is missing, the goal needs ground truth and there is none, or there are fewer than
            two images.
    """
    keys = _keys(plan, goal)
    wanted = set(keys if at_most is None else sample(keys, at_most))
    found: dict[str, dict[tuple[str, str], Candidates]] = {}
    shards = plan.shards()
    for shard in shown(shards, len(shards), "reading candidates", "shards"):
        for run, result in read_shard_results(plan, shard):
            if result.image_key in wanted and result.candidates is not None:
                found.setdefault(result.image_key, {})[run.checkpoint, run.pass_.name] = result.candidates
    complete = sorted(key for key, parts in found.items() if len(parts) == len(plan.runs))
    if len(complete) < 2:
        raise UserError(
            f"tune: needs at least 2 images{' with annotated objects' if goal.needs_truth else ''} on which every pass "
            f"succeeded, to judge a setting on others than it was found on; there are {len(complete)}"
        )
    objects = read_objects(plan, complete) if goal.needs_truth else {}
    regions = _regions(plan, complete)
    return [
        Image(key, found[key], objects.get(key, NO_OBJECTS) if goal.needs_truth else None, regions.get(key, {}))
        for key in complete
    ]


def _regions(plan: Plan, keys: list[str]) -> dict[str, dict[str, bytes]]:
    """The images' parts of ``filters.region``."""
    if not plan.regions():
        return {}
    return read_regions(plan, list(files_by_key(plan.layout.files, keys).values()))


def has_objects(plan: Plan) -> bool:
    """Whether there are annotated objects to measure against.

    Raises:
        UserError: there should be, but their table is missing or truncated.
    """
    if plan.ground_truth() is None:
        return False
    return bool(read_table(plan.layout.ground_truth("objects"), ["status"], [("status", "=", "ok")]).num_rows)


def _keys(plan: Plan, goal: Goal) -> list[str]:
    is_good = [("status", "=", "ok")]
    if not goal.needs_truth:
        keys: list[str] = read_table(plan.layout.images, ["image_key"], is_good)["image_key"].to_pylist()
        return keys
    if plan.ground_truth() is None:
        raise UserError(
            f"tune: the goal is {goal.words()}, but there are none; set dataset.ground_truth (with segmentations), or "
            "choose another goal"
        )
    annotated = read_table(plan.layout.ground_truth("images"), ["image_key"], is_good)
    known: list[str] = annotated["image_key"].to_pylist()
    return known
