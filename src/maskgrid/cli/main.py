"""The command ``maskgrid``: one subcommand per stage, for the workflow and for people."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from maskgrid.cli import automatic, prompted, results, tracked
from maskgrid.cli.command import Command, option
from maskgrid.io.errors import MachineError, UserError, disk_failure

_BROKEN_PIPE = 141  # a shell's exit code for a program that SIGPIPE ended
COMMANDS = (
    *automatic.COMMANDS,
    *results.COMMANDS,
    *prompted.COMMANDS,
    *tracked.COMMANDS,
    Command(
        "fetch",
        "download and verify an official checkpoint, and print its path",
        "cli.main:fetch",
        (option("checkpoint", help="such as sam2.1_hiera_tiny"),),
        reads_config=False,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 if the machine failed, 2 for something the user can fix, 130 if interrupted, 141 if the
        reader of a pipe has left.
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
        # The reader, such as head, has seen enough; keep the interpreter from writing the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except OSError as error:
        failure = disk_failure(error)
        if failure is None:
            raise
        print(f"maskgrid: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("maskgrid: interrupted; finished work is kept, run again to continue", file=sys.stderr)
        return 130
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="maskgrid",
        description="Make mask datasets with SAM 2: turn a folder of images into masks at every threshold, segment "
        "prompts, and track objects through videos.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def fetch(checkpoint: str) -> str:
    """Download a checkpoint if needed, and return its path."""
    from maskgrid.network.checkpoints import resolve_checkpoint

    return str(resolve_checkpoint(checkpoint, None).path)
