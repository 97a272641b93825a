"""Time the fused kernels of ``mode: fast`` on a CUDA device beside torch's way, and compare their results.

    python benchmarks/gpu_fused.py [--seconds 25] [--prompts 64] [--only drawing|attention]

Needs torch, triton and this repository's ``src``; weights and tokens are random, of the official models' sizes. Prints
a JSON line a variant: median milliseconds of a batch, and the largest and mean difference from torch in float64 for two
of its prompts. A variant that fails is a line with its error. What has not begun by ``--seconds`` is left out.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from maskgrid.network import fused_attention
from maskgrid.network.fused import FusedDrawing, Launch

SIDE, CHANNELS, HEADS, TOKENS = 64, 256, 8, 8


class LayerNorm2d(nn.Module):
    """The parameters of sam2's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels)), 1e-6


class Drawing:
    """Random tokens of a batch, and both ways of drawing them."""

    def __init__(self, n: int, dtype: torch.dtype) -> None:
        c, c4, c8 = CHANNELS, CHANNELS // 4, CHANNELS // 8
        self.upscaling = nn.Sequential(
            nn.ConvTranspose2d(c, c4, 2, 2), LayerNorm2d(c4), nn.GELU(), nn.ConvTranspose2d(c4, c8, 2, 2), nn.GELU()
        )
        self.upscaling = self.upscaling.to("cuda", dtype).requires_grad_(False)
        options = {"device": "cuda", "dtype": dtype, "generator": torch.Generator("cuda").manual_seed(0)}
        self.weights = (
            torch.randn(c, 4 * c4, **options) * c**-0.5,
            torch.randn(c4, 4 * c8, **options) * c4**-0.5,
        )
        self.added = (
            torch.randn(SIDE * SIDE, 4 * c4, **options),
            torch.randn(4 * SIDE * SIDE, 4 * c8, **options),
        )
        self.keys = torch.randn(n, SIDE * SIDE, c, **options)
        self.hyper = torch.randn(n, 4, c8, **options)[:, 1:]

    def torchs(self, n: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """As ``FastPromptDecoder._drawn``; of some prompts, in another dtype."""
        dtype = dtype or self.keys.dtype
        keys, hyper = self.keys[:n].to(dtype), self.hyper[:n].to(dtype)
        n, norm = len(keys), self.upscaling[1]
        (first, second), (fine, finer) = (
            [each.to(dtype).expand(n, -1, -1) for each in two] for two in (self.weights, self.added)
        )
        tokens = torch.baddbmm(fine, keys, first).view(n, 4 * SIDE * SIDE, -1)
        tokens = F.gelu(F.layer_norm(tokens, norm.weight.shape, norm.weight.to(dtype), norm.bias.to(dtype), norm.eps))
        tokens = F.gelu(torch.baddbmm(finer, tokens, second)).view(n, 16 * SIDE * SIDE, -1)
        planes = (hyper @ tokens.transpose(1, 2)).view(n, -1, SIDE, SIDE, 2, 2, 2, 2)
        return planes.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(n, -1, 4 * SIDE, 4 * SIDE)

    def kernel(self, launch: Launch | None = None, operand: torch.dtype | None = None) -> Callable[[], Tensor]:
        """The fused kernel's way."""
        drawing = FusedDrawing(self.upscaling, self.weights, self.added, (SIDE, SIDE), operand)
        return lambda: drawing.draw(self.keys, self.hyper, launch)


class Attention:
    """Random tokens of a batch, and both ways for its image tokens and the prompts' to attend to each other."""

    def __init__(self, n: int, dtype: torch.dtype) -> None:
        options = {"device": "cuda", "dtype": dtype, "generator": torch.Generator("cuda").manual_seed(0)}
        self.keys = torch.randn(n, SIDE * SIDE, CHANNELS, **options)
        self.position = torch.randn(1, SIDE * SIDE, CHANNELS, **options)
        self.reach = torch.randn(n, HEADS * TOKENS, CHANNELS, **options) * CHANNELS**-0.5
        self.bias = torch.randn(n, HEADS, TOKENS, 1, **options)
        self.reached = torch.randn(n, HEADS * TOKENS, CHANNELS, **options)
        self.norm = nn.LayerNorm(CHANNELS).to("cuda", dtype).requires_grad_(False)

    def torchs_read(self, n: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """As ``FastImageSide.read``, from the second layer on."""
        keys, position, reach = (each[:n].to(dtype or each.dtype) for each in (self.keys, self.position, self.reach))
        weights = torch.bmm(reach, (keys + position).transpose(1, 2)).softmax(-1)
        return torch.bmm(weights, keys)

    def torchs_write(self, n: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """As ``FastImageSide.write``, from the second layer on."""
        parts = (self.keys, self.position, self.reach, self.bias, self.reached)
        keys, position, reach, bias, reached = (each[:n].to(dtype or each.dtype) for each in parts)
        scores = torch.bmm(reach, (keys + position).transpose(1, 2)).unflatten(1, (HEADS, TOKENS)).add_(bias)
        weights = scores.softmax(2).flatten(1, 2)
        return F.layer_norm(torch.baddbmm(keys, weights.transpose(1, 2), reached), (CHANNELS,))

    def read(self, *launch: object) -> Tensor:
        """The kernel's way."""
        return fused_attention.read(self.keys, self.position, self.reach, *launch)

    def write(self, *launch: object) -> Tensor:
        """The kernel's way."""
        parts = self.keys, self.position, self.reach, self.bias, self.reached
        return fused_attention.write(*parts, self.norm, *launch)

    def write_first(self) -> Tensor:
        """In the first layer, where all prompts share the image."""
        parts = self.keys[:1], self.position, self.reach, self.bias, self.reached
        return fused_attention.write(*parts, self.norm)


def milliseconds(work: Callable[[], object], repeats: int = 15) -> float:
    """Median of the device's time, after three runs."""
    for _ in range(3):
        work()
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, end in events:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize()
    return sorted(start.elapsed_time(end) for start, end in events)[repeats // 2]


class Report:
    """Prints a line a variant."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds

    def measure(self, name: str, make: Callable[[], Callable[[], Tensor]], expected: Tensor) -> None:
        """Time a variant and compare it with float64."""
        if time.monotonic() > self.until:
            self.say(variant=name, left_out="no time")
            return
        begun = time.monotonic()
        try:
            work = make()
            off = (work()[: len(expected)].double() - expected).abs()
            first_s = time.monotonic() - begun
            ms = milliseconds(work)
            self.say(
                variant=name, ms=round(ms, 4), max_off=float(off.max()), mean_off=float(off.mean()), first_s=first_s
            )
        except Exception as error:
            self.say(variant=name, error=f"{type(error).__name__}: {str(error)[:500]}")

    @staticmethod
    def say(**values: object) -> None:
        print(json.dumps(values), flush=True)


TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def draw(report: Report, n: int) -> None:
    """Drawing: the kernel as it runs, and torch's way."""
    for name, dtype in TYPES.items():
        both = Drawing(n, dtype)
        expected = both.torchs(2, torch.float64)
        report.say(logits_std=float(expected.std()))
        report.measure(f"draw {name} kernel", both.kernel, expected)
        for tf32 in (False, True) if name == "float32" else (True,):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            report.measure(f"draw {name} torch, tf32 {tf32}", lambda work=both.torchs: work, expected)
        graphs(report, both, name)


def attend(report: Report, n: int) -> None:
    """Attention: the kernels as they run, and torch's way."""
    torch.backends.cuda.matmul.allow_tf32 = True
    for name, dtype in TYPES.items():
        both = Attention(n, dtype)
        read, written = both.torchs_read(2, torch.float64), both.torchs_write(2, torch.float64)
        report.measure(f"read {name} kernel", lambda work=both.read: work, read)
        report.measure(f"write {name} kernel", lambda work=both.write: work, written)
        report.measure(f"write {name} kernel, first layer", lambda work=both.write_first: work, written[:1])
        report.measure(f"read {name} torch, tf32", lambda work=both.torchs_read: work, read)
        report.measure(f"write {name} torch, tf32", lambda work=both.torchs_write: work, written)


def launches(report: Report, n: int, only: str | None) -> None:
    """The kernels with other ways to launch them."""
    for name, dtype in TYPES.items():
        if only != "attention":
            drawing = Drawing(n, dtype)
            expected = drawing.torchs(2, torch.float64)
            for launch in (Launch(128, 8, 1), Launch(64, 4, 2), Launch(64, 8, 1)):
                report.measure(f"draw {name} kernel {launch}", partial(drawing.kernel, launch), expected)
            del drawing
        if only != "drawing":
            both = Attention(n, dtype)
            read, written = both.torchs_read(2, torch.float64), both.torchs_write(2, torch.float64)
            for launch in (Launch(64, 4, 1), Launch(64, 4, 2), Launch(64, 8, 2), Launch(64, 8, 1)):
                work = partial(both.write, launch)
                report.measure(f"write {name} kernel {launch}", lambda work=work: work, written)
            for launch, shares in (
                (Launch(64, 8, 1), 4),
                (Launch(64, 8, 2), 4),
                (Launch(32, 4, 2), 4),
                (Launch(32, 4, 1), 8),
            ):
                work = partial(both.read, launch, shares)
                report.measure(f"read {name} kernel {launch}, {shares} shares", lambda work=work: work, read)
    if only != "attention":
        drawing = Drawing(n, torch.float32)
        expected = drawing.torchs(2, torch.float64)
        report.measure("draw float32 kernel, products of TF32", partial(drawing.kernel, None, torch.float32), expected)


def graphs(report: Report, drawing: Drawing, name: str) -> None:
    """Whether a CUDA graph captures the kernel, and gives its bits."""
    try:
        kernel = FusedDrawing(drawing.upscaling, drawing.weights, drawing.added, (SIDE, SIDE))
        usual = kernel.draw(drawing.keys, drawing.hyper)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = kernel.draw(drawing.keys, drawing.hyper)
        graph.replay()
        report.say(
            variant=f"draw {name} in a graph",
            ms=round(milliseconds(graph.replay), 4),
            same_bits=torch.equal(logits, usual),
        )
    except Exception as error:
        report.say(variant=f"draw {name} in a graph", error=f"{type(error).__name__}: {str(error)[:500]}")


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--only", choices=("drawing", "attention"))
    arguments = parser.parse_args()
    report = Report(arguments.seconds)
    report.say(device=torch.cuda.get_device_name(), torch=torch.__version__)
    with torch.no_grad():
        if arguments.only != "attention":
            draw(report, arguments.prompts)
        if arguments.only != "drawing":
            attend(report, arguments.prompts)
        launches(report, arguments.prompts, arguments.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
