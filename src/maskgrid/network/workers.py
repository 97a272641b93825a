"""Threads that each run torch's kernels on one CPU core, for independent parts of the work.

torch splits every single step among the cores. With many small steps, the cores wait for one another at each of them;
a core with its own part never waits, and its data stays in its cache.
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
    """Apply ``work`` to the parts, in order: on a CPU as many at once as torch has threads, elsewhere one by one.

    The work runs without gradients. The choice of thread changes no bit: each computes on one core.

    Args:
        work: called for each part; must be thread-safe.
        parts: its arguments.
        device: where the work's tensors are.

    Raises:
        Exception: raised by the first part that failed; all other parts have stopped by then.
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
        # A worker's set_num_threads(1) also became the default of new threads.
        torch.set_num_threads(n_threads)


def one_ahead(work: Callable[[Part], Result], parts: Iterable[Part], *, beside: bool) -> Iterator[tuple[Part, Result]]:
    """Apply ``work`` to the parts, in order, optionally in a thread while the caller uses the result before.

    Args:
        work: called for each part, one at a time.
        parts: its arguments.
        beside: whether to use a thread.

    Yields:
        Each part with its result.

    Raises:
        Exception: raised by the work or by ``parts``; no work is running by then.
    """
    if not beside:
        for part in parts:
            yield part, work(part)
        return
    with ThreadPoolExecutor(1, "maskgrid-ahead") as executor:
        last: tuple[Part, Future[Result]] | None = None
        try:
            for part in parts:
                following = part, executor.submit(work, part)
                if last is not None:
                    yield last[0], last[1].result()
                last = following
            if last is not None:
                yield last[0], last[1].result()
        finally:
            last = following = None  # type: ignore[assignment] # as in one_behind


def one_behind(
    work: Callable[[Part], Result], parts: Iterable[Part], device: torch.device, *, beside: bool
) -> Iterator[Result]:
    """Apply ``work`` to the parts, in order, optionally in a thread while ``parts`` makes the next one.

    With a thread, a CUDA device goes on with the next part while the CPU finishes the last one. The work then runs
    without gradients, on the caller's stream, and at most two parts are in memory.

    Args:
        work: called for each part, one at a time.
        parts: the next one is made during the work on the one before.
        device: where the parts' tensors are.
        beside: whether to use a thread; if not, each part is done before the next is made.

    Raises:
        Exception: raised by the work or by ``parts``; no work is running by then.
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
            # An error's traceback holds this frame. If the frame still held the future, which holds the error, that
            # cycle would keep the work's device memory until the next garbage collection.
            last = part = None  # type: ignore[assignment]


@cache
def _threads(n_threads: int, process_id: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a part of the cache's key
    """The threads of a process; keyed by process, because a fork does not inherit them."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix="maskgrid-core", initializer=_take_one_core)


def _take_one_core() -> None:
    # Both apply to the thread that sets them.
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
