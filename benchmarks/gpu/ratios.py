"""Seconds and memory of both modes as shares of sam2's, for one setting and for a sweep."""

import gc
import time
from collections.abc import Iterator
from typing import Any

import side as one_side
import torch
from sides import SWEEP

from gpu.check import SIDES, Check
from gpu.measure import Result, arithmetic, compare

# Settings of the sweep that sam2 runs too.
_ASKED = [0, 57]


def ratios(check: Check, name: str, dtype: str) -> Iterator[Result]:
    """One image on each side; maskgrid also with its measuring thread switched, all also in TF32."""
    image, told, of_sam2 = check.image(), {"architecture": name, "dtype": dtype}, None
    for side in SIDES:
        held = taken(check)
        ours = None if side == "sam2" else check.ours(name, side, dtype)
        generate = check.sam2(name, dtype) if ours is None else ours.generate
        started = time.perf_counter()
        generate(image)
        check.sync()
        first_s = time.perf_counter() - started
        cost = check.timed(lambda generate=generate: generate(image))
        of_sam2 = of_sam2 or cost
        found = {**told, "side": side, "first_s": first_s, **_against(of_sam2, cost)}
        yield {**found, "reserved_mib": reserved_mib(check, held)}
        if ours is not None:
            ours.network.beside = not ours.network.beside
            cost = check.timed(lambda generate=generate: generate(image), 2)
            yield {**told, "side": side, "beside": ours.network.beside, **_against(of_sam2, cost)}
    if dtype == "float32" and name == "large":
        yield from _in_tf32(check, name)


def taken(check: Check) -> int:
    """Bytes that tensors take on the device, after the allocator has given back what it does not need."""
    if not check.is_cuda:
        return 0
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def reserved_mib(check: Check, held: int) -> int | None:
    """The most that the allocator has reserved since :func:`taken`, with what graphs keep for themselves."""
    return (torch.cuda.max_memory_reserved() - held) >> 20 if check.is_cuda else None


def _in_tf32(check: Check, name: str) -> Iterator[Result]:
    image, of_sam2 = check.image(), None
    with arithmetic(matmul=True, cudnn=True):
        for side in SIDES:
            generate = check.generator(side, name)
            cost = check.timed(lambda generate=generate: generate(image), 2)
            of_sam2 = of_sam2 or cost
            yield {"architecture": name, "dtype": "TF32 everywhere", "side": side, **_against(of_sam2, cost)}


def _against(of_sam2: dict[str, Any], cost: dict[str, Any]) -> Result:
    peak_mib = cost["peak_mib"]
    memory_ratio = of_sam2["peak_mib"] / max(1, peak_mib) if peak_mib is not None else None
    return {**cost, "ratio": of_sam2["s"] / cost["s"], "memory_ratio": memory_ratio}


def sweep(check: Check) -> Iterator[Result]:
    """A hundred settings replayed, some of them by sam2 too, run as in ``sweep.py``."""
    image = check.image()
    task = {"network": {"points_per_side": check.points}, "settings": SWEEP, "asked": _ASKED}
    for name in ("large", "demo"):
        model = check.model(name)
        masks = {}
        for mode in ("exact", "fast"):
            seconds, masks[mode] = one_side.maskgrid_side({**task, "side": mode}, model, [image])
            cost = {"network_s": seconds["network_s"][0], "replay_s": seconds["replay_s"]}
            counts = {"settings": len(SWEEP), "n_candidates": seconds["n_candidates"]}
            yield {"architecture": name, "side": mode, **counts, **cost}
        chosen = {**task, "side": "sam2", "settings": [SWEEP[index] for index in _ASKED]}
        seconds, theirs = one_side.sam2_side(chosen, model, [image])
        for place, index in enumerate(_ASKED):
            told = {"architecture": name, "setting": SWEEP[index], "sam2_s": seconds["network_s"][place]}
            both = masks["exact"][place][0], theirs[place][0]
            yield {**told, **compare(*both, agreement=check.has_real_masks(name))}
