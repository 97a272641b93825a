"""Measure which objects the network gets wrong given their box, so that training draws them more often.

An object's shortfall is how far the single mask of its exact box lies below the best mask that logits of this size can
draw, in IoU.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from tqdm import tqdm

from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write
from training.batches import normalise
from training.losses import area_means, drawn_iou
from training.model import decode, encode
from training.pool import Pool
from training.prompts import exact_boxes

_AT_ONCE = 8  # scenes
_MUCH = 0.3


def with_shortfall(pool: Pool, path: Path, model: SAM2Base, executor: ThreadPoolExecutor) -> Pool:
    """Add the shortfall to a pool: load it from ``path``, or measure it and save it there.

    Args:
        pool: the scenes.
        path: the .npy file.
        model: the network at the start of the training, left unchanged.
        executor: from :func:`training.shards.workers`.

    Raises:
        UserError: if the file belongs to another pool.
    """
    if not path.exists():
        shortfall = measure_shortfall(model, pool, executor)
        with atomic_write(path) as stream:
            np.save(stream, shortfall)
    shortfall = np.load(path)
    if shortfall.shape != (len(pool.bits),):
        raise UserError(f"{path} belongs to other scenes than this training's: remove it")
    print(shortfall_text(shortfall), flush=True)
    return replace(pool, shortfall=shortfall)


def shortfall_text(shortfall: NDArray[np.float32]) -> str:
    """Describe how many objects have most of the shortfall, and their share of it."""
    most = shortfall >= _MUCH
    share = float(shortfall[most].sum() / max(shortfall.sum(), 1e-9))
    return f"boxes: {most.sum()} of {len(shortfall)} objects lack {_MUCH} or more, {share:.0%} of all that is lacking"


def measure_shortfall(model: SAM2Base, pool: Pool, executor: ThreadPoolExecutor) -> NDArray[np.float32]:
    """Measure the shortfall of every object in a pool.

    Args:
        model: the network, left unchanged.
        pool: the scenes, with M masks in total.
        executor: from :func:`training.shards.workers`.

    Returns:
        Differences of IoU, (M,) float32, 0 if the mask is as good as the logits allow.
    """
    was_training = model.training
    model.eval()
    starts = range(0, len(pool), _AT_ONCE)
    some = executor.map(lambda start: _shortfall(model, pool, range(start, min(start + _AT_ONCE, len(pool)))), starts)
    shown = list(tqdm(some, "boxes", total=len(starts), unit=f" x {_AT_ONCE} scenes", mininterval=5))
    model.train(was_training)
    return torch.cat(shown).cpu().numpy()


def _shortfall(model: SAM2Base, pool: Pool, indices: range) -> Tensor:
    masks = [torch.from_numpy(pool.masks(index)) for index in indices]
    scenes = torch.repeat_interleave(torch.arange(len(masks)), torch.tensor([len(some) for some in masks]))
    targets = torch.cat(masks).to(model.device)
    with torch.inference_mode():
        features = encode(model, normalise(pool.images[indices.start : indices.stop]).to(model.device))
        answers = decode(model, features.chosen(scenes.to(model.device)), exact_boxes(targets))
        wanted = targets.float()
        cells = area_means(wanted, answers.logits.shape[-1])
        reached = drawn_iou(answers.logits[:, :1], wanted)
        return (drawn_iou(cells - 0.5, wanted) - reached).clamp(min=0)[:, 0]
