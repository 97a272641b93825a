"""Checks of what the prompted job has written, for the command ``verify``."""

from collections.abc import Iterator
from functools import partial

from maskgrid.io.checks import Problem, check_annotations, check_picture, check_tables
from maskgrid.plan.plan import Plan
from maskgrid.prompted.notes import merged_note, prompts_note, read_shard_note
from maskgrid.prompted.prompts import source_path


def check_prompted(plan: Plan) -> Iterator[Problem]:
    """Name what is amiss with the files of given objects; nothing where the config has none.

    The source is read again for it, and so are the pictures that it names as masks.
    """
    if plan.config.prompts is None:
        return
    layout = plan.layout
    yield from check_tables([layout.prompts], lambda: _of_source(plan), "prompts or images")
    for shard in plan.shards():
        expected = partial(_of_shard, plan, shard)
        yield from check_tables([layout.prompted(shard)], expected, "prompts, images or parameters")
    made = partial(_of_all, plan)
    yield from check_tables([layout.prompted_statistics, layout.prompted_settings], made, "masks of given objects")
    yield from check_annotations(layout.prompted_annotations, made, "masks of given objects")
    yield from check_picture(layout.prompted_worst, made)


def _of_source(plan: Plan) -> str:
    fingerprint: str = prompts_note(plan, source_path(plan))["fingerprint"]
    return fingerprint


def _of_shard(plan: Plan, shard: str) -> str:
    fingerprint: str = read_shard_note(plan, shard)["fingerprint"]
    return fingerprint


def _of_all(plan: Plan) -> str:
    fingerprint: str = merged_note(plan)["fingerprint"]
    return fingerprint
