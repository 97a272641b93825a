"""Check that the automatic job's outputs are what its config, images and checkpoints make."""

from collections.abc import Callable, Container, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

from maskgrid.automatic.notes import (
    annotated_origin,
    annotations_fingerprint,
    gathered_origin,
    pass_origin,
    selections_origin,
)
from maskgrid.config.pixels import PLAIN
from maskgrid.config.settings import Setting
from maskgrid.dataset.annotations.region_masks import region_contents
from maskgrid.dataset.changes import source_changes
from maskgrid.dataset.on_map import is_on_map
from maskgrid.io.checks import UNNEEDED, Problem, check_annotations, check_origin, check_table, check_tables, same_run
from maskgrid.io.errors import UserError
from maskgrid.io.files import is_hidden
from maskgrid.io.tables import read_origin
from maskgrid.io.wording import count, some
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.plan.passes import PassRun, Recording
from maskgrid.plan.plan import Plan

SELECTED_FROM = "candidates or settings"


def is_begun(plan: Plan) -> bool:
    """Return whether the automatic job has begun; an index beside a table of prompts is the prompted job's."""
    folders = (plan.layout.root / name for name in ("candidates", "selections", "statistics"))
    is_for_prompts = plan.config.prompts is not None and plan.layout.prompts.is_file()
    return any(folder.is_dir() for folder in folders) or (plan.layout.images.is_file() and not is_for_prompts)


def verify(plan: Plan) -> Iterator[Problem]:
    """Check candidates, selections and COCO files, and report stray files among them."""
    checkpoint, digests = cache(plan.checkpoint), plan.shard_digests()
    regions = cache(partial(region_contents, plan))
    for shard, digest in digests.items():
        for run in plan.runs:
            yield from _check_candidates(plan, run, shard, digest, checkpoint)
        yield from _check_selections(plan, shard, regions)
    yield from check_origin(plan.layout.gathered, lambda: gathered_origin(plan)["fingerprint"], "other selections")
    yield from _check_merged(plan)
    yield from _strangers(plan.layout.root, digests.keys())


def check_index(plan: Plan) -> list[Problem]:
    """Check the tables of the index: that the same run wrote them all, and shows images as the config says."""
    paths = (plan.layout.images, plan.layout.files, plan.layout.shards, plan.layout.archives)
    problems = [problem for path in paths for problem in check_table(path)]
    problems = problems or [problem for path in paths[1:] for problem in same_run(paths[0], path)]
    shown = plan.config.dataset.pixels.model_dump(mode="json")
    # An index of a version without the section says nothing.
    if not problems and read_origin(plan.layout.files).get("pixels", PLAIN.model_dump(mode="json")) != shown:
        problems.append(Problem("stale", plan.layout.images, "was made with another dataset.pixels"))
    if not problems and is_on_map(plan.layout.images) != plan.config.dataset.georeference:
        problems.append(Problem("stale", plan.layout.images, "was made with another dataset.georeference"))
    return problems


def check_source(plan: Plan) -> Iterator[Problem]:
    """Check that the source has the images of the index, with the same content, if it is still there."""
    try:
        changes = source_changes(plan)
    except UserError:  # results may outlive their images
        return
    if changes is not None and changes.affects_results:
        named = (("new", changes.new), ("of other content", changes.changed), ("gone", changes.gone))
        listed = [f"{count(len(keys), 'image')} {how} ({some(keys)})" for how, keys in named if keys]
        if listed:
            yield Problem("stale", plan.layout.images, f"the source has changed: {', '.join(listed)}")
        if changes.readable:
            installed = ", ".join(f"maskgrid[{extra}]" for extra in changes.extras)
            tried = f"{count(len(changes.readable), 'image')} may be readable now ({some(changes.readable)})"
            yield Problem("stale", plan.layout.images, f"{tried}: {installed} is installed")


def _check_candidates(
    plan: Plan, run: PassRun, shard: str, digest: str, checkpoint: Callable[[str], Checkpoint]
) -> Iterator[Problem]:
    """Check a pass's candidates for a shard: complete, from these images, and enough for the sweep."""
    path, images = plan.layout.candidates(run, shard), plan.layout.pass_images(run, shard)
    problems = [*check_table(path), *check_table(images)]
    yield from problems
    if problems:
        return
    yield from same_run(path, images)
    origin = read_origin(path)
    expected = {**pass_origin(plan.config.model, checkpoint(run.checkpoint), run), "images": digest}
    for name, value in expected.items():
        if origin.get(name) != value:
            yield Problem("stale", path, f"was made with {name} {origin.get(name)}, but now it is {value}")
    if not Recording.from_dict(origin["recording"]).covers(run.recording):
        yield Problem("stale", path, "holds less than the sweep's thresholds need")


def _check_selections(plan: Plan, shard: str, regions: Callable[[], Mapping[str, str]]) -> Iterator[Problem]:
    """Check the selections and counts of a shard."""
    paths = plan.layout.selections(shard), plan.layout.shard_counts(shard)
    yield from check_tables(paths, lambda: selections_origin(plan, shard, regions())["fingerprint"], SELECTED_FROM)


def _check_merged(plan: Plan) -> Iterator[Problem]:
    """Check the COCO file of each setting that the config exports."""
    dataset = cache(partial(annotated_origin, plan))  # a footer of each shard, read once for all settings
    for setting in plan.exported():

        def expected(setting: Setting = setting) -> str:
            return annotations_fingerprint(setting, dataset())

        yield from check_annotations(plan.layout.annotations(setting.label), expected, "masks or settings")


def _strangers(root: Path, shards: Container[str]) -> Iterator[Problem]:
    """Stray files among the tables; candidates of passes that the config does not need now are kept for later."""
    for folder in ("candidates", "selections"):
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or is_hidden(path, root):
                continue
            if path.suffix != ".parquet":
                yield Problem("foreign", path, "was not written by maskgrid")
            elif path.name.split(".")[0] not in shards:
                yield Problem(UNNEEDED, path, "belongs to a shard that is no longer in the index; it may be deleted")
