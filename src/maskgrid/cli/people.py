"""The commands that people type: init, run, open."""

import argparse
from pathlib import Path

from maskgrid.cli.command import Command, option

_RESULTS = option("--results", type=Path, metavar="FOLDER", default=Path("results"), help="default: results")

COMMANDS = (
    Command(
        "init",
        "write a config.yaml to start from",
        "cli.init:init",
        (
            option("folder", nargs="?", type=Path, default=Path(), help="where to write it (default: here)"),
            option("--source", help="your images: a folder, a glob, a list, a COCO file, tar archives (default: demo)"),
            option("--checkpoint", help="demo, sam2.1_hiera_large, another name or a .pt file"),
            option("--profile", help="also copy a Snakemake profile into profiles/: slurm or default"),
            option("--force", action="store_true", help="overwrite files that are there"),
        ),
        reads_config=False,
    ),
    Command(
        "run",
        "run the workflow: what is missing or out of date is made, by Snakemake",
        "cli.people:run",
        (
            option(
                "words",
                nargs="*",
                metavar="TARGET|key=value",
                help="prompted, tracked or a file of the results (default: all); changes to the config for this run, "
                "such as generator.points_per_side=16; what follows -- is for Snakemake",
            ),
            option("--config", type=Path, metavar="FILE", default=Path("config.yaml"), help="default: config.yaml"),
            _RESULTS,
            option("--profile", metavar="NAME", help="a Snakemake profile: slurm, a name in ./profiles or a folder"),
            option("--cores", type=int, metavar="N", help="number of CPU cores (default: the profile's, else all)"),
            option("-n", "--dry-run", action="store_true", help="only say what would run"),
            option("--verbose", action="store_true", help="show all that Snakemake and the jobs say"),
            option("--options", nargs="*", default=[], help=argparse.SUPPRESS),
        ),
        reads_config=False,
    ),
    Command(
        "open",
        "open a page of the results in the browser, and print its path",
        "cli.pages:open_page",
        (
            option("page", nargs="?", choices=("report", "explorer", "tracked", "player"), help="default: the report"),
            _RESULTS,
        ),
        reads_config=False,
    ),
)


def run(
    words: list[str],
    config: Path,
    results: Path,
    profile: str | None,
    cores: int | None,
    dry_run: bool,
    verbose: bool,
    options: list[str],
) -> int:
    """Run the workflow; returns the exit code."""
    from maskgrid.cli.running.run import Request, run

    return run(Request(tuple(words), config, results, profile, cores, dry_run, verbose, tuple(options)))
