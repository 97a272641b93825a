"""Commands of the main job: images in, masks at every setting out."""

from typing import TYPE_CHECKING

import orjson

from maskgrid.cli.command import SETTING, SHARD, Command, option

if TYPE_CHECKING:
    from maskgrid.plan.plan import Plan

COMMANDS = (
    Command(
        "plan",
        "show what a config asks for, what is done and what is missing",
        "results.forecast:plan_text",
        (option("--verbose", action="store_true", help="list every setting"),),
        takes_overrides=True,
    ),
    Command("index", "list and check the images, and assign the good ones to shards", "dataset.index:index_dataset"),
    Command(
        "generate",
        "run one pass of the network over one shard",
        "cli.automatic:generate",
        (
            option("--checkpoint", required=True, help="the checkpoint's folder name, as maskgrid plan prints it"),
            option("--pass", dest="pass_name", required=True, help="the pass's name, as maskgrid plan prints it"),
            SHARD,
            option("--recording", help="what to record, as JSON (default: what the sweep needs)"),
        ),
        runs_network=True,
    ),
    Command(
        "tiles",
        "run one job's share of the tiles of a shard's large images, for generate",
        "cli.automatic:tiles",
        (
            option("--checkpoint", required=True, help="the checkpoint's folder name, as maskgrid plan prints it"),
            option("--pass", dest="pass_name", required=True, help="the pass's name, as maskgrid plan prints it"),
            SHARD,
            option("--job", required=True, type=int, help="which share, from 1 (dataset.tiles_per_job)"),
            option("--recording", help="what to record, as JSON (default: what the sweep needs)"),
        ),
        runs_network=True,
    ),
    Command(
        "replay",
        "select every setting's masks for one shard, without the network",
        "automatic.replay.stage:replay_shard",
        (SHARD,),
    ),
    Command(
        "gather",
        "check that the selections of all shards belong together, and record their origin",
        "automatic.merge:gather",
    ),
    Command("merge", "write one setting's masks as COCO", "automatic.merge:merge_setting", (SETTING,)),
)


def generate(plan: "Plan", checkpoint: str, pass_name: str, shard: str, recording: str | None) -> None:
    """Run one pass over one shard; ``recording`` is JSON."""
    from maskgrid.automatic.generate.stage import generate_shard
    from maskgrid.plan.passes import Recording

    recorded = Recording.from_dict(orjson.loads(recording)) if recording else None
    generate_shard(plan, checkpoint, pass_name, shard, recorded)


def tiles(plan: "Plan", checkpoint: str, pass_name: str, shard: str, job: int, recording: str | None) -> None:
    """Run one job's share of the tiles of a shard; ``recording`` is JSON."""
    from maskgrid.automatic.generate.stage import share_tiles
    from maskgrid.plan.passes import Recording

    recorded = Recording.from_dict(orjson.loads(recording)) if recording else None
    share_tiles(plan, checkpoint, pass_name, shard, job, recorded)
