"""The machine, and the rates that estimates rest on."""

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from contextlib import suppress

import torch

from gpu.check import Check
from gpu.measure import Result, arithmetic

_PACKAGES = (
    *("torch", "torchvision", "triton", "numpy", "sam2", "pillow", "opencv-python-headless", "pycocotools", "pyarrow"),
    *("pydantic", "scipy"),
)


def facts(check: Check) -> Iterator[Result]:
    """Versions, settings, the device; then rates of products, copies and launches."""
    yield {
        "python": platform.python_version(),
        "versions": _versions(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "sdpa_flash": torch.backends.cuda.flash_sdp_enabled(),
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
    }
    if check.is_cuda:
        yield _gpu(check.device)
    yield from _products(check)
    yield _copies(check)
    if check.is_cuda:
        yield _launches(check)
        yield _transfers(check)


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _gpu(device: torch.device) -> Result:
    about = torch.cuda.get_device_properties(device)
    return {
        "gpu": about.name,
        "memory_gib": about.total_memory / 2**30,
        "processors": about.multi_processor_count,
        "capability": torch.cuda.get_device_capability(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _products(check: Check) -> Iterator[Result]:
    side = 8192 if check.is_cuda else 512
    one = torch.randn(side, side, device=check.device)
    for label, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bfloat16", torch.bfloat16, False),
    ):
        part = one.to(dtype)
        with arithmetic(matmul=tf32):
            ms = check.queued(lambda part=part: part @ part, 5)["ms"]
        yield {"matrix": label, "tflops": 2 * side**3 / ms / 1e9}


def _copies(check: Check) -> Result:
    one = torch.empty(1 << (30 if check.is_cuda else 20), dtype=torch.uint8, device=check.device).random_()
    other = torch.empty_like(one)
    return {"copy_gb_s": 2 * one.numel() / check.queued(lambda: other.copy_(one))["ms"] / 1e6}


def _launches(check: Check) -> Result:
    small = torch.ones(8, device=check.device)
    return {
        "launch_us": check.queued(lambda: small.add_(1), 1000)["host_ms"] * 1e3,
        "sync_us": check.queued(lambda: small.sum().item(), 200)["ms"] * 1e3,
    }


def _transfers(check: Check) -> Result:
    host = torch.empty(64 << 20, dtype=torch.uint8)
    pinned = host.pin_memory()
    pageable_ms = check.queued(lambda: host.to(check.device), 5)["ms"]
    pinned_ms = check.queued(lambda: pinned.to(check.device, non_blocking=True), 5)["ms"]
    return {"to_device_gb_s": host.numel() / pageable_ms / 1e6, "pinned_gb_s": host.numel() / pinned_ms / 1e6}
