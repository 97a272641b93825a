"""Fingerprints: a hash of everything that an output was made from."""

import hashlib
import subprocess
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from maskgrid.io.tables import SCHEMA_VERSION

# The packages whose code affects pixels, logits and masks.
_PACKAGES = ("torch", "torchvision", "sam2", "numpy", "pillow", "opencv-python-headless", "pycocotools")


def fingerprint(origin: Mapping[str, Any]) -> str:
    """Hash an output's origin (plain values) with the versions of the packages that affect results."""
    content = {"schema_version": SCHEMA_VERSION, "packages": package_versions(), **origin}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def digest(content: Any) -> str:  # noqa: ANN401
    """Hash plain values, without package versions: hexadecimal sha256."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def sha256_of(path: Path) -> str:
    """Hash a file's content: hexadecimal sha256.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_once(path: Path) -> str:
    """The same, but this process reads a large file again only if its time, size or place on the disk differs.

    Raises:
        OSError: it cannot be read.
    """
    known = path.stat()
    return _sha256_of(
        path.absolute(), (known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns)
    )


@lru_cache(maxsize=64)
def _sha256_of(path: Path, _: tuple[int, ...]) -> str:
    return sha256_of(path)


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that affect results."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    # Read once: each is a file of tens of kilobytes, and verify takes hundreds of fingerprints.
    return {name: version(name) for name in _PACKAGES}


def maskgrid_version() -> str:
    """The installed version of maskgrid."""
    try:
        return version("maskgrid")
    except PackageNotFoundError:  # run from a checkout without an installation
        return "unknown"


def git_state() -> dict[str, Any] | None:
    """The commit of the checkout that the code runs from, and whether files differ from it; None outside a checkout."""
    folder = Path(__file__).parents[1]
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "modified": bool(_git(folder, "status", "--porcelain", "--untracked-files=no", "."))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()
