"""How many jobs may run the network at once on this machine."""

import os
import shutil
import subprocess
import sys

# Of memory for one job that runs the network on a CPU: sam2's large model in float32 with a batch of prompts.
_BYTES_PER_JOB = 4 << 30


def n_network_jobs(n_cores: int) -> int:
    """One for each GPU; without one, as many as cores and memory allow. Torch is not asked: importing it takes long."""
    n_gpus = _n_gpus()
    return n_gpus or max(1, min(n_cores, _memory_bytes() // _BYTES_PER_JOB))


def _n_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    if sys.platform == "darwin":
        return 1
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return 0  # a driver without a device
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return _BYTES_PER_JOB
