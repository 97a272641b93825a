"""Run the tests of exactness and of the workflow with other versions of Python, torch and NumPy (docs/reliability.md).

    python scripts/versions.py                                      # all that DEFAULT names, as far as it is here
    python scripts/versions.py --python python3.13 --torch 2.12.1   # one

Each runs in a temporary environment of up to 6 GB, for minutes, with the other packages as requirements.lock pins them.
build/versions.jsonl keeps the results; what was run at the present commit is not run again.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lockfile import BUILT_HERE, Pin, read_lock

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "build" / "versions.jsonl"
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
# The newest release of each minor version of torch, and the release of torchvision that needs it.
TORCHVISION = {"2.10.0": "0.25.0", "2.11.0": "0.26.0", "2.12.1": "0.27.1", "2.13.0": "0.28.0", "2.14.1": "0.29.1"}
TESTS = (
    "tests/automatic/replay/test_exact.py",
    "tests/automatic/generate/test_tiles.py",
    "tests/prompted/test_exact.py",
    "tests/tracked/propagation/test_exact.py",
    "tests/network/test_decoder.py",
    "tests/network/test_model.py",
    "tests/masks",
    "tests/system/test_end_to_end.py",
    "tests/system/test_determinism.py",
    "tests/tracked/test_workflow.py",
    "tests/workflow/test_workflow.py",
    "tests/workflow/test_parameters.py",
)


@dataclass(frozen=True, slots=True)
class Versions:
    """What to run with.

    Attributes:
        python: the interpreter's name or path.
        torch: its version.
        numpy: its version.
    """

    python: str
    torch: str
    numpy: str


@dataclass(frozen=True, slots=True)
class Row:
    """What was run: the versions as the environment itself says them, and pytest's counts."""

    python: str
    torch: str
    numpy: str
    commit: str
    passed: int
    failed: int
    skipped: int


def main() -> int:
    """Run each that was not run yet; return 1 if any test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="an interpreter, as a name or a path")
    parser.add_argument("--torch", choices=sorted(TORCHVISION))
    parser.add_argument("--numpy")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    pins = {pin.name: pin for pin in read_lock(ROOT / "requirements.lock")}
    rows = []
    for versions in asked_for(given, pins):
        if not runs(versions.python):
            print(f"{versions.python}: not here", flush=True)
            continue
        row = kept(versions) or run(versions, pins, given.cores)
        print(f"Python {row.python}, torch {row.torch}, numpy {row.numpy}: "
              f"{row.passed} passed, {row.failed} failed, {row.skipped} skipped", flush=True)  # fmt: skip
        rows.append(row)
    return int(any(row.failed or not row.passed for row in rows))


def asked_for(given: argparse.Namespace, pins: dict[str, Pin]) -> Iterator[Versions]:
    """What the arguments name; without any, each Python with the lock's torch, and this one with each other torch."""
    numpy = given.numpy or pins["numpy"].version
    if given.python or given.torch or given.numpy:
        yield Versions(given.python or sys.executable, given.torch or pins["torch"].version, numpy)
        return
    yield from (Versions(python, pins["torch"].version, numpy) for python in PYTHONS)
    yield from (Versions(sys.executable, torch, numpy) for torch in TORCHVISION if torch != pins["torch"].version)


def runs(python: str) -> bool:
    """Whether an interpreter is here: pyenv has a command for each version that it knows, which may fail."""
    return shutil.which(python) is not None and subprocess.run([python, "-V"], capture_output=True).returncode == 0


def run(versions: Versions, pins: dict[str, Pin], cores: int) -> Row:
    """Install into a new environment, and test there."""
    with tempfile.TemporaryDirectory(prefix="versions") as folder:
        python = install(versions, pins, Path(folder) / "env")
        command = [python, "-m", "pytest", "-n", str(cores), "--dist", "loadfile", "-p", "no:cacheprovider", *TESTS]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, check=False)
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build" / f"versions-{name_of(versions)}.log").write_text(done.stdout)
        passed, failed, skipped = (counted(done.stdout, word) for word in ("passed", "failed", "skipped"))
        python_version, torch, numpy = said(python)
        row = Row(python_version, torch, numpy, commit(), passed, failed, skipped)
    with RECORD.open("a") as stream:
        stream.write(json.dumps({"asked": asdict(versions), **asdict(row)}) + "\n")
    return row


def install(versions: Versions, pins: dict[str, Pin], folder: Path) -> str:
    """Make an environment; returns its interpreter. sam2 builds against the installed torch, so it comes last."""
    subprocess.run([versions.python, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    ours = {"torch", "torchvision", "numpy"}
    # With == a build for CPUs alone (2.13.0+cpu), if there is one, would go before that which torchvision's is for.
    torch = [f"torch==={versions.torch}", f"torchvision==={TORCHVISION[versions.torch]}", f"numpy=={versions.numpy}"]
    others = [pin for pin in pins.values() if pin.name not in ours and not pin.is_for_cuda]
    pip(python, *torch)
    pip(python, "--no-deps", *(f"{pin.name}=={pin.version}" for pin in others if pin.name not in BUILT_HERE))
    built = [f"{pin.name}=={pin.version}" for pin in others if pin.name in BUILT_HERE]
    pip(python, "--no-deps", "--no-build-isolation", *built, "--editable", str(ROOT))
    return python


def pip(python: str, *arguments: str) -> None:
    environment = {**os.environ, "SAM2_BUILD_CUDA": "0"}
    subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], env=environment, check=True)


def said(python: str) -> list[str]:
    """The versions of Python, torch and NumPy that an interpreter has."""
    code = "import platform, torch, numpy; print(platform.python_version(), torch.__version__, numpy.__version__)"
    return subprocess.run([python, "-c", code], text=True, capture_output=True, check=True).stdout.split()


def counted(output: str, word: str) -> int:
    """A count of pytest's last line; errors count as failures."""
    last = output.strip().splitlines()[-1]
    words = {"failed": "failed|errors?"}.get(word, word)
    return sum(int(count) for count in re.findall(rf"(\d+) (?:{words})\b", last))


def kept(versions: Versions) -> Row | None:
    """What was run with these versions at the present commit."""
    for line in RECORD.read_text().splitlines() if RECORD.is_file() else ():
        row = json.loads(line)
        if row.pop("asked") == asdict(versions) and row["commit"] == commit():
            return Row(**row)
    return None


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, text=True, capture_output=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def name_of(versions: Versions) -> str:
    return f"{Path(versions.python).name}-torch{versions.torch}-numpy{versions.numpy}"


if __name__ == "__main__":
    sys.exit(main())
