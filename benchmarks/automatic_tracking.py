"""Measure automatic tracking on generated clips: how many objects it finds, and how well their masklets fit the truth.

    python benchmarks/automatic_tracking.py [--clips 8] [--frames 20] [--generate-every 10] [--checkpoint demo] ...

The clips are held out from the demo model's training (256 x 256 pixels, seeds below 1,000,000). Only objects that cover
more than 0.2 % of the first frame are measured. Masklets and objects are matched one to one so that the sum of their
IoU over the whole clip is largest. An object counts as found if its IoU is 0.5 or more. J is DAVIS's region similarity
and F its contour accuracy, each the mean over objects and frames; an object without a masklet has empty masks. For
comparison, the same objects are also tracked from their true masks on frame 0.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.dataset.demo import Clip
from maskgrid.masks import rle
from maskgrid.tracked.discovery import track_automatically
from maskgrid.tracked.records import FramePrompt, TrackedMask
from maskgrid.tracked.tracker import load_tracker, track

sys.path.insert(0, str(Path(__file__).parents[1]))  # training is not installed, and sam2 installs another
from training.measures import LEAST_AREA_FRAC, contour_accuracy, held_out_clips, region_similarity

Masks = NDArray[np.bool_]


class ClipFrames:
    """The frames of a clip, in the form that tracking reads."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self._frames = frames

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width."""
        return self._frames.shape[1], self._frames.shape[2]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._frames)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """Return one frame, (H, W, 3) uint8."""
        return self._frames[frame]


def main() -> int:
    """Track the clips and print the figures."""
    arguments = parse()
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    tracker = load_tracker(arguments.checkpoint, device=arguments.device)
    generator = MaskGenerator(
        tracker,
        points_per_side=arguments.points_per_side,
        pred_iou_thresh=arguments.pred_iou_thresh,
        stability_score_thresh=arguments.stability_score_thresh,
    )
    automatic = AutomaticConfig(
        generate_every=arguments.generate_every,
        min_coverage_frac=arguments.min_coverage_frac,
        join_iou_thresh=arguments.join_iou_thresh,
        join_containment_thresh=arguments.join_containment_thresh,
        end_after=arguments.end_after,
    )
    print(automatic)
    found, prompted, n_masklets, n_frames, seconds = [], [], 0, 0, 0.0
    for clip in tqdm(cut_clips(arguments.clips, arguments.frames), total=arguments.clips, unit="clip"):
        frames = ClipFrames(clip.frames)
        truth = clip.masks[:, clip.masks[0].mean((1, 2)) > LEAST_AREA_FRAC]
        started = time.perf_counter()
        masklets = stacked(track_automatically(tracker, generator, frames, automatic), truth.shape)
        seconds += time.perf_counter() - started
        n_masklets, n_frames = n_masklets + masklets.shape[1], n_frames + len(frames)
        found += measures(truth, matched(truth, masklets))
        if arguments.prompted:
            prompts = [FramePrompt(0, number, mask=mask) for number, mask in enumerate(truth[0])]
            prompted += measures(truth, stacked(track(tracker, frames, prompts), truth.shape))
    print(f"{arguments.clips} clips of {arguments.frames} frames, {len(found)} objects, {n_masklets} masklets")
    tell("automatic", found)
    if prompted:
        tell("true masks", prompted)
    print(f"{n_frames / seconds:.2f} frames a second")
    return 0


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = AutomaticConfig()
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--checkpoint", default="demo")
    parser.add_argument("--device", default="auto")
    # As in config/demo.yaml: the demo model is less sure of its masks than Meta's models.
    parser.add_argument("--points-per-side", type=int, default=16)
    parser.add_argument("--pred-iou-thresh", type=float, default=0.7)
    parser.add_argument("--stability-score-thresh", type=float, default=0.8)
    parser.add_argument("--generate-every", type=int, default=defaults.generate_every)
    parser.add_argument("--min-coverage-frac", type=float, default=defaults.min_coverage_frac)
    parser.add_argument("--join-iou-thresh", type=float, default=defaults.join_iou_thresh)
    parser.add_argument("--join-containment-thresh", type=float, default=defaults.join_containment_thresh)
    parser.add_argument("--end-after", type=int, default=defaults.end_after)
    parser.add_argument("--prompted", action=argparse.BooleanOptionalAction, default=True, help="track true masks too")
    return parser.parse_args()


def cut_clips(count: int, n_frames: int) -> Iterator[Clip]:
    """Cut held-out clips to a number of frames."""
    for clip in held_out_clips(count):
        yield Clip(clip.frames[:n_frames], clip.masks[:n_frames])


def stacked(tracking: Iterator[tuple[int, list[TrackedMask]]], shape: Sequence[int]) -> Masks:
    """Stack the masks of all frames and objects, (T, N, H, W); empty where an object is not tracked."""
    tracked = [mask for _, masks in tracking for mask in masks]
    ids = list(dict.fromkeys(mask.object_id for mask in tracked))
    planes = np.zeros((shape[0], len(ids), *shape[2:]), np.bool_)
    for mask in tracked:
        planes[mask.frame, ids.index(mask.object_id)] = rle.decode(mask.counts, (shape[2], shape[3]))
    return planes


def matched(truth: Masks, masklets: Masks) -> Masks:
    """Match each true object with a masklet; return them in the truth's shape, empty where there is no match."""
    chosen = np.zeros_like(truth)
    rows, columns = linear_sum_assignment(clip_iou(truth, masklets), maximize=True)
    chosen[:, rows] = masklets[:, columns]
    return chosen


def clip_iou(first: Masks, second: Masks) -> NDArray[np.float64]:
    """IoU over whole clips: (N, M)."""
    a, b = (masks.swapaxes(0, 1).reshape(masks.shape[1], -1).astype(np.float32) for masks in (first, second))
    common = (a @ b.T).astype(np.float64)
    return common / np.maximum(a.sum(1)[:, None] + b.sum(1)[None] - common, 1)


def measures(truth: Masks, masks: Masks) -> list[tuple[float, float, float]]:
    """Measure each object's IoU over the clip, J and F."""
    found = []
    for number in range(truth.shape[1]):
        pairs = list(zip(masks[:, number], truth[:, number], strict=True))
        iou = clip_iou(truth[:, [number]], masks[:, [number]])[0, 0]
        region = np.mean([region_similarity(*pair) for pair in pairs])
        contour = np.mean([contour_accuracy(*pair) for pair in pairs])
        found.append((float(iou), float(region), float(contour)))
    return found


def tell(name: str, measured: Sequence[tuple[float, float, float]]) -> None:
    """Print a line of figures."""
    iou, region, contour = np.array(measured).T
    both = (region.mean() + contour.mean()) / 2
    found = (iou >= 0.5).mean()
    print(f"{name:10}  found {found:.3f}  J&F {both:.3f}  J {region.mean():.3f}  F {contour.mean():.3f}")


if __name__ == "__main__":
    sys.exit(main())
