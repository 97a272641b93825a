"""What a run of the prompted job will do, in a line."""

from maskgrid.dataset.earlier import earlier_outputs
from maskgrid.dataset.tables import read_shard
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin
from maskgrid.io.wording import count
from maskgrid.network.checkpoints import describe_checkpoint
from maskgrid.plan.plan import Plan
from maskgrid.prompted.notes import (
    members_of,
    prediction_origin,
    prompts_origin,
    require_current_prompts,
    rows_of_shard,
    shard_origin,
)
from maskgrid.prompted.prompts import source_path


def line(plan: Plan) -> str:
    """Say which prompts there are, and how many images with prompts the network will see."""
    settings = f" at {len(plan.prompt_settings)} settings" if len(plan.prompt_settings) > 1 else ""
    return f"{plan.prompts.source}{settings}; {_progress(plan)}"


def _progress(plan: Plan) -> str:
    if not plan.layout.prompts.is_file() or not plan.shards():
        return "not started"
    try:
        require_current_prompts(plan)
        is_current = _is_current(plan)
    except UserError:
        is_current = False
    if not is_current:
        return "prompts or images have changed, so they are read again first"
    n_left, n_done = 0, 0
    checkpoint, _ = describe_checkpoint(plan.config.model.checkpoint, plan.config.model.config)
    prediction = prediction_origin(plan, checkpoint)
    for shard in plan.shards():
        images = {image.image_key: image for image in read_shard(plan.layout.images.parent, shard)}
        rows = rows_of_shard(plan.layout, shard, images)
        origin, members, path = (
            shard_origin(prediction, rows, images),
            members_of(rows, images),
            plan.layout.prompted(shard),
        )
        if path.is_file() and _fingerprint(plan, shard) == origin["fingerprint"]:
            n_done += 1
            continue
        n_left += len(members) - sum(len(keys) for _, keys in earlier_outputs(path, origin, members))
    progress = f"{n_done} of {len(plan.shards())} shards done"
    return f"{progress}; network needed for {count(n_left, 'image')}" if n_left else progress


def _is_current(plan: Plan) -> bool:
    try:
        expected = prompts_origin(plan, source_path(plan))["fingerprint"]
    except (OSError, UserError):  # results may outlive their prompts
        return True
    return bool(read_origin(plan.layout.prompts)["fingerprint"] == expected)


def _fingerprint(plan: Plan, shard: str) -> str | None:
    try:
        return read_origin(plan.layout.prompted(shard)).get("fingerprint")
    except UserError:
        return None
