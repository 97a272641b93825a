"""Time work on a device, compare masks, and choose the device's arithmetic."""

import statistics
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from maskgrid.results.agreement import match

Result = dict[str, object]
Masks = list[dict[str, Any]]


def failure(error: Exception) -> Result:
    """The result that tells of an error."""
    return {"error": f"{type(error).__name__}: {str(error)[:300]}"}


def attempt(label: Result, results: Iterable[Result]) -> Iterator[Result]:
    """Yield results, each with a label; if an error ends them, yield it as the last one."""
    try:
        for result in results:
            yield {**label, **result}
    except Exception as error:
        traceback.print_exc()
        yield {**label, **failure(error)}


def sync(device: torch.device) -> None:
    """Wait for a CUDA device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Peak:
    """Peak memory of a CUDA device since this was made, above what was held then."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self._held = torch.cuda.memory_allocated(device)

    def mib(self) -> int | None:
        """The peak so far; None on other devices."""
        if self.device.type != "cuda":
            return None
        return round((torch.cuda.max_memory_allocated(self.device) - self._held) / 2**20)


def timed(work: Callable[[], object], device: torch.device, repeat: int, warm_up: int = 1) -> dict[str, Any]:
    """Median seconds of some calls, all of them, and the highest peak of memory in MiB (CUDA)."""
    for _ in range(warm_up):
        work()
    seconds, peaks = [], []
    for _ in range(repeat):
        peak = Peak(device)
        started = time.perf_counter()
        work()
        sync(device)
        seconds.append(time.perf_counter() - started)
        peaks.append(peak.mib())
    return {
        "s": statistics.median(seconds),
        "all_s": [round(value, 5) for value in seconds],
        "peak_mib": max((mib for mib in peaks if mib is not None), default=None),
    }


def queued(work: Callable[[], object], device: torch.device, times: int = 10) -> dict[str, float]:
    """Milliseconds per call: until the host had queued it, and until it was done, many in a row."""
    work()
    sync(device)
    started = time.perf_counter()
    for _ in range(times):
        work()
    host_s = time.perf_counter() - started
    sync(device)
    return {"host_ms": host_s / times * 1e3, "ms": (time.perf_counter() - started) / times * 1e3}


def compare(ours: Masks, theirs: Masks, *, agreement: bool) -> Result:
    """How two lists of masks (``coco_rle``) differ.

    Args:
        ours: one list.
        theirs: the other.
        agreement: match masks by their IoU too. Not for models whose masks are discs: rounding moves them.
    """
    pairs = list(zip(ours, theirs, strict=False))
    fields = Counter(key for one, other in pairs for key in other if one[key] != other[key])
    codes = [[mask["segmentation"]["counts"].encode() for mask in side] for side in (ours, theirs)]
    same = (Counter(codes[0]) & Counter(codes[1])).total()
    result: Result = {
        "n_ours": len(ours),
        "n_theirs": len(theirs),
        "differences": abs(len(ours) - len(theirs)) + sum(one != other for one, other in pairs),
        "fields": dict(fields),
        "n_same_pixels": same,
    }
    if agreement:
        size_hw = tuple((ours or theirs)[0]["segmentation"]["size"]) if ours or theirs else (0, 0)
        found, ious = match(*codes, size_hw)
        result["f1"] = 2 * len(found) / (len(ours) + len(theirs)) if ours or theirs else 1.0
        result["iou_mean"] = float(ious.mean()) if len(ious) else None
    return result


def bits(ours: Iterable[torch.Tensor], theirs: Iterable[torch.Tensor]) -> Result:
    """Whether tensors are equal bit for bit, the largest difference in each, and the share of values that differ."""
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "equal": [torch.equal(one, other) for one, other in pairs],
        "largest": [float((one - other).abs().max()) for one, other in pairs],
        "shares": [float((one != other).float().mean()) for one, other in pairs],
    }


@contextmanager
def arithmetic(matmul: bool | None = None, cudnn: bool | None = None, *, deterministic: bool = False) -> Iterator[None]:
    """Choose whether products and convolutions may be in TF32, and whether torch must choose what repeats its bits.

    None leaves a choice as it is.
    """
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    saved = products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic, convolutions.benchmark
    try:
        if matmul is not None:
            products.allow_tf32 = matmul
        if cudnn is not None:
            convolutions.allow_tf32 = cudnn
        if deterministic:
            convolutions.deterministic, convolutions.benchmark = True, False
            torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        products.allow_tf32, convolutions.allow_tf32 = saved[:2]
        convolutions.deterministic, convolutions.benchmark = saved[2:]
