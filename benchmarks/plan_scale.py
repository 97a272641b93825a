"""What it costs Snakemake to plan: time and memory of `snakemake -n`, by the number of shards.

    python benchmarks/plan_scale.py [100 1000 10000] [--annotations baseline|all] [--images-per-shard 64]

For each number of shards a pretended dataset is made in a temporary folder: an index with that many shards, a list of
images that are nowhere, and a config with 100 settings of one pass. Three calls of Snakemake are measured, each a
process of its own: the plan of the first run, when nothing but the index is there; the plan when everything is there,
all outputs pretended and Snakemake's own records of them made (pretend_done.py); and the start that finds nothing to
do. Each cell says wall time, processor time (the same on an idle machine) and the peak of memory. `--also` adds
arguments to the calls, for instance `--also=--batch --also=statistics=1/10`.
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
    """What a call took, and how it ended."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


def main() -> int:
    """Print a row a number of shards."""
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
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="*", type=int, default=[100, 1000, 10000])
    parser.add_argument("--annotations", default="baseline", help="settings to export: baseline, all")
    parser.add_argument("--images-per-shard", type=int, default=64)
    parser.add_argument("--also", action="append", default=[], help="a further argument of the measured calls")
    parser.add_argument("--first-only", action="store_true", help="only the plan of the first run")
    parser.add_argument("--folder", type=Path, help="where to make the pretended datasets")
    parser.add_argument("--keep", action="store_true", help="leave them there")
    return parser.parse_args()


def measure(folder: Path, n_shards: int, arguments: argparse.Namespace) -> Iterator[str]:
    """The jobs of the first run, then time and memory of the three calls, as cells."""
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
            raise SystemExit(f"something was left to do:\n{cost.output[-3000:]}")
        yield cell(cost)


def cell(cost: Cost) -> str:
    """A cost in words."""
    return f"{cost.wall_s:.0f} s, CPU {cost.cpu_s:.0f} s, {cost.peak_mb:,.0f} MB"


def pretend_dataset(folder: Path, n_shards: int, arguments: argparse.Namespace) -> Plan:
    """An index with this many shards, and a config for it."""
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
    # Planning reads the shards alone; of images and files it asks only how old they are.
    write_table(plan.layout.images, IMAGES_SCHEMA.empty_table(), {"fingerprint": ""})
    write_table(plan.layout.archives, ARCHIVES_SCHEMA.empty_table(), {})
    write_table(plan.layout.files, FILES_SCHEMA.empty_table(), {})
    write_table(plan.layout.shards, pa.Table.from_pylist(shards, SHARDS_SCHEMA), {})
    return plan


def plan_of(config: Config, folder: Path) -> Plan:
    """The plan of a config, for a run in a folder."""
    return make_plan(config, folder, folder / "results")


def pretend_outputs(plan: Plan, folder: Path) -> None:
    """Every output of the workflow, of no content but for the footers that planning reads."""
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
    for path in (layout.card, layout.croissant, layout.accepted, layout.provenance):
        copy(model, path)


def copy(model: Path, path: Path) -> None:
    """A copy of a file, younger than those before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, path)


def snakemake(folder: Path, *arguments: str) -> Cost:
    """Call Snakemake in a folder, and measure it."""
    return call(folder, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments)


def call(folder: Path, *arguments: str) -> Cost:
    """Call Python in a folder, and measure it.

    Raises:
        SystemExit: it has failed.
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
        raise SystemExit(f"{' '.join(arguments)} has failed:\n{output[-3000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(time.perf_counter() - started, cpu_s, usage.ru_maxrss / 1024, output)


if __name__ == "__main__":
    sys.exit(main())
