"""A batch in two halves, one a CPU core.

The operations of so small a network are too short to be split over threads one by one: with a busy neighbour,
the threads spend their time waiting for each other. Whole halves of the batch side by side do not.
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
    """Threads for :func:`mean_gradients`, each of which computes on one core; with one, shards come in turn."""
    return ThreadPoolExecutor(count, initializer=_single)


def _single() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # the loss of far pixels is next to nothing, and slow to compute with


def mean_gradients(
    executor: ThreadPoolExecutor,
    parameters: Sequence[nn.Parameter],
    loss_of: Callable[[int], tuple[Tensor, Report]],
) -> tuple[Gradients, list[Report]]:
    """The gradient of the mean of the shards' losses, and what each shard reports.

    Args:
        executor: where the shards run side by side.
        parameters: what to differentiate by.
        loss_of: the loss and the report of a shard, by its number.

    Returns:
        A gradient for each parameter, None where no loss depends on it; and the reports, shard by shard.
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
