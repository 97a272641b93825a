"""Check the outputs of the prompted job, for the command ``verify``."""

from collections.abc import Iterator
from functools import cache

from maskgrid.io.checks import Problem, check_annotations, check_picture, check_tables
from maskgrid.plan.plan import Plan
from maskgrid.prompted.notes import merged_origin, prediction_origin, prompts_origin, read_shard_origin
from maskgrid.prompted.prompts import source_path


def is_begun(plan: Plan) -> bool:
    """Return whether the config asks for prompts and the stage ``prompts`` has run."""
    return plan.config.prompts is not None and plan.layout.prompts.is_file()


def verify(plan: Plan) -> Iterator[Problem]:
    """Yield problems with the files of the prompted job; none if the config has no prompts.

    Reads the source again, and the pictures that it names as masks.
    """
    if plan.config.prompts is None:
        return
    layout = plan.layout
    prediction = cache(lambda: prediction_origin(plan, plan.checkpoint()))
    yield from check_tables(
        [layout.prompts], lambda: prompts_origin(plan, source_path(plan))["fingerprint"], "prompts or images"
    )
    for shard in plan.shards():

        def expected(shard: str = shard) -> str:
            return str(read_shard_origin(layout, shard, prediction())["fingerprint"])

        yield from check_tables([layout.prompted(shard)], expected, "prompts, images or parameters")
    merged = cache(lambda: str(merged_origin(plan)["fingerprint"]))
    yield from check_tables([layout.prompted_statistics, layout.prompted_settings], merged, "prompted masks")
    yield from check_annotations(layout.prompted_annotations, merged, "prompted masks")
    yield from check_picture(layout.prompted_worst, merged)
