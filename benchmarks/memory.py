"""Peak memory above the weights for a 12-megapixel image at 64 points a batch: both modes, and sam2's generator.

    python benchmarks/memory.py [PHOTO] [--architecture tiny] [--megapixels 12] [--device cpu]

One batch of 64 points (8 a side) takes as much memory as many batches. sam2 needs 9.2 GB for its logits alone and more
for what it computes from them; it runs only if 24 GB of the device's memory are free, otherwise the size of its logits
is printed.
"""

import sys
from pathlib import Path

import torch
from sides import DEFAULT, machine, parser, run_side

from maskgrid.network.device import pick_device

_SAM2_NEEDS_GB = 24.0


def main() -> int:
    """Measure and print the peaks."""
    made = parser(__doc__, "tiny")
    made.set_defaults(points_per_side=8, photos=1)
    made.add_argument("--megapixels", type=float, default=12.0)
    arguments = made.parse_args()
    print(machine(arguments), flush=True)
    device = pick_device(arguments.device)
    for side in ("exact", "fast", "sam2"):
        if side == "sam2" and available_gb(device) < _SAM2_NEEDS_GB:
            logits_gb = 64 * 3 * arguments.megapixels * 1e6 * 4 / 1e9
            print(f"sam2    not run: {available_gb(device):.0f} GB free; its logits alone are {logits_gb:.1f} GB")
            continue
        cost = run_side(side, arguments, [DEFAULT], megapixels=arguments.megapixels)
        print(f"{side:<6}  peak {cost.peak_mib:.0f} MiB above the weights", flush=True)
    return 0


def available_gb(device: torch.device) -> float:
    """Memory available to a new process on a device, in GB."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 1e9
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024 / 1e9
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
