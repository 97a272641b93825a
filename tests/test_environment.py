"""The environments that people install: the lock file's, and conda's with the same pins."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
LOCK = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line]


def test_conda_has_the_pins_of_the_lock_file():
    pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    assert pip == LOCK


def test_every_requirement_is_pinned_once():
    names = [re.match(r"[\w.-]+", line)[0].lower() for line in LOCK]
    assert all("==" in line for line in LOCK)
    assert len(set(names)) == len(names)


def test_every_dependency_is_in_the_lock_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {re.match(r"[\w.-]+", line)[0].lower() for line in LOCK}
    needed = {re.match(r"[\w.-]+", name)[0].lower() for name in project["dependencies"]}
    assert needed <= pinned
