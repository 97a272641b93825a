"""Load, change and publish weights."""

import hashlib
from importlib.resources import files
from pathlib import Path

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write, write_bytes
from training.model import build_model


def published_weights_path() -> Path:
    """Path of the demo model's weights."""
    return Path(str(files("maskgrid.network.demo") / "maskgrid_demo.pt"))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Load the weights from a file in sam2's format, by name, as float32.

    Raises:
        UserError: if the file does not exist or holds no weights.
    """
    if not path.is_file():
        raise UserError(f"there are no weights at {path}")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if "model" not in content:
        raise UserError(f"{path} is no checkpoint of sam2: the key 'model' is missing")
    return {name: value.float() for name, value in content["model"].items()}


def load_demo(path: Path | None = None, video: bool = False) -> SAM2Base:
    """Load the demo model, ready to use on the CPU.

    Args:
        path: a file of weights; None means the published ones.
        video: build sam2's video predictor.
    """
    model = build_model(video=video, postprocessing=True)
    model.load_state_dict(load_weights(path or published_weights_path()))
    return model.eval()


def publish(weights: dict[str, Tensor], path: Path) -> str:
    """Write weights as float16 in sam2's format, and their sha256 to ``demo_sha256.txt`` beside them.

    Returns:
        The sha256, in hexadecimal.
    """
    halves = {name: value.half().contiguous() for name, value in weights.items()}
    with atomic_write(path) as stream:
        torch.save({"model": halves}, stream)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_bytes(path.with_name("demo_sha256.txt"), f"{digest}\n".encode())
    return digest


def sharpened(weights: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Scale the logits by ``factor``; the masks stay the same.

    Automatic masks are filtered by stability: how little they change between logits of -1 and 1. A short training on
    soft targets leaves small logits even at right borders, so their scale says little about the mask. This scales the
    last layer that makes logits up, and the first layer that reads them back (a mask prompt) down.
    """
    changed = dict(weights)
    for name, value in weights.items():
        if name.startswith("sam_mask_decoder.output_hypernetworks_mlps.") and ".layers.2." in name:
            changed[name] = value * factor
    first = "sam_prompt_encoder.mask_downscaling.0.weight"
    changed[first] = weights[first] / factor
    return changed


def mixed(weights: dict[str, Tensor], others: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Mean of two networks' weights, with weight ``share`` for ``others``.

    If one network continues the other's training, their mean is often better than either: Wortsman et al., "Model
    soups", 2022. Both must be scaled by the same factor (:func:`sharpened`).

    Raises:
        UserError: if the two networks differ.
    """
    if {name: value.shape for name, value in weights.items()} != {name: value.shape for name, value in others.items()}:
        raise UserError("the weights to mix belong to two different networks")
    return {name: (1 - share) * value.float() + share * others[name].float() for name, value in weights.items()}


def start_from(model: SAM2Base, path: Path, factor: float) -> None:
    """Load published weights into a model to continue their training.

    Args:
        model: changed in place.
        path: the file of weights.
        factor: the factor with which :func:`sharpened` scaled their logits; it is undone.
    """
    model.load_state_dict(sharpened(load_weights(path), 1 / factor))
