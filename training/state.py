"""What a training needs to go on where it stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write

_LONGEST_MEMORY = 0.998  # of the running average of the weights
_CAREFUL_SHARE = 0.2
_LEAST_MATRIX_SIDE = 32  # smaller ones are tables of tokens and last layers


@dataclass(slots=True)
class State:
    """A training under way; randomness comes from the step's number, so that no generator has to be kept.

    Attributes:
        model: the network.
        helper: parts that are needed in training alone.
        optimizers: Muon for the matrices, AdamW for the rest; with the state of each parameter.
        average: running average of the model's weights, by name: what is measured and published.
        step: steps done.
    """

    model: nn.Module
    helper: nn.Module
    optimizers: tuple[torch.optim.Optimizer, ...]
    average: dict[str, Tensor]
    step: int


def started(
    model: nn.Module, helper: nn.Module, trained: Sequence[nn.Parameter], careful: Sequence[nn.Parameter] = ()
) -> State:
    """A training at step 0.

    Args:
        model: the network.
        helper: parts that are needed in training alone.
        trained: parameters to be trained.
        careful: further ones, to be trained at a fifth of the rate.
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
    """Take one step down the gradients of the trained parameters, and count it."""
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
    """Put ``state`` where the training in the file stopped.

    Raises:
        UserError: when the file is of another network.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    try:
        state.model.load_state_dict(content["model"])
        state.helper.load_state_dict(content["helper"])
        for optimizer, kept in zip(state.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is no state of this training: {error}. Start in an empty folder.") from error
    for name, value in content["average"].items():
        state.average[name].copy_(value)
    state.step = content["step"]


def averaged_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of the training in a file, by name, float32."""
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["average"]
    return weights


def generators(stage: int, step: int, shard: int) -> tuple[np.random.Generator, torch.Generator]:
    """The randomness of one shard of a step: the same, whether the training was interrupted before or not."""
    sequence = np.random.SeedSequence([stage, step, shard])
    seed = int(sequence.generate_state(1)[0])
    return np.random.default_rng(sequence), torch.Generator().manual_seed(seed)
