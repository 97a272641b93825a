"""``provenance.json``: how a results folder came about, for whoever has to explain or repeat it."""

import platform
import subprocess
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from maskgrid.files import write_bytes
from maskgrid.fingerprint import package_versions
from maskgrid.lineage import dataset_note, statistics_note
from maskgrid.plan import Plan
from maskgrid.settings import Setting
from maskgrid.tables import read_table

_FOLDERS = ("dataset", "candidates", "selections", "statistics", "annotations", "report")


def write_provenance(plan: Plan) -> None:
    """Write ``provenance.json``: the one output that tells of times and machines.

    Raises:
        maskgrid.errors.UserError: an output is missing, or outputs do not belong together.
    """
    model = plan.config.model
    images = read_table(plan.layout.images, ["status"])["status"].to_pylist()
    content = {
        "maskgrid": {"version": _own_version(), "git": git_state(Path(__file__).parent)},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "config": plan.config.model_dump(mode="json"),
        "device": model.device,
        "dtype": model.dtype,
        "apply_postprocessing": model.apply_postprocessing,
        "settings": [_setting(setting) for setting in plan.settings],
        "images": {"n": len(images), "statuses": dict(sorted(Counter(images).items()))},
        # The images' hash, and for each pass checkpoint, device and packages as they were when it ran.
        "made_from": dataset_note(plan),
        "fingerprint": statistics_note(plan)["fingerprint"],
        "written": {name: _times(plan.layout.root / name) for name in _FOLDERS},
    }
    write_bytes(plan.layout.provenance, orjson.dumps(content, option=orjson.OPT_INDENT_2))


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the checkout that the code runs from, and whether files differ from it; None outside of one."""
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


def _own_version() -> str:
    try:
        return version("maskgrid")
    except PackageNotFoundError:  # run from a checkout without an installation
        return "unknown"


def _setting(setting: Setting) -> dict[str, Any]:
    return {"id": setting.id, "names": list(setting.names), **setting.parameters()}


def _times(folder: Path) -> dict[str, str | float] | None:
    """When the first and the last file of a stage was written."""
    times = sorted(path.stat().st_mtime for path in folder.rglob("*") if path.is_file())
    if not times:
        return None
    first, last = (datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds") for time in (times[0], times[-1]))
    return {"first": first, "last": last, "seconds": round(times[-1] - times[0], 3)}
