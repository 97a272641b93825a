"""Subcommands as entries of a table.

A command imports its function only when it runs: ``maskgrid plan`` must not wait for torch.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from maskgrid.network.allocator import keep_freed_memory

Option = tuple[tuple[str, ...], dict[str, Any]]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def option(*flags: str, **how: Any) -> Option:  # noqa: ANN401
    """A command's option, as arguments of argparse's ``add_argument``."""
    return flags, how


SETTING = option("--setting", required=True, help="a setting's name or id")
SHARD = option("--shard", required=True, help="a shard's name")
_CONFIG = (
    option("--config", type=Path, metavar="FILE", help="config (default: config.yaml or config.yml)"),
    option("--results", type=Path, metavar="FOLDER", default=Path("results"), help="results folder (default: results)"),
    option("--base", type=Path, metavar="FOLDER", default=Path(), help="where relative paths start (default: here)"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand.

    Attributes:
        name: what people type after ``maskgrid``.
        help: one line, starting with a verb.
        run: the function, as ``package.module:function`` below ``maskgrid``. It takes the plan, then the values of
            ``one_of`` and ``options`` in order. If it returns text, the text is printed; a number is the exit code.
        options: this command's own options.
        one_of: more options, at most one of which may be given; those with the same ``dest`` share one value.
        reads_config: False if the function takes no plan: no ``--config``, ``--results`` or ``--base``.
        takes_overrides: whether ``section.key=value`` on the command line changes the config, as for ``run``.
        runs_network: whether to call :func:`maskgrid.keep_freed_memory` first.
    """

    name: str
    help: str
    run: str
    options: tuple[Option, ...] = ()
    one_of: tuple[Option, ...] = ()
    reads_config: bool = True
    runs_network: bool = False
    takes_overrides: bool = False

    def function(self) -> Callable[..., str | int | None]:
        """Import the function."""
        module, _, name = self.run.partition(":")
        function: Callable[..., str | int | None] = getattr(import_module(f"maskgrid.{module}"), name)
        return function

    def add_to(self, commands: Commands) -> None:
        """Add a parser for the command; its default ``start`` runs the command."""
        description = f"{self.help[0].upper()}{self.help[1:]}."
        parser = commands.add_parser(self.name, description=description)
        for flags, how in _CONFIG if self.reads_config else ():
            parser.add_argument(*flags, **how)
        if self.takes_overrides:
            parser.add_argument("words", nargs="*", metavar="key=value", help="changes to the config, as for run")
        goals = parser.add_mutually_exclusive_group() if self.one_of else parser
        actions = [goals.add_argument(*flags, **how) for flags, how in self.one_of]
        actions += [parser.add_argument(*flags, **how) for flags, how in self.options]
        parser.set_defaults(start=partial(self._start, list(dict.fromkeys(action.dest for action in actions))))

    def _start(self, names: list[str], arguments: argparse.Namespace) -> int:
        function, values = self.function(), [getattr(arguments, name) for name in names]
        if self.runs_network:
            keep_freed_memory()
        if not self.reads_config:
            return _told(function(*values))
        from maskgrid.config.files import CONFIG_NAMES, config_in, load_config
        from maskgrid.config.places import placed
        from maskgrid.plan.plan import make_plan

        path = arguments.config or config_in(Path()) or Path(CONFIG_NAMES[0])
        # A job's config is written by the workflow: people have no use for a line of it.
        is_of_job = path == arguments.results / "config.json"
        with placed([] if is_of_job else [path]):
            config = load_config(path)
            if self.takes_overrides:
                from maskgrid.cli.overrides import only_overrides, overridden

                config = overridden(config, only_overrides(arguments.words))
            return _told(function(make_plan(config, arguments.base, arguments.results), *values))


def _told(result: str | int | None) -> int:
    """Print what a command returns, and return its exit code."""
    if isinstance(result, int):
        return result
    if result is not None:
        print(result)
    return 0
