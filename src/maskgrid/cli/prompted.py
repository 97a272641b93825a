"""The stages of given objects."""

import argparse

from maskgrid.cli.stages import Commands, add_stage, load_plan


def add_given_objects(commands: Commands) -> None:
    """Add these subcommands."""
    add_stage(commands, "prompts", _prompts, "read the given objects, and check each against its image")
    prompt = add_stage(commands, "prompt", _prompt, "segment the given objects of one shard")
    prompt.add_argument("--shard", required=True, help="the shard's name")
    add_stage(commands, "prompt-merge", _prompt_merge, "write the given objects' masks as COCO, with statistics")


def _prompts(arguments: argparse.Namespace) -> None:
    from maskgrid.prompted.prompts import write_prompts

    write_prompts(load_plan(arguments))


def _prompt(arguments: argparse.Namespace) -> None:
    from maskgrid.network.allocator import keep_freed_memory
    from maskgrid.prompted.prompt import prompt_shard

    keep_freed_memory()
    prompt_shard(load_plan(arguments), arguments.shard)


def _prompt_merge(arguments: argparse.Namespace) -> None:
    from maskgrid.prompted.merge import merge_prompted

    print(merge_prompted(load_plan(arguments)))
