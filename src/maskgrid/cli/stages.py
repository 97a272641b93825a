"""What subcommands that read a config have in common.

Each command imports its stage when it runs: ``maskgrid plan`` must not wait for torch.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from maskgrid.plan.plan import Plan

Command = Callable[[argparse.Namespace], None]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_stage(commands: Commands, name: str, run: Command, help_text: str) -> argparse.ArgumentParser:
    """Add a subcommand with the options that all stages have."""
    parser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="config file (default: config.yaml)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: results)")
    parser.add_argument("--base", type=Path, default=Path(), help="folder that relative paths start from")
    parser.set_defaults(run=run)
    return parser


def load_plan(arguments: argparse.Namespace) -> "Plan":
    """The plan of the config that the options name.

    Raises:
        maskgrid.io.errors.UserError: the config is missing or wrong.
    """
    from maskgrid.config.files import load_config
    from maskgrid.plan.plan import make_plan

    return make_plan(load_config(arguments.config), arguments.base, arguments.results)
