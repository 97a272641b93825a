"""Checkpoints: from the name in the config to a verified file and its id, without torch."""

import difflib
import hashlib
import importlib.util
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
from filelock import FileLock
from platformdirs import user_cache_path

from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.network.download import fetch, sha256_of
from maskgrid.network.official import OFFICIAL, OfficialCheckpoint

DEMO = "demo"
_PACKAGED = Path(__file__).parent / "demo"
_SUFFIXES = (".pt", ".pth")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights on this machine, with the hash of their content.

    Attributes:
        name: the id used in folder names (:func:`checkpoint_id`).
        path: the file.
        config: the name of a config in the ``sam2`` package, or the absolute path of a YAML file.
        sha256: the file's hash, hexadecimal.
    """

    name: str
    path: Path
    config: str
    sha256: str


def resolve_checkpoint(
    checkpoint: str,
    config: str | None,
    cache_dir: Path | None = None,
    allow_unverified: bool = False,
    base_url: str | None = None,
) -> Checkpoint:
    """Find and verify the weights that the config names.

    Official weights are downloaded unless they are in ``cache_dir``. They are hashed once, and again if the file
    changes.

    Args:
        checkpoint: ``demo``, a name in ``OFFICIAL``, or the path of a ``.pt`` file.
        config: for a ``.pt`` file, the name of a config in the ``sam2`` package or a YAML file. Other checkpoints
            have their own.
        cache_dir: the folder for official weights. By default the one in the environment variable ``MASKGRID_CACHE``,
            else the platform's cache folder.
        allow_unverified: accept a ``.pt`` file with an unknown hash.
        base_url: download from this folder of a mirror.

    Raises:
        UserError: there are no such weights, the download fails, or their content is wrong.
    """
    if checkpoint == DEMO:
        return _demo()
    if checkpoint in OFFICIAL:
        return _resolve_official(checkpoint, cache_dir or _default_cache(), base_url)
    _require_known(checkpoint)
    return _resolve_file(checkpoint, config, allow_unverified)


def checkpoint_id(checkpoint: str) -> str:
    """The id used in folder names; opens no file.

    It is the name itself, or for a ``.pt`` file its stem and 8 digits of the hash of its path as written. It does not
    identify the content: for that, results record the weights' sha256.

    Raises:
        UserError: neither a known name nor a ``.pt`` file.
    """
    if _is_named(checkpoint):
        return checkpoint
    _require_known(checkpoint)
    stem = re.sub(r"[^A-Za-z0-9._+]", "_", Path(checkpoint).stem)
    digest = hashlib.sha256(os.fsencode(os.path.normpath(checkpoint))).hexdigest()
    return f"{stem}-{digest[:8]}"


def is_here(name: str) -> bool:
    """Return whether the cache has an official checkpoint; looks at the file's size alone."""
    path = _default_cache() / f"{name}.pt"
    return path.is_file() and path.stat().st_size == OFFICIAL[name].size_bytes


def own_files(checkpoint: str) -> list[str]:
    """The user's own file that a checkpoint needs; empty for a named checkpoint."""
    return [] if _is_named(checkpoint) else [checkpoint]


def _is_named(checkpoint: str) -> bool:
    return checkpoint == DEMO or checkpoint in OFFICIAL


def _require_known(checkpoint: str) -> None:
    if not checkpoint.lower().endswith(_SUFFIXES):
        names = [DEMO, *OFFICIAL]
        near = difflib.get_close_matches(checkpoint, names, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(
            f"model.checkpoint: '{checkpoint}' is not a known checkpoint.{hint} "
            f"Known are {', '.join(names)}, and any file that ends in .pt."
        )


def _demo() -> Checkpoint:
    path, config = _PACKAGED / "maskgrid_demo.pt", _PACKAGED / "maskgrid_demo.yaml"
    try:
        expected, found = _demo_sha256(), sha256_of(path)
    except OSError as error:
        raise UserError(
            f"The demo weights cannot be read ({error}). The installation is incomplete: install maskgrid again."
        ) from error
    if found != expected:
        raise UserError(f"{path} is damaged: its sha256 is {found}, not {expected}. Install maskgrid again.")
    return Checkpoint(DEMO, path, str(config), found)


def _demo_sha256() -> str:
    return (_PACKAGED / "demo_sha256.txt").read_text(encoding="ascii").split()[0]


def _resolve_official(name: str, cache_dir: Path, base_url: str | None) -> Checkpoint:
    official = OFFICIAL[name]
    path = cache_dir / f"{name}.pt"
    # Without the lock at first: this user may not be able to write to a shared cache.
    if not _is_verified(path, official):
        url = f"{base_url.rstrip('/')}/{name}.pt" if base_url else official.url
        _fetch_locked(url, path, official)
    return Checkpoint(name, path, official.config, official.sha256)


def _fetch_locked(url: str, path: Path, official: OfficialCheckpoint) -> None:
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


def _resolve_file(checkpoint: str, config: str | None, allow_unverified: bool) -> Checkpoint:
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise UserError(f"model.checkpoint: there is no file {path.absolute()}.")
    config = _find_config(checkpoint, config)
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise UserError(f"model.checkpoint: {path} cannot be read: {error.strerror}.") from error
    known = {official.sha256 for official in OFFICIAL.values()}
    if digest not in known and not allow_unverified:
        raise UserError(
            f"model.checkpoint: {path} holds unknown weights (sha256 {digest}). If you trust their source, "
            "set model.allow_unverified: true."
        )
    return Checkpoint(checkpoint_id(checkpoint), path.absolute(), config, digest)


def _find_config(checkpoint: str, config: str | None) -> str:
    names = _package_configs()
    if config is None:
        problem = f"model.config is missing, and {checkpoint} does not say what model it holds."
    elif config in names:
        return config
    elif Path(config).suffix in (".yaml", ".yml") and Path(config).expanduser().is_file():
        return str(Path(config).expanduser().absolute())
    else:
        problem = f"model.config: '{config}' is neither a config of the sam2 package nor a YAML file."
    raise UserError(f"{problem} Give a YAML file, or one of {', '.join(names)}.")


def _package_configs() -> list[str]:
    # Found without importing sam2, which would load torch.
    spec = importlib.util.find_spec("sam2")
    if spec is None or not spec.submodule_search_locations:
        return []
    root = Path(next(iter(spec.submodule_search_locations)))
    found = (path.relative_to(root).as_posix() for path in (root / "configs").rglob("*.yaml"))
    return sorted(name for name in found if "training" not in name)


def _default_cache() -> Path:
    named = os.environ.get("MASKGRID_CACHE")
    return Path(named).expanduser().absolute() if named else user_cache_path("maskgrid")
