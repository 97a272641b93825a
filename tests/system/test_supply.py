"""What is installed, by hash; what is said of faults and licences."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.audit import verdict
from scripts.lockfile import Pin, conda_environment, read_lock, wanted
from scripts.sbom import complete

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-loaders.lock", "requirements-supply.lock")
HASH = "a" * 64
PINS = [
    Pin("numpy", "2.4.6", "", (HASH,)),
    Pin("nvidia-cublas", "13.1", "sys_platform == 'linux'", (HASH,)),
    Pin("sam2", "1.1.0", "", (HASH,)),
    Pin("torch", "2.14.1", "", (HASH,)),
    Pin("torchvision", "0.29.1", "", (HASH,)),
]


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_the_hashes_of_its_files(name):
    pins = read_lock(ROOT / name)
    assert len(pins) > 20
    assert len({pin.name for pin in pins}) == len(pins)
    assert all(pin.hashes and len(set(pin.hashes)) == len(pin.hashes) for pin in pins)
    assert [pin.name for pin in pins] == sorted(pin.name for pin in pins)


def test_what_only_tests_need_is_installed_by_hash_and_agrees_with_the_extras():
    pins = {pin.name for pin in read_lock(ROOT / "requirements-tests.lock")}
    assert not pins & {pin.name for pin in read_lock(ROOT / "requirements.lock")}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    needed = {re.match(r"[\w-]+", name)[0] for name in (*extras["maps"], *extras["large"])}
    assert needed | {"axe-playwright-python"} <= pins
    assert "--require-hashes --no-deps -r requirements-tests.lock" in (ROOT / "Makefile").read_text()


def test_packages_with_code_for_platforms_have_a_hash_for_each():
    pins = {pin.name: pin for pin in read_lock(ROOT / "requirements.lock")}
    assert all(len(pins[name].hashes) > 10 for name in ("numpy", "pandas", "pillow", "scipy", "torch", "torchvision"))


@pytest.mark.parametrize(
    "line",
    [
        "numpy==2.4.6",
        "numpy>=2 --hash=sha256:" + HASH,
        "numpy==2.4.6 --hash=sha256:abc",
        "numpy==2.4.6 --hash=md5:" + HASH,
        "-e .",
        "https://host/numpy.whl --hash=sha256:" + HASH,
    ],
)
def test_a_line_without_pin_or_hash_is_refused(tmp_path, line):
    path = tmp_path / "some.lock"
    path.write_text(PINS[0].line() + "\n" + line + "\n")
    with pytest.raises(ValueError, match=r"some.lock: not a pin with hashes: .*; run make lock"):
        read_lock(path)


def test_lines_are_read_back(tmp_path):
    path = tmp_path / "some.lock"
    path.write_text("# a comment\n" + "\n".join(pin.line().replace(" --", " \\\n    --") for pin in PINS) + "\n")
    assert read_lock(path) == PINS


@pytest.mark.parametrize(
    ("torch", "has_torchvision", "left_out"),
    [
        (None, False, set()),  # none yet, or one with CUDA
        ("2.14.1+cpu", True, {"torch", "torchvision", "nvidia-cublas"}),
        ("2.13.0+cpu", True, {"torch", "torchvision", "nvidia-cublas"}),
        ("2.14.1+rocm7.1", True, {"torch", "torchvision", "nvidia-cublas"}),
        ("2.14.1", True, {"nvidia-cublas"}),  # macOS and conda; pip sees that these are the lock's versions
        ("2.13.0", True, set()),  # replaced by the lock's version, with what that needs
    ],
)
def test_a_build_of_torch_without_cuda_is_kept(torch, has_torchvision, left_out):
    names = {pin.name for pin in wanted(PINS, torch, has_torchvision)}
    assert names == {pin.name for pin in PINS} - left_out


def test_the_locks_torchvision_is_not_put_beside_another_build_of_torch():
    with pytest.raises(ValueError, match=r"2\.14\.1\+cpu is installed without torchvision.*run make again"):
        wanted(PINS, "2.14.1+cpu", has_torchvision=False)


def test_what_is_built_here_comes_after_torch():
    def names(what):
        call = [sys.executable, "scripts/lockfile.py", what]
        lines = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        assert all("--hash=sha256:" in line for line in lines)
        return {line.partition("==")[0] for line in lines}

    assert names("all") - names("first") == {"sam2", "antlr4-python3-runtime", "iopath"}


def test_the_pins_for_conda():
    text = "# A comment\ndependencies:\n  - pip\n  - pip:\n      - 'old==1'\n"
    assert conda_environment(text, PINS[:2]) == (
        "# A comment\ndependencies:\n  - pip\n  - pip:\n"
        "      - 'numpy==2.4.6'\n      - 'nvidia-cublas==13.1; sys_platform == \"linux\"'\n"
    )


def test_pip_refuses_a_file_with_another_hash(tmp_path):
    """Shows that the hashes are not decoration: a package from a folder, once with its hash and once with another."""
    package = tmp_path / "src" / "tiny"
    package.mkdir(parents=True)
    (package / "setup.py").write_text("from setuptools import setup\nsetup(name='tiny', version='1.0')\n")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    wheels = ["--no-index", "--no-deps", "--find-links", str(tmp_path / "wheels")]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path / "wheels")]
    subprocess.run([*build, str(package)], check=True, capture_output=True)
    wheel = next((tmp_path / "wheels").glob("*.whl"))
    right = subprocess.run([*pip, "hash", str(wheel)], capture_output=True, text=True, check=True).stdout
    seen = {}
    for name, digest in (("right", re.search(r"sha256:(\w+)", right)[1]), ("wrong", HASH)):
        (tmp_path / f"{name}.txt").write_text(Pin("tiny", "1.0", "", (digest,)).line() + "\n")
        install = [*pip, "install", "--require-hashes", "--target", str(tmp_path / name), *wheels]
        done = subprocess.run(
            [*install, "-r", str(tmp_path / f"{name}.txt")], capture_output=True, text=True, check=False
        )
        seen[name] = done.returncode
    assert seen == {"right": 0, "wrong": 1}


def report(*packages):
    return json.dumps({"dependencies": list(packages), "fixes": []})


GOOD = {"name": "numpy", "version": "2.4.6", "vulns": []}
BAD = {"name": "zipp", "version": "4.1.2", "vulns": [{"id": "CVE-1", "fix_versions": ["5.0"], "aliases": []}]}
UNFIXED = {"name": "yte", "version": "1.9", "vulns": [{"id": "CVE-2", "fix_versions": [], "aliases": []}]}
SKIPPED = {"name": "wrapt", "skip_reason": "Dependency not found on PyPI and could not be audited"}
OFFLINE = "Traceback ...\nrequests.exceptions.ConnectionError: HTTPSConnectionPool: Failed to resolve 'host'"


@pytest.mark.parametrize(
    ("code", "output", "errors", "said", "exit_code"),
    [
        (0, report(GOOD), "", "1 packages looked up, known faults: 0", 0),
        (1, report(GOOD, BAD), "", "zipp 4.1.2: CVE-1, fixed in 5.0\n2 packages looked up, known faults: 1", 1),
        (1, report(UNFIXED), "", "yte 1.9: CVE-2, fixed in no version yet\n1 packages looked up, known faults: 1", 1),
        (0, report(GOOD, SKIPPED), "", "1 packages looked up, known faults: 0\nNOT AUDITED: wrapt", 0),
        # pip-audit itself says "No known vulnerabilities found" here, having asked nobody.
        (0, report(SKIPPED), "No known vulnerabilities found", "NOT AUDITED: no answer for any of 1 packages", 0),
        (1, "", OFFLINE, "NOT AUDITED: the database of faults did not answer", 0),
        (1, "", "pip_audit._service.interface.ServiceError", "NOT AUDITED: the database of faults did not answer", 0),
        (1, "", "ValueError: a mistake", "pip-audit failed: ValueError: a mistake", 2),
        (2, "", "", "pip-audit failed: exit code 2", 2),
    ],
)
def test_what_is_said_of_faults(code, output, errors, said, exit_code):
    line, got = verdict(code, output, errors)
    assert line.startswith(said)
    assert got == exit_code


def test_licences_are_of_the_same_version():
    """make sbom itself checks its file against CycloneDX's schema."""
    lock = {
        "metadata": {"component": {"bom-ref": "root", "name": "maskgrid"}},
        "components": [
            {"bom-ref": "requirements-L1", "name": "ruamel_yaml", "version": "1.0", "description": "line 1"},
            {"bom-ref": "requirements-L9", "name": "torch", "version": "2.14.1", "description": "line 9"},
            {"bom-ref": "requirements-L12", "name": "ply", "version": "3.11", "description": "line 12"},
        ],
    }
    mit = [{"license": {"id": "MIT"}}]
    installed = {
        "components": [
            {"name": "Ruamel.YAML", "version": "1.0", "licenses": mit, "description": "YAML"},
            {"name": "torch", "version": "2.14.1+cpu", "licenses": mit},
            {"name": "ply", "version": "3.12", "licenses": mit},
        ]
    }
    complete(lock, installed, {"ply==3.11": "BSD"})
    assert lock["components"] == [
        {
            "bom-ref": "ruamel-yaml==1.0",
            "name": "ruamel_yaml",
            "version": "1.0",
            "description": "YAML",
            "licenses": mit,
        },
        {"bom-ref": "torch==2.14.1", "name": "torch", "version": "2.14.1", "licenses": mit},
        {
            "bom-ref": "ply==3.11",
            "name": "ply",
            "version": "3.11",
            "licenses": [{"license": {"name": "BSD", "acknowledgement": "declared"}}],
        },
    ]
    assert lock["dependencies"][0] == {"ref": "root", "dependsOn": ["ply==3.11", "ruamel-yaml==1.0", "torch==2.14.1"]}
