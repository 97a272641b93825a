"""``maskgrid init``: a short config to start from."""

import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from maskgrid.cli.workflow_files import profile_folder
from maskgrid.config.files import load_config
from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.listings import IMAGE_SUFFIXES
from maskgrid.network.checkpoints import checkpoint_id, is_here
from maskgrid.network.official import OFFICIAL

_DEMO = "demo"
_WEIGHTS_SERVER_S = 3.0  # to wait for an answer

TEMPLATE = """\
# A config of maskgrid: run it with maskgrid run, change it, run it again. Only what is new or changed runs.

dataset:
  source: {source}

model:
  # demo is a toy for trying things out. SAM 2's own weights are fetched once:
  # sam2.1_hiera_tiny (156 MB), _small (184 MB), _base_plus (324 MB), _large (898 MB: best, wants a GPU)
  checkpoint: {checkpoint}

generator:                # SAM2AutomaticMaskGenerator's parameters: the setting called baseline
  points_per_side: 32     # more finds smaller things, and takes longer: prompts grow with its square
  pred_iou_thresh: 0.8
  stability_score_thresh: {stability}

sweep:                    # settings to compare with it; their thresholds cost next to nothing
  grid:
    pred_iou_thresh: [0.7, 0.8, 0.9]
    stability_score_thresh: {stabilities}
    box_nms_thresh: [0.5, 0.7]

annotations: [baseline]   # settings to write as COCO: names, labels such as iou0.7_st0.9_nms0.5, or all
"""


def init(folder: Path, source: str | None, checkpoint: str | None, profile: str | None, force: bool) -> str:
    """Write ``config.yaml``, and a profile if one is asked for.

    Returns:
        What was written, and what to do next.

    Raises:
        UserError: a file is there already, or the source, the checkpoint or the profile does not exist.
    """
    config = folder / "config.yaml"
    copied = None if profile is None else (profile_folder(profile), folder / "profiles" / Path(profile).name)
    _refuse_to_overwrite([config] + ([copied[1]] if copied else []), force)
    source = _source_from(folder, source)
    if checkpoint is not None:
        checkpoint_id(checkpoint)
    chosen, why = (checkpoint, "") if checkpoint is not None else _choose_checkpoint(source)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(config, config_text(source, chosen).encode())
    load_config(config)
    lines = [f"wrote {config}: {source}, with {chosen}{why}"]
    if copied is not None:
        shutil.copytree(*copied, dirs_exist_ok=True)
        lines.append(f"wrote {copied[1] / 'config.yaml'}: fill in the lines marked with !")
    there = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    start = "maskgrid run" + (f" --profile {Path(profile).name}" if profile not in (None, "default") else "")
    return "\n".join([*lines, f"Next: {there}{start}"])


def config_text(source: str, checkpoint: str) -> str:
    """The text of a config: thresholds as in sam2, or lower for the demo's network, which is less sure of itself."""
    stability, stabilities = ("0.8", "[0.7, 0.8, 0.9]") if checkpoint == _DEMO else ("0.95", "[0.85, 0.9, 0.95]")
    values = {"source": _yaml(source), "checkpoint": _yaml(checkpoint)}
    return TEMPLATE.format(**values, stability=stability, stabilities=stabilities)


def _yaml(text: str) -> str:
    """Text as YAML, in quotes if it needs them."""
    return yaml.safe_dump(text, width=sys.maxsize, allow_unicode=True).removesuffix("...\n").rstrip()


def _refuse_to_overwrite(paths: list[Path], force: bool) -> None:
    for path in paths:
        if path.exists() and not force:
            raise UserError(f"{path} is there already; keep it, or overwrite it with --force")


def _source_from(folder: Path, source: str | None) -> str:
    """The source as seen from the config's folder, where the run will start; it is given as seen from here.

    Raises:
        UserError: there is no such file or folder.
    """
    if source is None:
        if folder.is_dir() and any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir()):
            raise UserError(f"{folder} holds images: did you mean maskgrid init --source {folder}?")
        return _DEMO
    if source == _DEMO or "://" in source:
        return source
    path = Path(source).expanduser()
    if not any(mark in source for mark in "*?[{") and not path.exists():
        raise UserError(f"--source {source}: there is no such file or folder in {Path.cwd()}")
    return source if path.is_absolute() or folder.resolve() == Path.cwd() else os.path.relpath(path, folder)


def _choose_checkpoint(source: str) -> tuple[str, str]:
    """A checkpoint for these images and this machine, and why."""
    if source == _DEMO:
        return _DEMO, ", a toy network"
    name = "sam2.1_hiera_large" if shutil.which("nvidia-smi") else "sam2.1_hiera_tiny"
    if is_here(name) or _answers(OFFICIAL[name].url):
        return name, ""
    return _DEMO, (
        ", a toy network: Meta's server does not answer from here. For real masks start maskgrid init again where it "
        "does, or with --checkpoint FILE.pt: thresholds are then sam2's, and here a toy's"
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_WEIGHTS_SERVER_S) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
