"""The environments that users install: from the lock file, and conda's with the same pins."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import PIL.Image
import yaml

from scripts.lockfile import conda_environment, read_lock

ROOT = Path(__file__).parents[2]
PINS = read_lock(ROOT / "requirements.lock")


def test_conda_has_the_lock_files_pins():
    text = (ROOT / "environment.yml").read_text()
    assert conda_environment(text, PINS) == text
    pip = yaml.safe_load(text)["dependencies"][-1]["pip"]
    assert [line.partition(";")[0] for line in pip] == [f"{pin.name}=={pin.version}" for pin in PINS]


def test_every_dependency_is_in_the_lock_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {pin.name for pin in PINS}
    needed = {re.match(r"[\w.-]+", name)[0].lower() for name in project["dependencies"]}
    assert needed <= pinned


# A stand-in for conda that answers Snakemake's calls. Its environments hold a Python that logs its arguments and then
# runs the Python of these tests.
CONDA = """#!/bin/bash
case "$1 $2" in
  "--version ") echo "conda 25.1.0" ;;
  "info --json") echo '{"conda_prefix": "FOLDER", "platform": "linux-64"}' ;;
  "config --get") echo '{"get": {"channel_priority": "strict"}}' ;;
  "clean -y") ;;
  "env create")
    while [ $# -gt 0 ]; do
      case "$1" in --file) file=$2 ;; --prefix) prefix=$2 ;; esac
      shift
    done
    mkdir -p "$prefix/bin"
    cat "$file" >> FOLDER/created.yml
    printf '#!/bin/bash\necho "$@" >> FOLDER/called.txt\nexec PYTHON "$@"\n' > "$prefix/bin/python"
    chmod +x "$prefix/bin/python" ;;
  *) echo "the stand-in for conda does not know: $*" >&2; exit 1 ;;
esac
"""


def test_jobs_run_in_the_environment_made_by_a_stand_in_for_conda(tmp_path):
    """Shows that Snakemake finds each job's file, not that conda can install it: conda may not be installed here."""
    conda, activate = tmp_path / "bin" / "conda", tmp_path / "bin" / "activate"
    conda.parent.mkdir()
    conda.write_text(CONDA.replace("FOLDER", str(tmp_path)).replace("PYTHON", sys.executable))
    activate.write_text('export PATH="$1/bin:$PATH"\n')
    conda.chmod(0o755)
    (tmp_path / "images").mkdir()
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    config = {
        "dataset": {"source": "images"},
        "model": {"checkpoint": "demo"},
        "generator": {"points_per_side": 1},
        "exports": ["card", "polygons"],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    environment = {**os.environ, "PATH": f"{conda.parent}:{os.environ['PATH']}"}
    call = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
    call += ["--software-deployment-method", "conda"]
    run = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "created.yml").read_text() == (ROOT / "environment.yml").read_text()  # the same for all rules
    called = re.findall(r"^-m maskgrid ([\w-]+)", (tmp_path / "called.txt").read_text(), re.MULTILINE)
    jobs = {"index", "generate", "replay", "gather", "merge", "export", "statistics", "report", "card", "accept"}
    jobs |= {"explorer", "provenance", "tidy"}
    assert set(called) == jobs
    # Without conda, the same results count as finished.
    again = subprocess.run(
        [*call[:-2], "-n"], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )
    assert "Nothing to be done" in again.stdout + again.stderr
