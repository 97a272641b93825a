"""One or several jobs on one GPU: images a second, all jobs together."""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch

from gpu.check import Check
from gpu.measure import Result

_AT_ONCE = (1, 2, 3)
# Images of each job after its first two, which choose kernels and capture graphs.
_N_IMAGES = 8
# For the start of all jobs, on a device that they share.
_START_S = 60.0

Times = tuple[int, float, float]


def jobs(check: Check) -> Iterator[Result]:
    """Run 1, 2 and 3 jobs at once, each a process with its own network, as Snakemake starts them."""
    context = multiprocessing.get_context("spawn")
    for mode, dtype in (("exact", "float32"), ("fast", "float32"), ("fast", "bfloat16")):
        barrier, times = context.Barrier(max(_AT_ONCE)), context.Queue()
        settings = str(check.device), check.photo, check.stand_in, mode, dtype
        processes = [context.Process(target=_job, args=(i, barrier, times, *settings)) for i in range(max(_AT_ONCE))]
        for process in processes:
            process.start()
        try:
            found = [times.get(timeout=_START_S) for _ in range(sum(_AT_ONCE))]
        finally:
            for process in processes:
                process.join(1.0)
                process.kill()
        rates = {n: _rate([each for each in found if each[0] == n]) for n in _AT_ONCE}
        for n, rate in rates.items():
            yield {"mode": mode, "dtype": dtype, "jobs": n, "images_per_s": rate, "of_one": rate / rates[1]}


def _rate(times: list[Times]) -> float:
    seconds = max(end for _, _, end in times) - min(start for _, start, _ in times)
    return len(times) * _N_IMAGES / seconds


def _job(
    number: int,
    barrier: Barrier,
    times: "Queue[Times]",
    device: str,
    photo: Path | None,
    stand_in: str | None,
    mode: str,
    dtype: str,
) -> None:
    """Load a network; then, each time that enough others are there, generate and put start and end on the queue."""
    check = Check(torch.device(device), Path(), photo, stand_in=stand_in)
    image, ours = check.image(), check.ours("large", mode, dtype)
    for _ in range(2):
        ours.generate(image)
    for at_once in _AT_ONCE:
        barrier.wait(_START_S)
        if number < at_once:
            started = time.time()  # one clock for all processes
            for _ in range(_N_IMAGES):
                ours.generate(image)
            times.put((at_once, started, time.time()))
