"""Threads that each run torch's kernels on one core of a CPU, for parts of work that do not depend on one another.

torch shares each single step of its work among the cores. Where steps are many and small, cores wait for one another
at every step; a core that has a part of its own waits for nobody, and what it works on stays in its cache.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_parts(work: Callable[[Part], Result], parts: Iterable[Part], device: torch.device) -> list[Result]:
    """Results of the parts, in their order: on a CPU as many at once as torch has threads, elsewhere one by one.

    The work runs without gradients. Which thread takes a part changes no bit: each computes on one core.

    Args:
        work: called for each part; must be safe to be called by several threads.
        parts: what it is called with.
        device: where the work's tensors are.

    Raises:
        Exception: what the work of a part raised, the first one's; by then no other part is being worked on.
    """
    n_threads = torch.get_num_threads()
    if device.type != "cpu" or n_threads < 2:
        return [work(part) for part in parts]
    futures = [_threads(n_threads, os.getpid()).submit(work, part) for part in parts]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
        # The workers' number has become the one for threads to come.
        torch.set_num_threads(n_threads)


def one_behind(
    work: Callable[[Part], Result], parts: Iterable[Part], device: torch.device, *, beside: bool
) -> Iterator[Result]:
    """Results of the parts, in their order, each worked out beside the making of the next part where that is wanted.

    Beside, a CUDA device goes on with the next part while the CPU finishes the last one; the work runs without
    gradients, on the caller's stream, and two parts are held at most.

    Args:
        work: called for each part, one at a time.
        parts: made while the work of the one before goes on.
        device: where the parts' tensors are.
        beside: whether to work in a thread of its own; if not, the work is done as parts come.

    Raises:
        Exception: what the work of a part or the making of one raised; by then no work goes on.
    """
    if not beside:
        yield from map(work, parts)
        return
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None

    def on_stream(part: Part) -> Result:
        with torch.cuda.stream(stream) if stream is not None else nullcontext():
            return work(part)

    with ThreadPoolExecutor(1, "maskgrid-beside", initializer=torch.set_grad_enabled, initargs=(False,)) as executor:
        last: Future[Result] | None = None
        try:
            for part in parts:
                if last is not None:
                    yield last.result()
                last = executor.submit(on_stream, part)
            if last is not None:
                yield last.result()
        finally:
            # An error holds this frame by its traceback: with the future that holds the error, it would keep what the
            # work had in the device's memory until the next collection of garbage.
            last = part = None  # type: ignore[assignment]


@cache
def _threads(n_threads: int, process_id: int) -> ThreadPoolExecutor:
    """The threads of a process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix="maskgrid-core", initializer=_take_one_core)


def _take_one_core() -> None:
    # Both hold for the thread that sets them.
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
