"""What changes of the code would rest on: each a few seconds, each by itself.

To add a trial, write a function that takes the :class:`gpu.check.Check` and yields results (dicts), and name it in
``TRIALS``. A trial that fails is noted, and the next one runs. ``--parts trials --trials NAME`` runs one alone.
"""

import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gpu.check import Check, Image
from gpu.measure import Result, arithmetic, attempt, bits
from maskgrid.automatic.generate import device_masks
from maskgrid.automatic.generate.proposals import Crop, Proposals, measure
from maskgrid.network.fast_decoder import FastPromptDecoder
from maskgrid.network.model import products_in_tf32
from maskgrid.network.predictor import Extent, interpolate, make_predictor
from maskgrid.plan.passes import Recording


def trials(check: Check) -> Iterator[Result]:
    """Run all trials, or those that the command line names."""
    for name in check.trials or TRIALS:
        if name in TRIALS:
            yield from attempt({"trial": name}, TRIALS[name](check))
        else:
            yield {"trial": name, "error": f"there is no such trial; there are {', '.join(TRIALS)}"}


def smooth_logits(check: Check, n: int) -> Tensor:
    """Logits (n, 256, 256) with blobs."""
    torch.manual_seed(0)
    coarse = torch.randn(1, n, 8, 8, device=check.device) * 10 - 6
    return F.interpolate(coarse, (256, 256), mode="bicubic")[0]


def extents(check: Check) -> Iterator[Result]:
    """Does interpolating only a mask's part give the bits of the whole?"""
    equal, n = 0, 0
    for hw in (check.size_hw, check.large_hw, (777, 1011)):
        for logits in smooth_logits(check, 8).split(1):
            extent = Extent.above(logits, -1.0, hw)
            x0, y0, x1, y1 = extent.box_xyxy
            whole = interpolate(logits, Extent.whole(hw))[:, y0:y1, x0:x1]
            equal, n = equal + torch.equal(interpolate(logits, extent), whole), n + 1
    yield {"equal": equal, "of": n}


def chunks(check: Check) -> Iterator[Result]:
    """Does the number of masks that are brought to full size at once change bits?"""
    logits, whole = smooth_logits(check, 8), Extent.whole(check.size_hw)
    together = interpolate(logits, whole)
    alone = torch.cat([interpolate(part, whole) for part in logits.split(1)])
    yield {"equal": torch.equal(together, alone)}


def preprocessing(check: Check) -> Iterator[Result]:
    """Bytes to the device and all the rest there, against sam2's way on the CPU."""
    predictor = make_predictor(check.model("large"))
    transforms, side = predictor._transforms, predictor.model.image_size
    mean, std = (torch.tensor(each, device=check.device)[:, None, None] for each in (transforms.mean, transforms.std))
    for hw in (check.size_hw, check.large_hw):
        image = check.image(hw)

        def there(image: Image = image) -> Tensor:
            pixels = torch.from_numpy(image).to(check.device).permute(2, 0, 1)[None].float().div(255)
            small = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
            return (small[0] - mean) / std

        apart = (there().cpu() - transforms(image)).abs()
        differences = {"largest": float(apart.max()), "share": float((apart > 0).float().mean())}
        yield {"size_hw": hw, **differences, **check.queued(there, 5)}


def encoder(check: Check) -> Iterator[Result]:
    """The encoder for several images at once, and as a CUDA graph."""
    for dtype in ("float32", "bfloat16"):
        model = check.model("large", dtype)
        with torch.no_grad():
            for n in (1, 2, 4):
                images = torch.randn(n, 3, model.image_size, model.image_size, device=check.device)
                cost = check.queued(partial(model.forward_image, images), 3)
                yield {"dtype": dtype, "images": n, "ms_an_image": cost["ms"] / n, **cost}
            if check.is_cuda:
                yield {"dtype": dtype, "graph": True, **_encoder_graph(check, model, images[:1].clone())}


def _encoder_graph(check: Check, model: torch.nn.Module, image: Tensor) -> Result:
    stream = torch.cuda.Stream(check.device)
    stream.wait_stream(torch.cuda.current_stream(check.device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            model.forward_image(image)
    torch.cuda.current_stream(check.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = model.forward_image(image)
    graph.replay()
    found = bits(captured["backbone_fpn"], model.forward_image(image)["backbone_fpn"])
    return {"equal": found["equal"], **check.queued(graph.replay, 10)}


def drawn_at_once(check: Check) -> Iterator[Result]:
    """Does the shorter decoder have sam2's bits if more or fewer prompts are drawn at once?"""
    with torch.no_grad():
        batch = check.batch("large")
        for tf32 in (False, True):
            with arithmetic(cudnn=tf32):
                theirs = batch.sam2()
                for at_once in (8, 16, 32, 64):
                    decoding = batch.decoding("exact")
                    decoding.drawn_at_once = at_once
                    found = bits(batch.ours(decoding), theirs)
                    cost = check.queued(partial(batch.ours, decoding), 3)
                    yield {"tf32": tf32, "at_once": at_once, **found, **cost}


def kernels(check: Check) -> Iterator[Result]:
    """Do Triton's kernels measure what torch measures, and in what time?"""
    recording = Recording(0.0, 0.0, (0.0, -1.0), (1.0, 0.5))
    for hw in (check.size_hw, check.large_hw, (777, 1011), (480, 640), (64, 3000)):
        for inside in (False, True):
            box, size_hw = (0, 0, hw[1], hw[0]), hw
            if inside:
                box, size_hw = (5, 7, 5 + hw[1], 7 + hw[0]), (hw[0] + 20, hw[1] + 20)
            crop, n = Crop(0, box, size_hw), 4
            proposals = Proposals(
                smooth_logits(check, n), torch.rand(n, device=check.device), torch.zeros(n, 2), torch.arange(n)
            )
            whole = Extent.whole(hw)
            theirs = measure(proposals, interpolate(proposals.logits, whole), whole, crop, recording)
            if not device_masks.can_measure(check.device, crop):
                yield {"size_hw": hw, "crop": inside, "kernels": "are not there"}
                continue
            ours = device_masks.finish(device_masks.begin(proposals, crop, recording, 1 << 20))
            differing = [
                field.name
                for field in fields(ours)
                if not np.array_equal(getattr(ours, field.name), getattr(theirs, field.name))
            ]
            yield {"size_hw": hw, "crop": inside, "equal": not differing, "fields": differing, "rows": len(theirs)}


def measuring(check: Check) -> Iterator[Result]:
    """A batch's masks measured by kernels: what the device and its caller take, and the wait for the codes."""
    recording, n = Recording(0.0, 0.0, (0.0,), (1.0,)), 80 if check.is_cuda else 6
    logits = smooth_logits(check, n)
    proposals = Proposals(logits, torch.ones(n, device=check.device), torch.zeros(n, 2), torch.arange(n))
    for hw in (check.size_hw, check.large_hw):
        crop = Crop(0, (0, 0, hw[1], hw[0]), hw)
        if not device_masks.can_measure(check.device, crop):
            yield {"size_hw": hw, "kernels": "are not there"}
        else:
            begin = partial(device_masks.begin, proposals, crop, recording, 1 << 20)
            cost, begun = check.queued(begin, 5), begin()
            check.sync()
            coded = check.queued(partial(device_masks.finish, begun), 3)
            yield {"size_hw": hw, "masks": n, **cost, "codes_ms": coded["ms"]}
            yield from ({"size_hw": hw, **result} for result in _splits(check, begin))


def _splits(check: Check, begin: Callable[[], object]) -> Iterator[Result]:
    """The same with the kernels' work split otherwise."""
    from maskgrid.automatic.generate import mask_kernels

    usual = mask_kernels.BLOCK, mask_kernels.COLUMNS, mask_kernels.WARPS
    try:
        for split in ((256, 1, 4), (256, 4, 4), (256, 16, 4), (256, 8, 2), (512, 8, 4), (128, 8, 1)):
            mask_kernels.BLOCK, mask_kernels.COLUMNS, mask_kernels.WARPS = split
            yield {"split": split, **check.queued(begin, 5)}
    finally:
        mask_kernels.BLOCK, mask_kernels.COLUMNS, mask_kernels.WARPS = usual


TRIALS: dict[str, Callable[[Check], Iterator[Result]]] = {
    "extents": extents,
    "chunks": chunks,
    "preprocessing": preprocessing,
    "encoder": encoder,
    "drawn_at_once": drawn_at_once,
    "kernels": kernels,
    "measuring": measuring,
}


def compiled(check: Check) -> Iterator[Result]:
    """The up-scaling of fast, the largest part of its decoder: plain, compiled, and as one kernel."""
    drawn = inspect.unwrap(FastPromptDecoder._drawn)  # without the discs of the synthetic models
    for dtype in ("float32", "bfloat16"):
        with torch.no_grad(), products_in_tf32(wanted=True):
            batch = check.batch("large", dtype)
            decoding = batch.decoding("fast")
            batch.ours(decoding)
            decoder = decoding._of_image()
            arguments = _drawn_arguments(decoder, len(batch.points))
            told = {"trial": "up-scaling of fast", "dtype": dtype}
            drawing, decoder.drawing = decoder.drawing, None
            plain = drawn(*arguments)
            yield {**told, "way": "plain", **check.queued(partial(drawn, *arguments), 5)}
            by_compiler = torch.compile(drawn, dynamic=False)
            started = time.perf_counter()
            by_compiler(*arguments)
            check.sync()
            told_too = {"compiling_s": time.perf_counter() - started}
            yield {**told, "way": "compiled", **told_too, **check.queued(partial(by_compiler, *arguments), 5)}
            decoder.drawing = drawing
            if drawing is not None:
                largest = float((drawn(*arguments) - plain).abs().max())
                cost = check.queued(partial(drawn, *arguments), 5)
                yield {**told, "way": "kernel", "largest": largest, "std": float(plain.std()), **cost}


def _drawn_arguments(decoder: FastPromptDecoder, n: int) -> tuple[object, ...]:
    """Random arguments for ``FastPromptDecoder._drawn``, for n prompts."""
    embedding = decoder.features.embedding
    (height, width), channels = decoder.features.size_hw, embedding.shape[1]
    keys = torch.randn(n, height * width, channels, device=embedding.device, dtype=embedding.dtype)
    hyper = torch.randn(n, 4, channels // 8, device=embedding.device, dtype=embedding.dtype)
    return decoder, keys, hyper, slice(1, None)
