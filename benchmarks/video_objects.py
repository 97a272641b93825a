"""Compare how long sam2 and maskgrid take to track 1, 4, 16 and 64 objects, and how much memory.

    python benchmarks/video_objects.py [--objects 1 4 16 64] [--objects-per-batch 1 16] [--frames 6] ...

sam2 tracks one object at a time, as does maskgrid with one object per batch. Prints median seconds per frame after
the prompted one, on the wall and of the CPU, peak memory (what torch allocates on a CUDA device, otherwise the
process's resident memory), how many times as fast as sam2, and how masks differ from sam2's. Each run has its own
process. Architectures other than the demo's have random weights, which draw noise: their masks tell little.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from resident import peak_mib

SIZE_HW = 480, 640
OF_SAM2 = 0  # in place of objects per batch


def main() -> int:
    """Print one line per run."""
    arguments = parse()
    if arguments.run:
        print(json.dumps(run(arguments)))
        return 0
    print("architecture  objects  side           s/frame  CPU s  peak MB  times  masks that differ, lowest IoU")
    for architecture in arguments.architectures:
        for n in arguments.objects:
            with tempfile.TemporaryDirectory() as folder:
                theirs: dict[str, float] = {}
                for size in (OF_SAM2, *arguments.objects_per_batch):
                    found = in_process(arguments, architecture, n, size, folder)
                    theirs = theirs or found
                    print(f"{architecture:12}  {n:7}  {line(size, found, theirs, Path(folder))}", flush=True)
    return 0


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", nargs="+", type=int, default=[1, 4, 16, 64])
    parser.add_argument("--objects-per-batch", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--architectures", nargs="+", default=["demo"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--run", nargs=4, metavar=("ARCHITECTURE", "N", "SIZE", "FOLDER"), help=argparse.SUPPRESS)
    return parser.parse_args()


def line(size: int, found: dict[str, float], theirs: dict[str, float], folder: Path) -> str:
    """What a run took, and how its masks differ from sam2's."""
    times = theirs["s_per_frame"] / found["s_per_frame"]
    side = "sam2" if size == OF_SAM2 else f"maskgrid, {size}"
    seconds = f"{found['s_per_frame']:8.3f} {found['cpu_s_per_frame']:6.3f}"
    cost = f"{side:13} {seconds} {found['peak_mb']:8.0f} {times:6.2f}"
    if size == OF_SAM2:
        return cost
    ours, masks = (np.unpackbits(np.load(masks_in(folder, one)), axis=1) for one in (size, OF_SAM2))
    joint, common = (ours | masks).sum(1), (ours & masks).sum(1)
    lowest = np.where(joint > 0, common / np.maximum(joint, 1), 1.0).min()
    return cost + f"  {(ours != masks).any(1).sum()} of {len(masks)}, {lowest:.4f}"


def masks_in(folder: Path, size: int) -> Path:
    """Where a run's masks lie, as bits."""
    return folder / f"{size}.npy"


def in_process(arguments: argparse.Namespace, architecture: str, n: int, size: int, folder: str) -> dict[str, float]:
    """Run one side in its own process."""
    command = [sys.executable, __file__, "--run", architecture, str(n), str(size), folder]
    command += ["--frames", str(arguments.frames), "--dtype", arguments.dtype, "--device", arguments.device]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Track discs from their masks on the first frame, and measure it."""
    import torch
    from gpu.check import Check
    from gpu.frames import JpegFrames
    from gpu.video import checkpoint_of, discs, predictor_of, steps, steps_of_sam2, tracker_of

    from maskgrid.dataset.demo import draw_clip
    from maskgrid.network.device import pick_device

    architecture, n, size, folder = arguments.run
    check = Check(pick_device(arguments.device), Path(folder))
    objects, most = discs(int(n), SIZE_HW), arguments.frames
    with tempfile.TemporaryDirectory() as place:
        frames = JpegFrames(Path(place) / "frames", draw_clip(0, most, SIZE_HW).frames)
        checkpoint = checkpoint_of(check, architecture, Path(place))
        if int(size) == OF_SAM2:
            given = steps_of_sam2(predictor_of(check, checkpoint), frames, arguments.dtype, objects, most)
        else:
            given = steps(tracker_of(check, checkpoint, arguments.dtype), frames, objects, most, int(size))
        seconds, bits, started = [], [], clocks()
        for masks in given:
            seconds.append(clocks() - started)
            bits += [np.packbits(mask) for mask in arrays(masks)]
            started = clocks()
    cuda = check.is_cuda
    peak_mb = torch.cuda.max_memory_allocated(check.device) / 2**20 if cuda else peak_mib()
    np.save(masks_in(Path(folder), int(size)), np.stack(bits))
    wall_s, cpu_s = np.median(seconds[1:], axis=0).tolist()
    return {"s_per_frame": wall_s, "cpu_s_per_frame": cpu_s, "peak_mb": peak_mb}


def clocks() -> np.ndarray:
    """Seconds on the wall, and of the CPU for this process, which other processes disturb less."""
    return np.array([time.perf_counter(), time.process_time()])


def arrays(masks: Any) -> list[np.ndarray]:  # noqa: ANN401
    """A frame's masks as arrays (H, W), of either side."""
    return list(masks.values()) if isinstance(masks, dict) else [mask.segmentation for mask in masks]


if __name__ == "__main__":
    sys.exit(main())
