"""Measure time and memory that Snakemake takes to plan (`snakemake -n`), by number of shards.

    python benchmarks/plan_scale.py [100 1000 10000] [--annotations baseline|all] [--images-per-shard 64]

For each number of shards, make a fake dataset in a temporary folder: an index with that many shards, a list of images
that do not exist, and a config with 100 settings of one pass. Then measure three calls of Snakemake, each in its own
process: the plan of the first run, when only the index exists; the plan once everything is done, with fake outputs and
Snakemake's own records of them (pretend_done.py); and a start that finds nothing to do. Each cell has wall time, CPU
time (the same on an idle machine) and peak memory. `--also` adds arguments to the calls, for instance
`--also=--batch --also=statistics=1/10`.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import yaml

from maskgrid.automatic.tables import CANDIDATES
from maskgrid.config.files import parse_config
from maskgrid.config.models import Config
from maskgrid.dataset.tables import ARCHIVES_SCHEMA, FILES_SCHEMA, IMAGES_SCHEMA, SHARDS_SCHEMA
from maskgrid.io.tables import write_table
from maskgrid.plan.plan import Plan, make_plan

ROOT = Path(__file__).parents[1]
SWEEP = {
    "pred_iou_thresh": {"start": 0.5, "stop": 0.95, "step": 0.05},
    "stability_score_thresh": {"start": 0.5, "stop": 0.95, "step": 0.05},
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call took, and its output."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


def main() -> int:
    """Print one row per number of shards."""
    arguments = parse()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| shards | images | jobs | first plan | no-op plan | no-op start |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for n_shards in arguments.shards:
        folder = Path(tempfile.mkdtemp(prefix="plan-scale-", dir=arguments.folder))
        try:
            print(f"| {n_shards:,} | {n_shards * arguments.images_per_shard:,} | ", end="", flush=True)
            for words in measure(folder, n_shards, arguments):
                print(words, end=" | ", flush=True)
            print()
        finally:
            if not arguments.keep:
                shutil.rmtree(folder)
    return 0


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="*", type=int, default=[100, 1000, 10000])
    parser.add_argument("--annotations", default="baseline", help="settings to export: baseline, all")
    parser.add_argument("--images-per-shard", type=int, default=64)
    parser.add_argument("--also", action="append", default=[], help="another argument for the measured calls")
    parser.add_argument("--first-only", action="store_true", help="measure only the plan of the first run")
    parser.add_argument("--folder", type=Path, help="where to make the fake datasets")
    parser.add_argument("--keep", action="store_true", help="do not delete the fake datasets")
    return parser.parse_args()


def measure(folder: Path, n_shards: int, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield cells: the number of jobs of the first run, then time and memory of the three calls."""
    plan = pretend_dataset(folder, n_shards, arguments)
    first = snakemake(folder, "-n", "--quiet", "rules", *arguments.also)
    totals = re.findall(r"^total +(\d+)$", first.output, re.MULTILINE)
    yield f"{int(totals[0]):,}"
    yield cell(first)
    if arguments.first_only:
        return
    pretend_outputs(plan, folder)
    call(folder, str(Path(__file__).with_name("pretend_done.py")), str(ROOT / "Snakefile"))
    for options in (["-n"], ["--cores", "2"]):
        cost = snakemake(folder, *options, *arguments.also)
        if "Nothing to be done" not in cost.output or "missing provenance" in cost.output:
            raise SystemExit(f"Snakemake still found something to do:\n{cost.output[-3000:]}")
        yield cell(cost)


def cell(cost: Cost) -> str:
    """Format a cost as a cell."""
    return f"{cost.wall_s:.0f} s, CPU {cost.cpu_s:.0f} s, {cost.peak_mb:,.0f} MB"


def pretend_dataset(folder: Path, n_shards: int, arguments: argparse.Namespace) -> Plan:
    """Write an index with this many shards, and a config for it."""
    n_images = n_shards * arguments.images_per_shard
    (folder / "images.txt").write_text("".join(f"photos/{number:09d}.jpg\n" for number in range(n_images)))
    config = {
        "dataset": {"source": "images.txt", "shard_size": arguments.images_per_shard},
        "sweep": {"grid": SWEEP},
        "annotations": [arguments.annotations],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    plan = plan_of(parse_config(config, "config"), folder)
    shards = [
        {
            "shard": f"d16-{number:04x}",
            "n_images": arguments.images_per_shard,
            "digest": f"{number:064x}",
            "first_key": "",
        }
        for number in range(n_shards)
    ]
    # Planning reads only the shards; of the other tables it checks only the age.
    write_table(plan.layout.images, IMAGES_SCHEMA.empty_table(), {"fingerprint": ""})
    write_table(plan.layout.archives, ARCHIVES_SCHEMA.empty_table(), {})
    write_table(plan.layout.files, FILES_SCHEMA.empty_table(), {})
    write_table(plan.layout.shards, pa.Table.from_pylist(shards, SHARDS_SCHEMA), {})
    return plan


def plan_of(config: Config, folder: Path) -> Plan:
    """Plan a run of a config in a folder."""
    return make_plan(config, folder, folder / "results")


def pretend_outputs(plan: Plan, folder: Path) -> None:
    """Write every output of the workflow, empty but for the footers that planning reads."""
    layout = plan.layout
    for run in plan.runs:
        model = folder / "pass.parquet"
        write_table(model, CANDIDATES.empty_table(), {"recording": run.recording.as_dict()})
        for shard in plan.shards():
            copy(model, layout.candidates(run, shard))
            copy(model, layout.pass_images(run, shard))
    for shard in plan.shards():
        copy(model, layout.selections(shard))
        copy(model, layout.shard_counts(shard))
    copy(model, layout.gathered)
    for table in ("settings", "mask_counts", "summary", "effects", "interactions"):
        copy(model, layout.statistics(table))
    for setting in plan.exported():
        copy(model, layout.annotations(setting.label))
    for setting in plan.exported():
        copy(model, layout.root / "report" / "overlays" / f"{setting.label}.jpg")
    for page in ("index.html", "explorer.html"):
        copy(model, layout.root / "report" / page)
    copy(model, layout.explorer_images)
    for shard in plan.shards():
        layout.explorer_data(shard).mkdir(parents=True)
    for path in (layout.card, layout.croissant, layout.accepted, layout.provenance):
        copy(model, path)


def copy(model: Path, path: Path) -> None:
    """Copy a file; the copy is newer than all earlier ones, so outputs must be copied in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, path)


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Run Snakemake in a folder and measure it."""
    return call(folder, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments)


def call(folder: Path, *arguments: str) -> Cost:
    """Run Python in a folder and measure it.

    Raises:
        SystemExit: if it fails.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    log = folder / "output.log"
    started = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    output = log.read_text(errors="replace")
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{output[-3000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(time.perf_counter() - started, cpu_s, usage.ru_maxrss / 1024, output)


if __name__ == "__main__":
    sys.exit(main())
