"""Which lines wait for the device, and where the time goes."""

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from gpu.check import SIDES, Check
from gpu.measure import Result

# Points per side; a profile of more takes long to write.
_POINTS = 16
_COUNTED = (
    *("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpyAsync", "cudaMemsetAsync"),
    *("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cudaMalloc"),
    *("aten::item", "aten::nonzero", "aten::copy_"),
    *("Memcpy DtoH (Device -> Pageable)", "Memcpy HtoD (Pageable -> Device)"),
)


def syncs(check: Check) -> Iterator[Result]:
    """How often an image waits for the device on each side, by line."""
    image, points = check.image(), min(_POINTS, check.points)
    for side in SIDES:
        generate = check.generator(side, "large", points_per_side=points)
        for _ in range(2):  # the second one captures graphs
            generate(image)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with _sync_warnings(check):
                generate(image)
        waits = [each for each in caught if "called a synchronizing" in str(each.message)]
        lines = Counter(f"{Path(each.filename).parent.name}/{Path(each.filename).name}:{each.lineno}" for each in waits)
        most = lines.most_common(60)
        print(side, len(waits), *[f"  {count:5d} {line}" for line, count in most], sep="\n")
        yield {"side": side, "n_syncs": len(waits), "points": points**2, "lines": dict(most)}


@contextmanager
def _sync_warnings(check: Check) -> Iterator[None]:
    """Warn at each wait for a CUDA device."""
    if check.is_cuda:
        torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        if check.is_cuda:
            torch.cuda.set_sync_debug_mode("default")


def profiles(check: Check) -> Iterator[Result]:
    """torch's profile of an image, by kernel: tables to ``profiles.txt``."""
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if check.is_cuda else [])
    image, points = check.image(), min(_POINTS, check.points)
    for side, dtype in (("exact", "float32"), ("fast", "float32"), ("fast", "bfloat16"), ("sam2", "float32")):
        generate = check.generator(side, "large", dtype, points_per_side=points)
        for _ in range(2):
            generate(image)
        check.sync()
        started = time.perf_counter()
        with profile(activities=kinds) as profiler:
            generate(image)
            check.sync()
        wall_ms = (time.perf_counter() - started) * 1e3
        averages = profiler.key_averages()
        _write_tables(check, f"{side} {dtype}", averages)
        yield {"side": side, "dtype": dtype, "wall_ms": wall_ms, **_totals(averages)}


def _totals(averages: Any) -> Result:  # noqa: ANN401 - torch's EventList
    on_device = [event for event in averages if "cuda" in str(event.device_type).lower()]
    return {
        "device_busy_ms": sum(getattr(event, "self_device_time_total", 0) for event in on_device) / 1e3,
        "counts": {event.key: event.count for event in averages if event.key in _COUNTED},
        "waited_ms": {event.key: event.self_cpu_time_total / 1e3 for event in averages if "Synchronize" in event.key},
    }


def _write_tables(check: Check, title: str, averages: Any) -> None:  # noqa: ANN401
    orders = ["self_cuda_time_total", "self_cpu_time_total"] if check.is_cuda else ["self_cpu_time_total"]
    with (check.out / "profiles.txt").open("a") as stream:
        for order in orders:
            table = averages.table(sort_by=order, row_limit=40, max_name_column_width=90)
            stream.write(f"\n{title}, {order}\n{table}\n")
