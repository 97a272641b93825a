"""Run the real workflow in a test's folder."""

import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from maskgrid.network.checkpoints import resolve_checkpoint
from warm import client

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Run:
    """What a call of Snakemake did or, in a dry run, would do."""

    code: int
    output: str

    @property
    def finished(self) -> Counter[str]:
        """Number of jobs that finished, by rule."""
        return Counter(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", self.output))

    @property
    def planned(self) -> Counter[str]:
        """Number of jobs that a dry run would run, by rule."""
        table = self.output.partition("Job stats:")[2].partition("\n\n")[0]
        return Counter({name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)})


def snakemake(folder: Path, config: dict | None, *arguments: str) -> Run:
    """Run the workflow in ``folder`` with this config; None keeps the config that is there.

    A config that names no network gets the demo's.
    """
    if config is not None:
        model = {"checkpoint": "demo", **config.get("model", {})}
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, "model": model}))
    command = [client(), "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2", *arguments]
    sources = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": sources}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return Run(done.returncode, done.stdout.decode(errors="replace"))


def copy_own_weights(folder: Path) -> None:
    """Put weights and their YAML into a folder, as a user's own: ``mine.pt`` and ``mine.yaml``."""
    demo = resolve_checkpoint("demo", None)
    shutil.copy(demo.path, folder / "mine.pt")
    shutil.copy(demo.config, folder / "mine.yaml")


def finish_and_copy(folder: Path, config: dict) -> Path:
    """Run the workflow to its end, and copy the folder, for :func:`restored`; returns the copy's path."""
    run = snakemake(folder, config)
    assert run.code == 0, run.output
    saved = folder.with_name("saved")
    shutil.copytree(folder, saved)
    return saved


def restored(folder: Path, saved: Path) -> Path:
    """A folder as it was when it was copied, at the same path and with the same times."""
    shutil.rmtree(folder)
    shutil.copytree(saved, folder)
    return folder
