"""Run the real workflow in a test's folder."""

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# A server that imports Snakemake once and forks for each call, because the import takes most of a dry run's time.
SERVER = """
import json, os, sys
from snakemake import cli
import maskgrid.plan.plan, maskgrid.dataset.index

for line in sys.stdin:
    folder, output, arguments = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, stream), (2, stream)):
            os.dup2(source, descriptor)
        cli.main(arguments)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What a call of Snakemake did or, in a dry run, would do."""

    code: int
    output: str

    @property
    def finished(self) -> Counter[str]:
        """Number of jobs that finished, by rule."""
        return Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", self.output, re.MULTILINE))

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
    server = _server()
    with tempfile.NamedTemporaryFile("r", errors="replace") as output:
        call = [str(folder), output.name, ["-s", str(ROOT / "Snakefile"), "--cores", "2", *arguments]]
        server.stdin.write(json.dumps(call) + "\n")
        server.stdin.flush()
        return Run(int(server.stdout.readline()), output.read())


@cache
def _server() -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(server.communicate)
    return server
