"""Peaks of memory, larger batches, and what happens where memory is short."""

import gc
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gpu.check import Check, Image
from gpu.measure import Masks, Result, compare, failure

_ROOMS_MIB = (8000, 4000, 2000, 1000, 400)


def twelve_megapixels(check: Check) -> Iterator[Result]:
    """An image of 12 megapixels: one batch of 64 points, then all points."""
    image = check.image(check.large_hw)
    for points in (min(8, check.points), check.points):
        for side in ("exact", "fast", "sam2"):
            for dtype in ("float32",) if side == "exact" else ("float32", "bfloat16"):
                told = {"points": points**2, "side": side, "dtype": dtype, "size_hw": check.large_hw}
                generate = check.generator(side, "large", dtype, points_per_side=points)
                try:
                    yield {**told, **check.timed(lambda generate=generate: generate(image), 1)}
                except RuntimeError as error:
                    traceback.print_exc()
                    yield {**told, **failure(error)}
                del generate
                release(check)


def release(check: Check) -> None:
    """Give memory that is no longer used back to the device."""
    gc.collect()
    if check.is_cuda:
        torch.cuda.empty_cache()


def batches(check: Check) -> Iterator[Result]:
    """Larger batches of prompts, and larger chunks of masks."""
    image = check.image()
    for dtype in ("float32", "bfloat16"):
        for n in (64, 128, 256, 512, 1024):
            if n <= max(64, check.points**2):
                ours = check.ours("large", "fast", dtype, points_per_batch=n)
                cost = check.timed(lambda ours=ours: ours.generate(image), 2)
                yield {"dtype": dtype, "points_per_batch": n, **cost}
    for megapixels in (16, 64, 256, 1024):
        ours = check.ours("large", "fast", points_per_batch=256)
        ours.network.recorder.chunk_px = megapixels << 20
        cost = check.timed(lambda ours=ours: ours.generate(image), 2)
        yield {"chunk_megapixels": megapixels, "points_per_batch": 256, **cost}


def out_of_memory(check: Check) -> Iterator[Result]:
    """With less and less memory: the same masks, or words for a person."""
    image = check.image()
    for mode in ("exact", "fast"):
        usual = check.ours("large", mode).generate(image)
        for room_mib in _ROOMS_MIB:
            release(check)
            held = _held_mib(check)
            yield {"mode": mode, "room_mib": room_mib, **held, **_with_room(check, mode, image, usual, room_mib)}


def _with_room(check: Check, mode: str, image: Image, usual: Masks, room_mib: int) -> Result:
    ours = check.ours("large", mode)
    with _messages() as messages, _room(check, room_mib):
        try:
            found = compare(ours.generate(image), usual, agreement=False)
            result: Result = {"differences": found["differences"]}
        except Exception as error:
            result = {"raised": type(error).__name__, "message": str(error)[:200]}
    network = ours.network
    return {"beside": network.beside, "chunk_px": network.recorder.chunk_px, "messages": messages, **result}


def _held_mib(check: Check) -> Result:
    """What tensors hold, and what the allocator cannot give back although they don't."""
    if not check.is_cuda:
        return {}
    held, reserved = torch.cuda.memory_allocated(check.device), torch.cuda.memory_reserved(check.device)
    return {"held_mib": held >> 20, "kept_mib": (reserved - held) >> 20}


@contextmanager
def _room(check: Check, room_mib: int) -> Iterator[None]:
    """Allow a CUDA device this much more memory than is held."""
    if not check.is_cuda:
        yield
        return
    release(check)
    total = torch.cuda.get_device_properties(check.device).total_memory
    room = torch.cuda.memory_allocated(check.device) + (room_mib << 20)
    torch.cuda.set_per_process_memory_fraction(min(1.0, room / total), check.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, check.device)


@contextmanager
def _messages() -> Iterator[list[str]]:
    """The messages that maskgrid logs in the block."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("maskgrid").addHandler(handler)
    try:
        yield found
    finally:
        logging.getLogger("maskgrid").removeHandler(handler)
