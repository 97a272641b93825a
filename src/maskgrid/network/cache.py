"""The cache of official weights, which users of a machine may share."""

import logging
import os
from contextlib import suppress
from pathlib import Path

import orjson
from filelock import FileLock
from platformdirs import user_cache_path

from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.fingerprint import sha256_of
from maskgrid.network.download import fetch
from maskgrid.network.official import OfficialCheckpoint

_log = logging.getLogger(__name__)


def default_cache() -> Path:
    """The folder for official weights: ``MASKGRID_CACHE`` if it is set, else the platform's cache folder."""
    named = os.environ.get("MASKGRID_CACHE")
    return Path(named).expanduser().absolute() if named else user_cache_path("maskgrid")


def fetch_once(url: str, path: Path, official: OfficialCheckpoint) -> None:
    """Download official weights unless they are there; hash them once, and again if the file changes.

    Raises:
        UserError: the download fails, or the folder cannot be written.
    """
    # Without the lock at first: this user may not be able to write to a shared cache.
    if _is_verified(path, official):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if _is_verified(path, official):  # another job fetched it while this one waited
                return
            if path.exists():
                _log.warning("%s is damaged or another file; removing it and fetching it again", path)
                path.unlink()
            fetch(url, path, official.size_bytes, official.sha256)
            _remember(path, official.sha256)
    except OSError as error:
        raise UserError(
            f"The weights cannot be written to {path.parent}: {error}. Set the environment variable "
            "MASKGRID_CACHE to another folder."
        ) from error


def _is_verified(path: Path, official: OfficialCheckpoint) -> bool:
    if not path.is_file() or path.stat().st_size != official.size_bytes:
        return False
    if _is_remembered(path, official.sha256):
        return True
    if sha256_of(path) != official.sha256:
        return False
    _remember(path, official.sha256)
    return True


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".verified.json")


def _record(path: Path, sha256: str) -> dict[str, str | int]:
    state = path.stat()
    return {"sha256": sha256, "size_bytes": state.st_size, "mtime_ns": state.st_mtime_ns}


def _remember(path: Path, sha256: str) -> None:
    with suppress(OSError):  # a read-only cache: the file is hashed each time
        write_bytes(_record_path(path), orjson.dumps(_record(path, sha256)))


def _is_remembered(path: Path, sha256: str) -> bool:
    try:
        return bool(orjson.loads(_record_path(path).read_bytes()) == _record(path, sha256))
    except (OSError, orjson.JSONDecodeError):
        return False
