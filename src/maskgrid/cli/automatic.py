"""The stages of the main job: images in, masks at every setting out."""

import argparse

import orjson

from maskgrid.cli.stages import Commands, add_stage, load_plan
from maskgrid.io.errors import MachineError


def add_main_job(commands: Commands) -> None:
    """Add these subcommands."""
    add_stage(commands, "plan", _plan, "say what a config asks for, what is there and what is missing")
    add_stage(commands, "index", _index, "list the images, check each, and assign them to shards")
    generate = add_stage(commands, "generate", _generate, "run one pass of the network over one shard")
    generate.add_argument("--checkpoint", required=True, help="the checkpoint's folder name, as in maskgrid plan")
    generate.add_argument("--pass", dest="pass_name", required=True, help="the pass's name, as in maskgrid plan")
    generate.add_argument("--shard", required=True, help="the shard's name")
    generate.add_argument("--recording", help="what to record, as JSON (default: what the sweep needs)")
    replay = add_stage(commands, "replay", _replay, "answer all settings for one shard")
    replay.add_argument("--shard", required=True, help="the shard's name")
    add_stage(commands, "gather", _gather, "check that the selections of all shards belong together")
    merge = add_stage(commands, "merge", _merge, "write one setting's masks as COCO")
    merge.add_argument("--setting", required=True, help="a setting's name or id")
    add_stage(commands, "statistics", _statistics, "write the tables of mask counts against settings")
    add_stage(commands, "accept", _accept, "fail if too many images could not be used")
    verify = add_stage(commands, "verify", _verify, "name every file of a results folder that is not what it should be")
    verify.add_argument("--pages", action="store_true", help="read every table as a whole, against its checksums")
    add_stage(commands, "summary", _summary, "print the table of settings")


def _plan(arguments: argparse.Namespace) -> None:
    from maskgrid.dataset.index import source_changes
    from maskgrid.plan.text import plan_text

    plan = load_plan(arguments)
    changes = source_changes(plan)
    print(plan_text(plan))
    if changes:
        print(f"  source    {changes} since the index: shards of these images will run again")


def _index(arguments: argparse.Namespace) -> None:
    from maskgrid.dataset.index import index_dataset

    index_dataset(load_plan(arguments))


def _generate(arguments: argparse.Namespace) -> None:
    from maskgrid.automatic.generate import generate_shard
    from maskgrid.network.allocator import keep_freed_memory
    from maskgrid.plan.passes import Recording

    keep_freed_memory()
    recording = Recording.from_dict(orjson.loads(arguments.recording)) if arguments.recording else None
    generate_shard(load_plan(arguments), arguments.checkpoint, arguments.pass_name, arguments.shard, recording)


def _replay(arguments: argparse.Namespace) -> None:
    from maskgrid.automatic.replay import replay_shard

    replay_shard(load_plan(arguments), arguments.shard)


def _gather(arguments: argparse.Namespace) -> None:
    from maskgrid.automatic.merge import gather

    gather(load_plan(arguments))


def _merge(arguments: argparse.Namespace) -> None:
    from maskgrid.automatic.merge import merge_setting

    merge_setting(load_plan(arguments), arguments.setting)


def _statistics(arguments: argparse.Namespace) -> None:
    from maskgrid.results.statistics.stage import write_statistics

    write_statistics(load_plan(arguments))


def _accept(arguments: argparse.Namespace) -> None:
    from maskgrid.results.accept import accept

    accept(load_plan(arguments))


def _verify(arguments: argparse.Namespace) -> None:
    from maskgrid.io.checks import UNNEEDED
    from maskgrid.results.verify import verify_results

    plan = load_plan(arguments)
    problems = verify_results(plan, arguments.pages)
    for problem in problems:
        print(problem)
    if wrong := [problem for problem in problems if problem.kind != UNNEEDED]:
        raise MachineError(f"{len(wrong)} files of {plan.layout.root} are not what they should be")
    print(f"{plan.layout.root}: complete, and made from this config")


def _summary(arguments: argparse.Namespace) -> None:
    from maskgrid.results.statistics.stage import summary_of

    print(summary_of(load_plan(arguments)))
