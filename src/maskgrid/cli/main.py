"""The command ``maskgrid``: a few subcommands for people, and one per stage for the workflow."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from maskgrid.cli import advice, automatic, people, prompted, results, tracked
from maskgrid.cli.command import Command, option
from maskgrid.io.errors import MachineError, UserError, disk_failure, wrong_torchvision

_BROKEN_PIPE = 141  # a shell's exit code for a program that SIGPIPE ended
# What people type; the help shows these first.
FOR_PEOPLE = ("init", "run", "open", "plan", "verify", "recommend", "tune", "agreement")
COMMANDS = (
    *people.COMMANDS,
    *automatic.COMMANDS,
    *results.COMMANDS,
    *advice.COMMANDS,
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
# Where the words on a command begin, after the longest name.
_HELP_AT = max(len(command.name) for command in COMMANDS) + 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 if the machine failed, 2 for something the user can fix, 130 if interrupted, 141 if the
        reader of a pipe has left; of ``run``, Snakemake's.
    """
    arguments = _parsed(sys.argv[1:] if argv is None else list(argv))
    if arguments is None:
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("maskgrid").setLevel(logging.INFO)
    try:
        code: int = arguments.start(arguments)
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
    except RuntimeError as error:
        wrong = wrong_torchvision(error)
        if wrong is None:
            raise
        print(f"maskgrid: {wrong}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskgrid: interrupted; finished work is kept, run again to continue", file=sys.stderr)
        return 130
    return code


def _parsed(argv: list[str]) -> argparse.Namespace | None:
    """Parse the command line; without a command, print the help and return None.

    What follows ``--`` is for Snakemake. Targets and overrides may stand between options.
    """
    parser = make_parser()
    end = argv.index("--") if argv[:1] == ["run"] and "--" in argv else len(argv)
    arguments, more = parser.parse_known_args(argv[:end])
    if arguments.version:
        from maskgrid.io.fingerprint import maskgrid_version

        print(f"maskgrid {maskgrid_version()}")
        return None
    if not argv:
        parser.print_help()
        return None
    arguments.options = argv[end + 1 :]
    if "words" in arguments:
        arguments.words += [word for word in more if not word.startswith("-")]
        more = [word for word in more if word.startswith("-")]
    if more:
        hint = "; Snakemake's own options follow after --" if argv[0] == "run" else ""
        parser.error(f"unrecognized arguments: {' '.join(more)}{hint}")
    return arguments


def make_parser() -> argparse.ArgumentParser:
    """Build the parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="maskgrid",
        usage="maskgrid COMMAND ...",
        description="Make mask datasets with SAM 2: turn a folder of images into masks at every threshold, segment "
        "prompts, and track objects through videos.",
        epilog=_overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", help=argparse.SUPPRESS, prog="maskgrid")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def _overview() -> str:
    known = {command.name: command for command in COMMANDS}
    stages = [command for command in COMMANDS if command.name not in FOR_PEOPLE]
    return "\n".join(
        [
            *("start:", "  maskgrid init --source FOLDER_OF_IMAGES && maskgrid run && maskgrid open", ""),
            *("commands:", *(_help_line(known[name]) for name in FOR_PEOPLE), ""),
            *("stages, which maskgrid run calls, and single steps:", *map(_help_line, stages), ""),
            "maskgrid COMMAND --help shows a command's options.",
        ]
    )


def _help_line(command: Command) -> str:
    return f"  {command.name:<{_HELP_AT}}{command.help}"


def fetch(checkpoint: str) -> str:
    """Download a checkpoint if needed, and return its path."""
    from maskgrid.network.checkpoints import resolve_checkpoint

    return str(resolve_checkpoint(checkpoint, None).path)
