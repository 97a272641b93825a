"""What boxes still lack: scenes and objects that the network gets wrong are trained more often."""

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
    """The pool and what its boxes lack: as kept in ``path``, or measured now and kept there.

    Args:
        pool: the scenes.
        path: the file, .npy.
        model: the network at the beginning of the training, left as it was.
        executor: from :func:`training.shards.workers`.

    Raises:
        UserError: when the file is of another pool.
    """
    if not path.exists():
        shortfall = measure_shortfall(model, pool, executor)
        with atomic_write(path) as stream:
            np.save(stream, shortfall)
    shortfall = np.load(path)
    if shortfall.shape != (len(pool.bits),):
        raise UserError(f"{path} is of other scenes than those of this training: remove it")
    print(shortfall_text(shortfall), flush=True)
    return replace(pool, shortfall=shortfall)


def shortfall_text(shortfall: NDArray[np.float32]) -> str:
    """How many objects lack most, and how much of all that is lacking, in words."""
    most = shortfall >= _MUCH
    share = float(shortfall[most].sum() / max(shortfall.sum(), 1e-9))
    return f"boxes: {most.sum()} of {len(shortfall)} objects lack {_MUCH} or more, {share:.0%} of all that is lacking"


def measure_shortfall(model: SAM2Base, pool: Pool, executor: ThreadPoolExecutor) -> NDArray[np.float32]:
    """How far the single mask of each object's exact box lies below what logits of this size can draw.

    Args:
        model: the network, left as it was.
        pool: the scenes, with M masks in all.
        executor: from :func:`training.shards.workers`.

    Returns:
        Differences of IoU, (M,) float32, 0 where nothing is lacking.
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
