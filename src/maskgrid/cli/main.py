"""The command ``maskgrid``: one subcommand a stage, as the workflow calls them and people can by hand."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from maskgrid.cli import automatic, prompted, results, tracked
from maskgrid.cli.command import Command, option
from maskgrid.io.errors import MachineError, UserError, disk_failure

_BROKEN_PIPE = 141  # as the shell says it of a program that SIGPIPE ends
COMMANDS = (
    *automatic.COMMANDS,
    *results.COMMANDS,
    *prompted.COMMANDS,
    *tracked.COMMANDS,
    Command(
        "fetch",
        "download an official checkpoint and verify it",
        "cli.main:fetch",
        (option("checkpoint", help="for instance sam2.1_hiera_tiny"),),
        reads_config=False,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 where the machine failed, 2 for what the user can mend, 130 when interrupted, 141 where what
        reads the output has gone.
    """
    arguments = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("maskgrid").setLevel(logging.INFO)
    try:
        arguments.start(arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"maskgrid: {error}", file=sys.stderr)
        return 2
    except MachineError as error:
        print(f"maskgrid: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Who reads has seen enough, as head has; the interpreter must not try to write the rest on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except OSError as error:
        failure = disk_failure(error)
        if failure is None:
            raise
        print(f"maskgrid: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("maskgrid: interrupted; what is finished stays, run again to go on", file=sys.stderr)
        return 130
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands."""
    parser = argparse.ArgumentParser(
        prog="maskgrid", description="A folder of images into a mask dataset with SAM 2, at every threshold."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def fetch(checkpoint: str) -> str:
    """Where a checkpoint lies, once it has been downloaded."""
    from maskgrid.network.checkpoints import resolve_checkpoint

    return str(resolve_checkpoint(checkpoint, None).path)
