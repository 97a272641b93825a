"""Train on the two halves of a batch in parallel, one per CPU core.

Operations of so small a network are too short to split over threads: when another process keeps a core busy, the
threads spend their time waiting for each other. Whole halves of the batch do not.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

Report = TypeVar("Report")
Gradients = list[Tensor | None]

N_SHARDS = 2


def workers(count: int = N_SHARDS) -> ThreadPoolExecutor:
    """Threads for :func:`mean_gradients`, each on one core; a single thread runs the shards in turn."""
    return ThreadPoolExecutor(count, initializer=_single)


def _single() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # the loss of far pixels is tiny, and denormal numbers are slow


def mean_gradients(
    executor: ThreadPoolExecutor,
    parameters: Sequence[nn.Parameter],
    loss_of: Callable[[int], tuple[Tensor, Report]],
) -> tuple[Gradients, list[Report]]:
    """Compute the gradient of the shards' mean loss.

    Args:
        executor: runs the shards in parallel.
        parameters: the parameters to differentiate by.
        loss_of: returns the loss and the report of a shard, given its number.

    Returns:
        One gradient per parameter, None if no loss depends on it; and one report per shard.
    """

    def one(shard: int) -> tuple[tuple[Tensor | None, ...], Report]:
        loss, report = loss_of(shard)
        return torch.autograd.grad(loss, list(parameters), allow_unused=True), report

    parts = list(executor.map(one, range(N_SHARDS)))
    each = zip(*(gradients for gradients, _ in parts), strict=True)
    return [_mean(gradients) for gradients in each], [report for _, report in parts]


def _mean(gradients: Sequence[Tensor | None]) -> Tensor | None:
    there = [gradient for gradient in gradients if gradient is not None]
    return sum(there[1:], start=there[0]) / N_SHARDS if there else None
