"""The wheel, built from the sdist, holds all that ``maskgrid run`` needs. make test-wheel installs it for real."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from workflow import ROOT

FILES = [
    *("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"),
    *("Snakefile", "environment.yml"),
]
FOLDERS = ("src", "workflow", "config", "profiles")
SDIST = "from setuptools.build_meta import build_sdist; build_sdist('dist')"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The contents of the wheel in a folder of their own."""
    checkout, folder = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for name in FILES:
        shutil.copy(ROOT / name, checkout)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, checkout / name, symlinks=True, ignore=ignore)
    subprocess.run([sys.executable, "-c", SDIST], cwd=checkout, check=True, capture_output=True)
    (sdist,) = (checkout / "dist").glob("*.tar.gz")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(sdist)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "unpacked")
    return folder / "unpacked"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_every_file_of_the_package_and_of_the_workflow_is_in_the_wheel(unpacked):
    found = contents(unpacked)
    package = {name: content for name, content in contents(ROOT / "src").items() if ".egg-info/" not in name}
    assert {name: found.get(name) for name in package} == package
    for name in ("workflow", "config", "profiles"):
        expected, packed = contents(ROOT / name), contents(unpacked / "maskgrid/pipeline" / name)
        assert {path: packed.get(path) for path in expected} == expected
    for name in ("Snakefile", "environment.yml"):
        assert found[f"maskgrid/pipeline/{name}"] == (ROOT / name).read_bytes()


def test_the_demo_starts_from_the_wheel_in_an_empty_folder(unpacked, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}

    def call(*words: str) -> str:
        command = [sys.executable, "-m", "maskgrid", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("init")
    assert call("run", "-n").startswith("would run: index, ")
    call("init", "--profile", "slurm", "--force")
    assert (tmp_path / "profiles/slurm/config.yaml").read_bytes() == (ROOT / "profiles/slurm/config.yaml").read_bytes()
    log = call("run", "-n", "--verbose")
    assert "index" in log


def test_the_workflow_of_the_wheel_is_the_one_that_runs(unpacked):
    code = "from maskgrid.cli.workflow_files import workflow_folder; print(workflow_folder())"
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(unpacked / "maskgrid/pipeline")
