"""Each stage by itself, in milliseconds: until the host had queued it, and until it was done."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from gpu.check import Batch, Check
from gpu.measure import Result
from maskgrid.automatic.candidates import CandidateRows
from maskgrid.automatic.generate.proposals import Crop, Proposals, measure
from maskgrid.masks.rle import encode_together
from maskgrid.network.predictor import Extent, interpolate, make_predictor, masks_at_once
from maskgrid.plan.passes import Recording


def stages(check: Check, name: str) -> Iterator[Result]:
    """Preprocessing, the network's parts in two precisions, and measuring at two image sizes."""
    predictor = make_predictor(check.model(name))
    for hw in (check.size_hw, check.large_hw):
        work = partial(predictor._transforms, check.image(hw))
        yield {"stage": "preprocessing on the CPU", "size_hw": hw, **check.queued(work, 3)}
    with torch.no_grad():
        for dtype in ("float32", "bfloat16"):
            batch = check.batch(name, dtype)
            for result in (*_encoder(check, batch), *_decoders(check, batch)):
                yield {"architecture": name, "dtype": dtype, **result}
        logits = batch.sam2()[0].flatten(0, 1).float()
        for hw in (check.size_hw, check.large_hw):
            yield from _at_full_size(check, logits, hw)


def _encoder(check: Check, batch: Batch) -> Iterator[Result]:
    predictor, image = batch.predictor, check.image()
    ready = predictor._transforms(image)[None]
    there = ready.to(check.device)
    yield {"stage": "to the device", **check.queued(lambda: ready.to(check.device), 5)}
    yield {"stage": "encoder", **check.queued(lambda: batch.model.forward_image(there), 5)}
    yield {"stage": "set_image", **check.queued(lambda: predictor.set_image(image), 3)}


def _decoders(check: Check, batch: Batch) -> Iterator[Result]:
    yield {"stage": "decoder, sam2's", **check.queued(batch.sam2)}
    for mode in ("exact", "fast"):
        decoding = batch.decoding(mode)
        if decoding.can_shorten:
            for floor in (0.0, 0.8):
                cost = check.queued(partial(batch.ours, decoding, floor))
                yield {"stage": f"decoder, {mode}, floor {floor}", **cost}


def _at_full_size(check: Check, logits: Tensor, hw: tuple[int, int]) -> Iterator[Result]:
    some = logits[: masks_at_once(64 << 20 if check.is_cuda else 4 << 20, hw)]
    told = {"size_hw": hw, "masks": len(some)}
    whole = Extent.whole(hw)
    full = interpolate(some, whole)
    yield {**told, "stage": "up-sampling", **check.queued(lambda: interpolate(some, whole), 5)}
    masks = full > 0
    n_bytes = sum(map(len, encode_together(masks, (0, 0), hw)))
    cost = check.queued(lambda: encode_together(masks, (0, 0), hw), 3)
    yield {**told, "stage": "run ends and codes", "n_bytes": n_bytes, **cost}
    yield {**told, "stage": "measuring and coding, up-sampled", **check.queued(lambda: _measured(some, full, hw), 3)}


def _measured(low: Tensor, full: Tensor, hw: tuple[int, int]) -> CandidateRows:
    n, device = len(low), low.device
    proposals = Proposals(low, torch.ones(n, device=device), torch.zeros(n, 2), torch.arange(n))
    crop = Crop(0, (0, 0, hw[1], hw[0]), hw)
    return measure(proposals, full, Extent.whole(hw), crop, Recording(0.0, 0.95, (0.0,), (1.0,)))
