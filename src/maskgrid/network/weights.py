"""Read weights as trainers write them, and load them into sam2's model."""

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskgrid.io.errors import UserError
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.network.weight_files import refuse_other_files

Weights = Mapping[str, Tensor]

# Under which key the weights stand: sam2's own, Lightning's, and those of many training loops.
_PLACES = ("model", "state_dict", "model_state_dict")
# What wrappers put before each name: DistributedDataParallel, Lightning, torch.compile.
_PREFIXES = ("module.", "model.", "_orig_mod.")
_N_NAMED = 3
_SAVE = 'Save the weights alone: torch.save({"model": model.state_dict()}, path)'


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a model's parameters from a file of ``torch.save``, by the model's own names.

    The weights may stand under ``model``, ``state_dict`` or ``model_state_dict``, or be the file's whole content; the
    prefixes ``module.``, ``model.`` and ``_orig_mod.`` are removed if each name has them. No code in the file is run.

    Raises:
        UserError: the file is no file of weights, is damaged, or holds more than tensors.
    """
    try:
        refuse_other_files(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"model.checkpoint: {path} {_unpickled(str(error))}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError) as error:
        raise UserError(
            f"model.checkpoint: {path} cannot be read as weights, it is damaged or another kind of file "
            f"({type(error).__name__}: {_first_line(error)}). Copy or download it again."
        ) from None
    found = _weights_in(content)
    if found is None:
        keys = f": its keys are {_named(content)}" if isinstance(content, Mapping) else f", but {_kind(content)}"
        raise UserError(f"model.checkpoint: {path} holds no weights{keys}. {_SAVE}.")
    return _without_prefixes(found)


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's weights into a model on the CPU, each parameter exactly once.

    Raises:
        UserError: as :func:`read_weights`; or a parameter is missing, unknown, of another shape, or not finite.
    """
    weights, wanted = read_weights(checkpoint.path), model.state_dict()
    missing, unknown = (
        [name for name in wanted if name not in weights],
        [name for name in weights if name not in wanted],
    )
    shapes = [
        f"{name} {list(weights[name].shape)} instead of {list(value.shape)}"
        for name, value in wanted.items()
        if name in weights and weights[name].shape != value.shape
    ]
    wrong = [
        f"{len(names)} {words}: {_named(names)}"
        for names, words in ((missing, "missing"), (unknown, "unknown"), (shapes, "of another shape"))
        if names
    ]
    if wrong:
        raise UserError(
            f"model.checkpoint: {checkpoint.path} does not fit the config {checkpoint.config}: of {len(wanted)} "
            f"parameters {'; '.join(wrong)}. Give the config that the weights were trained with as model.config."
        )
    if broken := [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]:
        raise UserError(
            f"model.checkpoint: {checkpoint.path} has NaN or infinity in {len(broken)} of {len(wanted)} parameters: "
            f"{_named(broken)}. The training has diverged; take an earlier state."
        )
    model.load_state_dict(weights)


def _weights_in(content: object) -> Weights | None:
    """The mapping of names to tensors in a file's content, if there is one."""
    if not isinstance(content, Mapping):
        return None
    for place in _PLACES:
        if _is_weights(content.get(place)):
            return content[place]  # type: ignore[no-any-return]
    return content if _is_weights(content) else None


def _is_weights(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )


def _without_prefixes(weights: Weights) -> dict[str, Tensor]:
    names = dict(weights)
    while prefix := next((one for one in _PREFIXES if all(name.startswith(one) for name in names)), None):
        names = {name.removeprefix(prefix): value for name, value in names.items()}
    return names


def _unpickled(message: str) -> str:
    """What is wrong with a file that ``weights_only`` refuses, in words."""
    found = re.search(r"(?:GLOBAL|global) ([\w.]+)", message)
    if found is None:
        return f"is no file of weights, or a damaged one ({_first_line(message)}). Copy or download it again."
    return (
        f"holds Python objects besides weights ({found[1]}), which are not loaded, because they could run any code. "
        f"{_SAVE}."
    )


def _kind(content: Any) -> str:  # noqa: ANN401
    return f"a {type(content).__name__}"


def _named(names: Iterable[object]) -> str:
    """The first names, and how many more there are."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - _N_NAMED} more" if len(listed) > _N_NAMED else ""
    return ", ".join(listed[:_N_NAMED]) + more


def _first_line(error: object) -> str:
    return str(error).partition("\n")[0].strip().rstrip(".")
