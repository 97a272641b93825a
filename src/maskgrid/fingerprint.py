"""Fingerprints: a hash of all that an output was made from."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import orjson

from maskgrid.tables import SCHEMA_VERSION

# The packages whose code decides about pixels, logits and masks.
_PACKAGES = ("torch", "torchvision", "sam2", "numpy", "pillow", "opencv-python-headless", "pycocotools")


def fingerprint(origin: Mapping[str, Any]) -> str:
    """Hash the origin of an output, as plain values, with the versions of the packages that matter."""
    content = {"schema_version": SCHEMA_VERSION, "packages": package_versions(), **origin}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def digest(content: Any) -> str:  # noqa: ANN401
    """Hash plain values, whatever the packages: hexadecimal sha256."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that decide about results."""
    return {name: version(name) for name in _PACKAGES}
