"""Compare memories on drawn clips with entries, exits and occlusions: sam2's, and SAMURAI's (``tracking.memory``).

    python benchmarks/memory_policies.py [--clips 20] [--frames 16] [--stable-frames 3] [--checkpoint demo] ...

``scores`` remembers the last good frames, by predicted IoU and object score alone; with ``samurai``, motion counts as
well, once an object was seen on ``--stable-frames`` frames in a row. Objects are tracked from their true masks on the
first frame on which they cover 0.2 % of the picture. J and F are DAVIS's, over all objects and the frames from there
on; ``hidden`` counts only objects that are out of sight on some later frame. The gain over sam2's memory is per object,
with the 95 % interval of 10,000 resamples of the clips.
"""

import argparse
import sys
import warnings
from typing import Any

import numpy as np
from automatic_tracking import ClipFrames, measured_objects
from eventful import eventful_clips
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from maskgrid.dataset.demo import Clip
from maskgrid.masks.contours import contour_accuracy, region_similarity
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.tracker import load_tracker, track
from maskgrid.tracked.records import FramePrompt

NEVER = 1_000_000


def follow(
    tracker: VideoPredictor, options: TrackOptions, clip: Clip, truth: NDArray[np.bool_], starts: list[int]
) -> NDArray[np.float64]:
    """Track each object of a clip; return J and F of each object, (N, 2)."""
    found = []
    for number, start in enumerate(starts):
        prompts = [FramePrompt(start, 1, mask=truth[start, number])]
        tracked = track(tracker, ClipFrames(clip.frames), prompts, options)
        pairs = [(masks[0].segmentation, truth[frame, number]) for frame, masks in tracked]
        found.append([np.mean([measure(*pair) for pair in pairs]) for measure in (region_similarity, contour_accuracy)])
    return np.array(found).reshape(-1, 2)


def main() -> int:
    """Track the clips under each policy and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--stable-frames", type=int, nargs="+", default=[3])
    parser.add_argument("--motion-weight", type=float, nargs="+", default=[0.25])
    parser.add_argument("--checkpoint", default="demo")
    arguments = parser.parse_args()
    policies = {"sam2": TrackOptions(), "scores": TrackOptions(memory="samurai", memory_stable_frames=NEVER)}
    for frames in arguments.stable_frames:
        for weight in arguments.motion_weight:
            chosen = TrackOptions(memory="samurai", memory_motion_weight=weight, memory_stable_frames=frames)
            policies[f"samurai {frames} {weight:g}"] = chosen
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    tracker = load_tracker(arguments.checkpoint, device="cpu")
    embeddings: dict[bytes, Any] = {}
    encode = tracker.forward_image

    def once(image: Tensor) -> Any:  # noqa: ANN401
        key = image.numpy().tobytes()
        if key not in embeddings:
            embeddings[key] = encode(image)
        return {name: list(value) if isinstance(value, list) else value for name, value in embeddings[key].items()}

    tracker.forward_image = once
    figures: dict[str, list[Any]] = {policy: [] for policy in policies}
    hidden: list[bool] = []
    clips: list[int] = []
    drawn = eventful_clips(arguments.clips, arguments.frames)
    for place, clip in enumerate(tqdm(drawn, total=arguments.clips, unit="clip")):
        truth, starts = measured_objects(clip, eventful=True)
        clips += [place] * len(starts)
        hidden += [not truth[start:, number].any((1, 2)).all() for number, start in enumerate(starts)]
        for policy, options in policies.items():
            figures[policy] += list(follow(tracker, options, clip, truth, starts))
        embeddings.clear()
        if sys.stderr.isatty() is False:
            tell(figures, np.array(hidden), np.array(clips))
    tell(figures, np.array(hidden), np.array(clips))
    return 0


def gain_of(values: NDArray[np.float64], plain: NDArray[np.float64], clips: NDArray[np.int64]) -> str:
    """The mean gain in J&F per object, and its 95 % interval over resampled clips."""
    gains = (values - plain).mean(1)
    names = np.unique(clips)
    sums = np.array([gains[clips == name].sum() for name in names])
    counts = np.array([(clips == name).sum() for name in names])
    picked = np.random.default_rng(0).integers(0, len(names), (10_000, len(names)))
    low, high = np.quantile(sums[picked].sum(1) / counts[picked].sum(1), [0.025, 0.975])
    return f"{gains.mean():+.3f} ({low:+.3f} to {high:+.3f})"


def tell(figures: dict[str, list[Any]], hidden: NDArray[np.bool_], clips: NDArray[np.int64]) -> None:
    """Print a line for each policy."""
    plain = np.array(figures["sam2"])
    for policy, rows in figures.items():
        values = np.array(rows)
        part = values[hidden]
        print(
            f"{policy:16}  {len(values)} objects: J&F {values.mean():.3f}  J {values[:, 0].mean():.3f}  "
            f"F {values[:, 1].mean():.3f}  gain {gain_of(values, plain, clips)}   "
            f"{len(part)} hidden: J&F {part.mean() if len(part) else 0:.3f}"
            + (f"  gain {gain_of(part, plain[hidden], clips[hidden])}" if len(part) else ""),
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
