"""Both modes against sam2, and sam2 against itself: every field of every mask, and the bits of one batch."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from gpu.check import Check
from gpu.measure import Result, arithmetic, bits, compare
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.network import fused

WAYS: dict[str, dict[str, Any]] = {
    "float32, no TF32, deterministic": {"matmul": False, "cudnn": False, "deterministic": True},
    "as torch has it (convolutions in TF32)": {},
}


def exact(check: Check, name: str) -> Iterator[Result]:
    """Compare a model's masks in three arithmetics; sam2 against itself is the control."""
    image, compared = check.image(), partial(compare, agreement=check.has_real_masks(name))
    for way, chosen in WAYS.items():
        told = {"way": way, "architecture": name}
        with arithmetic(**chosen):
            sam2 = check.sam2(name)
            theirs = sam2(image)
            if name != "demo" or way == next(iter(WAYS)):  # of the demo's many masks, sam2 takes 6 s an image
                yield {**told, "side": "sam2 again", **compared(sam2(image), theirs)}
            for mode in ("exact", "fast"):
                ours = check.ours(name, mode)
                masks = ours.generate(image)
                yield {**told, "side": mode, **compared(masks, theirs), **ways(ours.network)}
                if mode == "exact":
                    yield from _bits_of_a_batch(check, name)


def ways(network: Proposer) -> Result:
    """Which ways a network took."""
    decoding, recorder = network.decoding, network.recorder
    return {
        **network.ways(),
        "shorter_is_equal": {str(key): value for key, value in decoding.is_equal.items()},
        "kernels_are_equal": {str(key): value for key, value in recorder._is_equal.items()},
        "kernels_that_failed": sorted(fused._failed),
    }


def _bits_of_a_batch(check: Check, name: str) -> Iterator[Result]:
    """How far logits and scores of the shorter ways are from sam2's."""
    with torch.no_grad():
        batch = check.batch(name)
        theirs = batch.sam2()
        for mode in ("exact", "fast"):
            yield {"bits_of": mode, **bits(batch.ours(batch.decoding(mode)), theirs)}


def exact_bfloat16(check: Check) -> Iterator[Result]:
    """The same in bfloat16, and each side against sam2 in float32."""
    image = check.image()
    for name in ("demo", "large"):
        compared = partial(compare, agreement=check.has_real_masks(name))
        full = check.sam2(name)(image)
        sam2 = check.sam2(name, "bfloat16")
        theirs = sam2(image)
        yield {"architecture": name, "side": "sam2 again", **compared(sam2(image), theirs)}
        yield {"architecture": name, "side": "sam2 bfloat16 against float32", **compared(theirs, full)}
        for mode in ("exact", "fast"):
            masks = check.ours(name, mode, "bfloat16").generate(image)
            for against, others in (("sam2 bfloat16", theirs), ("sam2 float32", full)):
                yield {"architecture": name, "side": mode, "against": against, **compared(masks, others)}
