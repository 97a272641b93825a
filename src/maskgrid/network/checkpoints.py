"""Checkpoints: from the name in the config to a verified file and its id, without torch."""

import difflib
import hashlib
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest, sha256_of, sha256_once
from maskgrid.network.cache import default_cache, fetch_once
from maskgrid.network.official import OFFICIAL
from maskgrid.network.weight_files import CONVERT, refuse_other_files

DEMO = "demo"
_PACKAGED = Path(__file__).parent / "demo"
_SUFFIXES = (".pt", ".pth")
# What to expect of each: the time was measured at 1200 x 1800 pixels and 32 x 32 points (docs/benchmarks.md).
_EXPECT = {
    "sam2.1_hiera_tiny": "about 45 s an image on two CPU cores",
    "sam2.1_hiera_small": "a little slower",
    "sam2.1_hiera_base_plus": "slower still",
    "sam2.1_hiera_large": "the best masks, wants a GPU",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights on this machine, with the hash of their content.

    Attributes:
        name: the id used in folder names (:func:`checkpoint_id`).
        path: the file.
        config: the name of a config in the ``sam2`` package, or the absolute path of a YAML file.
        sha256: the file's hash, hexadecimal.
        config_content: for a ``.pt`` file of the user, what ``config`` says: the name in the package, or the sha256 of
            the YAML file. None for weights whose config is fixed.
    """

    name: str
    path: Path
    config: str
    sha256: str
    config_content: str | None = None


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
        return _resolve_official(checkpoint, cache_dir or default_cache(), base_url)
    _require_known(checkpoint)
    return _resolve_file(checkpoint, config, allow_unverified)


def describe_checkpoint(checkpoint: str, config: str | None, cache_dir: Path | None = None) -> tuple[Checkpoint, int]:
    """What a checkpoint will be once it is here, and how many bytes there are to download until then.

    Raises:
        UserError: as :func:`resolve_checkpoint`, except that nothing is downloaded and own weights are not judged.
    """
    if checkpoint in OFFICIAL:
        official, path = OFFICIAL[checkpoint], (cache_dir or default_cache()) / f"{checkpoint}.pt"
        there = path.stat().st_size if path.is_file() else 0
        missing = 0 if there == official.size_bytes else official.size_bytes
        return Checkpoint(checkpoint, path, official.config, official.sha256), missing
    return resolve_checkpoint(checkpoint, config, allow_unverified=True), 0


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


def own_files(checkpoint: str, config: str | None) -> list[str]:
    """The user's own files that a checkpoint needs: weights and YAML, with ``~`` spelled out; empty for a named one."""
    if _is_named(checkpoint):
        return []
    files = [checkpoint, *([config] if config is not None and config not in _package_configs() else [])]
    return [str(Path(file).expanduser()) for file in files]


def own_content(checkpoint: str, config: str | None) -> str | None:
    """A digest of the user's own weights and of their config; None for a named checkpoint.

    Files that are not there count as such: Snakemake reports them.
    """
    if _is_named(checkpoint):
        return None
    paths = map(Path, own_files(checkpoint, config))
    return digest([config, *(sha256_once(path) if path.is_file() else None for path in paths)])


def require_own_file(checkpoint: str, config: str | None, allow_unverified: bool) -> None:
    """Check what can be checked of a user's own weights in no time: before any work, and without torch.

    Raises:
        UserError: there is no such file or no such config, the file is no file of weights, or it cannot be known and
            ``allow_unverified`` is off.
    """
    if _is_named(checkpoint):
        return
    _require_known(checkpoint)
    path = Path(checkpoint).expanduser()
    _require_file(path)
    _find_config(checkpoint, config)
    if not allow_unverified and path.stat().st_size not in {one.size_bytes for one in OFFICIAL.values()}:
        raise UserError(_unverified(path, ""))


def network_choices() -> str:
    """The networks to choose from, in words: names, sizes, times."""
    choices = [f"{name} ({OFFICIAL[name].size_bytes / 1e6:.0f} MB, {words})" for name, words in _EXPECT.items()]
    return f"{', '.join(choices)}, a .pt file, or demo (comes along, seconds an image: a toy for trying things out)"


def is_here(name: str) -> bool:
    """Return whether the cache has an official checkpoint; looks at the file's size alone."""
    path = default_cache() / f"{name}.pt"
    return path.is_file() and path.stat().st_size == OFFICIAL[name].size_bytes


def _is_named(checkpoint: str) -> bool:
    return checkpoint == DEMO or checkpoint in OFFICIAL


def _require_known(checkpoint: str) -> None:
    if checkpoint.lower().endswith(".safetensors"):
        raise UserError(f"model.checkpoint: {checkpoint} holds safetensors, which cannot be read here. {CONVERT}")
    if not checkpoint.lower().endswith(_SUFFIXES):
        names = [DEMO, *OFFICIAL]
        near = difflib.get_close_matches(checkpoint, names, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(
            f"model.checkpoint: {checkpoint!r} is not a known checkpoint.{hint} "
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
    fetch_once(f"{base_url.rstrip('/')}/{name}.pt" if base_url else official.url, path, official)
    return Checkpoint(name, path, official.config, official.sha256)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"model.checkpoint: there is no file {path.absolute()}.")
    try:
        refuse_other_files(path)
    except OSError as error:
        raise UserError(f"model.checkpoint: {path} cannot be read: {error.strerror}.") from error


def _unverified(path: Path, digest: str) -> str:
    return (
        f"model.checkpoint: {path} holds unknown weights{digest}. If you trust their source, "
        "set model.allow_unverified: true."
    )


def _resolve_file(checkpoint: str, config: str | None, allow_unverified: bool) -> Checkpoint:
    path = Path(checkpoint).expanduser()
    _require_file(path)
    config = _find_config(checkpoint, config)
    try:
        sha256 = sha256_once(path)
        content = sha256_of(Path(config)) if Path(config).is_absolute() else config
    except OSError as error:
        raise UserError(f"model.checkpoint: {path} cannot be read: {error.strerror}.") from error
    known = {official.sha256 for official in OFFICIAL.values()}
    if sha256 not in known and not allow_unverified:
        raise UserError(_unverified(path, f" (sha256 {sha256})"))
    return Checkpoint(checkpoint_id(checkpoint), path.absolute(), config, sha256, content)


def _find_config(checkpoint: str, config: str | None) -> str:
    names = _package_configs()
    if config is None:
        problem = f"model.config is missing, and {checkpoint} does not say what model it holds."
    elif config in names:
        return config
    elif Path(config).suffix in (".yaml", ".yml") and Path(config).expanduser().is_file():
        return str(Path(config).expanduser().absolute())
    else:
        problem = f"model.config: {config!r} is neither a config of the sam2 package nor a YAML file."
    raise UserError(f"{problem} Give a YAML file, or one of {', '.join(names)}.")


def _package_configs() -> list[str]:
    # Found without importing sam2, which would load torch.
    spec = importlib.util.find_spec("sam2")
    if spec is None or not spec.submodule_search_locations:
        return []
    root = Path(next(iter(spec.submodule_search_locations)))
    found = (path.relative_to(root).as_posix() for path in (root / "configs").rglob("*.yaml"))
    return sorted(name for name in found if "training" not in name)
