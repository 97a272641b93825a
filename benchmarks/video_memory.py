"""Measure the peak memory of maskgrid and of sam2 while they track a short and a long video.

    python benchmarks/video_memory.py [--frames 200 2000] [--checkpoint demo] [--sides maskgrid sam2] [--track N]

Each run has its own process. Both sides read a generated clip, played back and forth, from JPEG files. Prints peak
memory (what torch allocates on a CUDA device, otherwise the process's resident memory), frames per second and a digest
of all masks, which must be the same on both sides; if not, the exit code is 1. On slow machines, --track limits
tracking to the first frames of each video; sam2 still reads the whole video, so its peak is then a lower bound.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
from resident import peak_mib

CLIP_FRAMES = 100
SIZE_HW = 256, 256


def main() -> int:
    """Print one line per run."""
    arguments = parse()
    if arguments.side:
        print(json.dumps(run(arguments)))
        return 0
    digests: dict[int, set[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        mask = write_frames(Path(folder), max(arguments.frames))
        np.save(Path(folder) / "mask.npy", mask)
        print("side      frames  peak MB  frames/s  masks")
        for side in arguments.sides:
            for n_frames in arguments.frames:
                found = in_process(arguments, side, n_frames, Path(folder))
                digests.setdefault(n_frames, set()).add(found["digest"])
                print(
                    f"{side:9} {n_frames:6} {found['peak_mb']:8.0f} {found['rate_hz']:9.2f}  {found['digest'][:12]}",
                    flush=True,
                )
    return int(any(len(found) > 1 for found in digests.values()))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", nargs="+", type=int, default=[200, 2000])
    parser.add_argument("--sides", nargs="+", default=["maskgrid", "sam2"], choices=["maskgrid", "sam2"])
    parser.add_argument("--checkpoint", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--track", type=int, help="track at most this many frames")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_frames(folder: Path, n_frames: int) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Write the longest video's frames to ``folder/all``; return the mask of the first object on frame 0."""
    from maskgrid.dataset.demo import draw_clip

    clip = draw_clip(0, CLIP_FRAMES, SIZE_HW)
    (folder / "all").mkdir()
    for number in range(n_frames):
        place = number % (2 * CLIP_FRAMES - 2)
        pixels = clip.frames[min(place, 2 * CLIP_FRAMES - 2 - place)]
        PIL.Image.fromarray(pixels).save(folder / "all" / f"{number:05d}.jpg", quality=92)
    return clip.masks[0, 0]


def in_process(arguments: argparse.Namespace, side: str, n_frames: int, folder: Path) -> dict[str, float | str]:
    """Run one side in its own process, on a folder of links to the first frames, as sam2 takes no range."""
    part = folder / f"{n_frames}"
    if not part.exists():
        part.mkdir()
        for path in sorted((folder / "all").iterdir())[:n_frames]:
            (part / path.name).hardlink_to(path)
    command = [sys.executable, __file__, "--side", side, "--folder", str(part)]
    command += ["--checkpoint", arguments.checkpoint, "--device", arguments.device]
    command += ["--track", str(arguments.track)] if arguments.track else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(arguments: argparse.Namespace) -> dict[str, float | str]:
    """Track one object from its mask on the first frame, and measure it."""
    import torch

    from maskgrid.network.device import pick_device

    mask = np.load(arguments.folder.parent / "mask.npy")
    digest, n_frames, started = hashlib.sha256(), 0, time.perf_counter()
    for counts in {"maskgrid": run_maskgrid, "sam2": run_sam2}[arguments.side](arguments, mask):
        digest.update(counts)
        n_frames += 1
    rate_hz = n_frames / (time.perf_counter() - started)
    device = pick_device(arguments.device)
    peak_mb = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_mib()
    return {"peak_mb": peak_mb, "rate_hz": rate_hz, "digest": digest.hexdigest()}


def run_maskgrid(arguments: argparse.Namespace, mask: "np.ndarray") -> Iterator[bytes]:
    """Track with maskgrid; yield the mask's RLE code frame by frame."""
    from maskgrid.tracked.options import TrackOptions
    from maskgrid.tracked.propagation.tracker import load_tracker, track
    from maskgrid.tracked.records import FramePrompt
    from maskgrid.tracked.videos.frames import FrameFolder

    tracker = load_tracker(arguments.checkpoint, device=arguments.device)
    options = TrackOptions(max_frame_num_to_track=arguments.track and arguments.track - 1)
    for _, masks in track(tracker, FrameFolder(arguments.folder), [FramePrompt(0, 1, mask=mask)], options):
        yield masks[0].counts


def run_sam2(arguments: argparse.Namespace, mask: "np.ndarray") -> Iterator[bytes]:
    """Track with sam2 alone; yield the mask's RLE code frame by frame."""
    from sam2.build_sam import build_sam2_video_predictor

    from maskgrid.masks import rle
    from maskgrid.network.checkpoints import resolve_checkpoint
    from maskgrid.network.device import pick_device
    from maskgrid.network.model import built_by

    predictor = built_by(build_sam2_video_predictor, resolve_checkpoint(arguments.checkpoint, None))
    predictor = predictor.to(pick_device(arguments.device))
    predictor.fill_hole_area = 0  # without its CUDA extension, sam2 would warn on every frame
    state = predictor.init_state(str(arguments.folder))
    predictor.add_new_mask(state, 0, 1, mask)
    for _, _, logits in predictor.propagate_in_video(
        state, max_frame_num_to_track=arguments.track and arguments.track - 1
    ):
        yield rle.encode_planes(logits[:, 0] > 0)[0]


if __name__ == "__main__":
    sys.exit(main())
