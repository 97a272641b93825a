"""The least time that this hardware allows for one image, and how far above it the network runs.

    python benchmarks/floor.py [--architecture tiny] [--points-per-side 32] [--device cpu]

Compute: the multiply-adds of the encoder and of sam2's own decoder, divided by the rate of a large matrix product on
this machine. Memory: the bytes of every prompt's image tokens, read and written once per layer, and of its up-scaled
embedding, read and written once, divided by the rate of adding two large arrays. Times are measured for the encoder and
for one batch of 64 prompts, and scaled to all prompts.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from gpu.measure import sync
from sides import machine, parser
from synthetic_model import make_model
from torch.utils.flop_counter import FlopCounterMode

import maskgrid
from maskgrid.network.decoder import Decoding
from maskgrid.network.device import pick_device
from maskgrid.network.predictor import make_predictor

BATCH = 64


def main() -> int:
    """Print the floor, then sam2 and both modes relative to it."""
    arguments = parser(__doc__, "tiny").parse_args()
    print(machine(arguments), flush=True)
    maskgrid.keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    # The FLOP counter's hooks look for gradients wherever a parameter requires one.
    device = pick_device(arguments.device)
    model = make_model(arguments.architecture, str(device)).requires_grad_(False)
    predictor = make_predictor(model)
    image = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    side = model.image_size
    points = torch.rand(BATCH, 1, 2, generator=torch.Generator().manual_seed(0)).to(device) * side
    labels = torch.ones(BATCH, 1, dtype=torch.int, device=device)
    n_prompts = arguments.points_per_side**2
    with torch.no_grad():
        encoder_flop = flop(lambda: predictor.set_image(image))
        prompt_flop = flop(lambda: predictor._predict(points, labels, return_logits=True)) / BATCH
        rate, bandwidth = matrix_rate(device), add_rate(device)
        total = encoder_flop + n_prompts * prompt_flop
        moved = n_prompts * prompt_bytes(predictor)
        print(f"machine   {rate / 1e9:.0f} GFLOP/s (float32), {bandwidth / 1e9:.1f} GB/s")
        print(f"work      encoder {encoder_flop / 1e9:.0f} GFLOP, decoder {prompt_flop / 1e9:.2f} GFLOP a prompt")
        print(f"floor     compute {total / rate:.1f} s, memory {moved / bandwidth:.1f} s for {n_prompts} prompts")
        encoder_s = seconds(lambda: predictor.set_image(image), device)
        ways: dict[str, Callable[[], object]] = {"sam2": lambda: predictor._predict(points, labels, return_logits=True)}
        for mode in ("exact", "fast"):
            decoding = Decoding(predictor, mode)
            ways[mode] = lambda decoding=decoding: decoding.predict(points, labels)
        for name, way in ways.items():
            way()
            network_s = encoder_s + seconds(way, device) * n_prompts / BATCH
            above = network_s / (total / rate)
            print(f"{name:<6}    {network_s:.1f} s, every mask drawn: {above:.2f} times the floor of sam2's arithmetic")
    return 0


def flop(work: Callable[[], object]) -> int:
    """Count floating-point operations; a multiply-add counts as two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def seconds(work: Callable[[], object], device: torch.device, repeat: int = 3) -> float:
    """Time of the fastest of a few runs."""
    best = float("inf")
    for _ in range(repeat):
        sync(device)
        started = time.perf_counter()
        work()
        sync(device)
        best = min(best, time.perf_counter() - started)
    return best


def matrix_rate(device: torch.device) -> float:
    """FLOP/s of a large float32 matrix product."""
    side = 2048 if device.type == "cpu" else 8192
    one = torch.randn(side, side, device=device)
    torch.mm(one, one)
    return 2 * side**3 / seconds(lambda: torch.mm(one, one), device, 5)


def add_rate(device: torch.device, n: int = 1 << 25) -> float:
    """Bytes per second when adding two arrays of 128 MB into a third."""
    one, other, total = (torch.ones(n, device=device) for _ in range(3))
    return 3 * 4 * n / seconds(lambda: torch.add(one, other, out=total), device, 5)


def prompt_bytes(predictor: object) -> int:
    """Bytes moved per prompt: image tokens, read and written once per layer, and the up-scaled embedding, once."""
    features, model = predictor._features, predictor.model  # type: ignore[attr-defined]
    tokens = features["image_embed"].numel() * 4
    upscaled = sum(level.numel() * 4 for level in features["high_res_feats"])
    return 2 * len(model.sam_mask_decoder.transformer.layers) * tokens + 2 * upscaled


if __name__ == "__main__":
    sys.exit(main())
