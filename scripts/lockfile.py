"""Print what to install of requirements.lock, or write its pins into environment.yml.

    python scripts/lockfile.py first   # all that comes before sam2, which builds against the installed torch
    python scripts/lockfile.py all
    python scripts/lockfile.py conda   # writes environment.yml

A build of torch without CUDA that is installed for this Python is kept, and the CUDA packages are left out.
It needs nothing but Python, as nothing is installed yet when it runs.
"""

import importlib.metadata
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# sam2 imports torch to be built; the others have no wheels either, and build with the setuptools that is installed.
BUILT_HERE = frozenset({"antlr4-python3-runtime", "iopath", "sam2"})


@dataclass(frozen=True, slots=True)
class Pin:
    """A package of the lock.

    Attributes:
        name: as in the lock, normalised: lower case with dashes.
        version: the one version.
        marker: where it is needed, such as ``sys_platform == 'linux'``; empty for everywhere.
        hashes: sha256 of each of the version's files, for all platforms.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def is_for_cuda(self) -> bool:
        return "linux" in self.marker

    def line(self) -> str:
        """The package as pip reads it."""
        marker = f" ; {self.marker}" if self.marker else ""
        return " ".join([f"{self.name}=={self.version}{marker}", *(f"--hash=sha256:{each}" for each in self.hashes)])


def read_lock(path: Path) -> list[Pin]:
    """Read a lock file.

    Raises:
        ValueError: a line is not a pin with hashes.
    """
    pins = []
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([\w.-]+)==([^\s;]+)\s*(?:;\s*(.*?))?((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", line)
        if found is None:
            raise ValueError(f"{path.name}: not a pin with hashes: {line[:80]}; run make lock")
        name, version, marker, hashes = found.groups()
        pins.append(Pin(name, version, marker or "", tuple(re.findall(r"sha256:(\w+)", hashes))))
    return pins


def wanted(pins: list[Pin], kept_torch: str | None, has_torchvision: bool) -> list[Pin]:
    """Leave out what an installed build of torch without CUDA makes needless.

    Args:
        pins: the lock.
        kept_torch: that build's version, None if there is none.
        has_torchvision: whether torchvision is installed beside it.

    Raises:
        ValueError: torchvision would be the lock's, which does not load beside that build.
    """
    if kept_torch is None:
        return pins
    # 2.14.1+cpu is a build that the lock cannot name; the plain version is kept if it is the lock's.
    is_elsewhere = "+" in kept_torch
    if not is_elsewhere and kept_torch != next(pin.version for pin in pins if pin.name == "torch"):
        return pins
    if is_elsewhere and not has_torchvision:
        raise ValueError(
            f"torch {kept_torch} is installed without torchvision, and the lock's torchvision is for CUDA: install "
            "torchvision from where that torch came from, and run make again"
        )
    kept = {"torch", "torchvision"} if is_elsewhere else set()
    return [pin for pin in pins if pin.name not in kept and not pin.is_for_cuda]


def torch_without_cuda() -> str | None:
    """The version of the installed torch if it was built without CUDA; None if it has CUDA or there is none."""
    try:
        import torch
    except ImportError:
        return None
    return str(torch.__version__) if torch.version.cuda is None else None


def conda_environment(text: str, pins: list[Pin]) -> str:
    """The text of environment.yml with these pins in place of those that it has."""
    head = text[: text.index("  - pip:\n")]
    lines = (f"{pin.name}=={pin.version}" + (f"; {pin.marker}" if pin.marker else "") for pin in pins)
    return head + "  - pip:\n" + "".join("      - '{}'\n".format(line.replace("'", '"')) for line in lines)


def main(what: str) -> None:
    pins = read_lock(ROOT / "requirements.lock")
    if what == "conda":
        path = ROOT / "environment.yml"
        path.write_text(conda_environment(path.read_text(), pins))
        return
    kept = torch_without_cuda()
    has_torchvision = next(importlib.metadata.distributions(name="torchvision"), None) is not None
    try:
        pins = wanted(pins, kept, has_torchvision)
    except ValueError as error:
        sys.exit(str(error))
    for pin in pins:
        if what == "all" or pin.name not in BUILT_HERE:
            print(pin.line())
    if kept is not None:
        print(f"torch {kept} is installed and has no CUDA: the CUDA packages are left out", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:] not in (["first"], ["all"], ["conda"]):
        sys.exit(__doc__)
    main(sys.argv[1])
