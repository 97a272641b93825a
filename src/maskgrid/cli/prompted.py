"""Commands of the prompted job: prompts in, their masks out."""

from maskgrid.cli.command import SHARD, Command

COMMANDS = (
    Command("prompts", "read the prompts and check each against its image", "prompted.prompts:write_prompts"),
    Command("prompt", "segment the prompts of one shard", "prompted.prompt:prompt_shard", (SHARD,), runs_network=True),
    Command("prompt-merge", "write the masks of all prompts as COCO, with statistics", "prompted.merge:merge_prompted"),
)
