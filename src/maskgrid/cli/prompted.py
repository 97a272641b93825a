"""Commands of the prompted job: prompts in, their masks out."""

from maskgrid.cli.command import SHARD, Command

COMMANDS = (
    Command("prompts", "read the prompts and check each against its image", "prompted.prompts:write_prompts"),
    Command("prompt", "segment the prompts of one shard", "prompted.prompt:prompt_shard", (SHARD,), runs_network=True),
    Command("prompt-merge", "write the prompts' masks as COCO, and their statistics", "prompted.merge:merge_prompted"),
)
