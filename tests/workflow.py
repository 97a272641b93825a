"""Runs of the real workflow in a folder of its own."""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Run:
    """What a call of Snakemake did, or with a dry run would do."""

    code: int
    output: str

    @property
    def finished(self) -> Counter[str]:
        """Jobs that ran to their end, by rule."""
        return Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", self.output, re.MULTILINE))

    @property
    def planned(self) -> Counter[str]:
        """Jobs that a dry run would run, by rule."""
        table = self.output.partition("Job stats:")[2].partition("\n\n")[0]
        return Counter({name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)})


def snakemake(folder: Path, config: dict | None, *arguments: str) -> Run:
    """Run the workflow in ``folder`` with a config."""
    if config is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return Run(done.returncode, done.stdout)
