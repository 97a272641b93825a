"""The state of a training: take a step, save it and continue from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write

_LONGEST_MEMORY = 0.998  # highest decay of the running average of the weights
_CAREFUL_SHARE = 0.2
_LEAST_MATRIX_SIDE = 32  # smaller matrices are token tables and last layers


@dataclass(slots=True)
class State:
    """A running training. Random numbers are seeded by the step, so no generator needs saving.

    Attributes:
        model: the network.
        helper: modules needed only during training.
        optimizers: Muon for the matrices, AdamW for the rest, with their state.
        average: running average of the model's weights, by name; this is measured and published.
        step: number of steps done.
    """

    model: nn.Module
    helper: nn.Module
    optimizers: tuple[torch.optim.Optimizer, ...]
    average: dict[str, Tensor]
    step: int


def started(
    model: nn.Module, helper: nn.Module, trained: Sequence[nn.Parameter], careful: Sequence[nn.Parameter] = ()
) -> State:
    """Start a training at step 0.

    Args:
        model: the network.
        helper: modules needed only during training.
        trained: the parameters to train.
        careful: more parameters, to train at a fifth of the learning rate.
    """
    both = ((trained, 1.0), (careful, _CAREFUL_SHARE))
    matrices = [{"params": [p for p in some if _is_matrix(p)], "share": share} for some, share in both]
    others = [{"params": [p for p in some if not _is_matrix(p)], "share": share} for some, share in both]
    optimizers = (
        torch.optim.Muon(matrices, lr=0.0, weight_decay=0.02, ns_steps=4, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.0, weight_decay=0.02, betas=(0.9, 0.98), fused=True),
    )
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    return State(model, helper, optimizers, average, 0)


def _is_matrix(parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and min(parameter.shape) >= _LEAST_MATRIX_SIDE


def advance(state: State, gradients: list[Tensor | None], rate: float) -> None:
    """Take one optimiser step with the gradients of the trained parameters, and count it."""
    parameters = trained_parameters(state)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    nn.utils.clip_grad_norm_(parameters, 1.0)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        optimizer.step()
    state.step += 1
    memory = min(_LONGEST_MEMORY, state.step / (state.step + 10))
    with torch.no_grad():
        for name, value in state.model.state_dict().items():
            state.average[name].lerp_(value, 1 - memory)


def trained_parameters(state: State) -> list[nn.Parameter]:
    """The parameters that the optimizers change."""
    return [p for optimizer in state.optimizers for group in optimizer.param_groups for p in group["params"]]


def save(state: State, path: Path) -> None:
    """Write the training to a file, whole or not at all."""
    content = {
        "model": state.model.state_dict(),
        "helper": state.helper.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
        "average": state.average,
        "step": state.step,
    }
    with atomic_write(path) as stream:
        torch.save(content, stream)


def restore(state: State, path: Path) -> None:
    """Load the training saved in a file into ``state``.

    Raises:
        UserError: if the file belongs to another network.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    try:
        state.model.load_state_dict(content["model"])
        state.helper.load_state_dict(content["helper"])
        for optimizer, kept in zip(state.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} does not fit this training: {error}. Start in an empty folder.") from error
    for name, value in content["average"].items():
        state.average[name].copy_(value)
    state.step = content["step"]


def averaged_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of the training saved in a file, by name, float32."""
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["average"]
    return weights


def generators(stage: int, step: int, shard: int) -> tuple[np.random.Generator, torch.Generator]:
    """Random number generators for one shard of a step; they are the same whether or not the training was resumed."""
    sequence = np.random.SeedSequence([stage, step, shard])
    seed = int(sequence.generate_state(1)[0])
    return np.random.default_rng(sequence), torch.Generator().manual_seed(seed)
