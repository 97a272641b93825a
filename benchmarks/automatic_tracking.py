"""Measure automatic tracking on generated clips: how many objects it finds, and how well their masklets fit the truth.

    python benchmarks/automatic_tracking.py [--clips 8] [--frames 20] [--generate-every 10] [--checkpoint demo] ...
    python benchmarks/automatic_tracking.py --eventful --clips 20 --points-per-side 8 --generate-every 8 \\
        --also follow_back=8 --also follow_back=16,rejoin_within=12 ...

The clips are held out from the demo model's training (seeds below 1,000,000): 256 x 256 pixels, or with --eventful
192 x 192 pixels with entries, exits and occlusions. Each --also adds a setting, with other values of the config's
section tracking.automatic; all settings see the same automatic masks and image embeddings, made once. Only objects that
cover more than 0.2 % of the first frame, or with --eventful of three frames, are measured. Masklets and objects are
matched one to one so that the sum of their IoU over the whole clip is largest. An object counts as found if its IoU is
0.5 or more. J is DAVIS's region similarity and F its contour accuracy, each the mean over objects and frames; an object
without a masklet has empty masks. For comparison, the same objects are also tracked from their true masks on frame 0,
or with --eventful on the first frame on which they cover as much.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from eventful import eventful_clips
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.dataset.demo import Clip
from maskgrid.masks import rle
from maskgrid.masks.contours import contour_accuracy, region_similarity
from maskgrid.tracked.propagation.discovery import track_automatically
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.tracker import load_tracker, track
from maskgrid.tracked.records import FramePrompt, TrackedMask

sys.path.insert(0, str(Path(__file__).parents[1]))  # training is not installed, and sam2 installs another
from training.measures import LEAST_AREA_FRAC, held_out_clips

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


class Once:
    """Automatic masks and image embeddings, each made once a frame."""

    def __init__(self, tracker: VideoPredictor, generator: MaskGenerator) -> None:
        self._generator, self._encode = generator, tracker.forward_image
        self._candidates: dict[bytes, Any] = {}
        self._embeddings: dict[bytes, Any] = {}
        tracker.forward_image = self.forward_image

    def candidates(self, pixels: NDArray[np.uint8]) -> Any:  # noqa: ANN401
        """As the generator's."""
        key = pixels.tobytes()
        if key not in self._candidates:
            self._candidates[key] = self._generator.candidates(pixels)
        return self._candidates[key]

    def replay(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """As the generator's."""
        return self._generator.replay(*arguments, **named)

    def forward_image(self, image: torch.Tensor) -> Any:  # noqa: ANN401
        """As the network's."""
        key = image.cpu().numpy().tobytes()
        if key not in self._embeddings:
            self._embeddings[key] = self._encode(image)
        return {
            name: list(value) if isinstance(value, list) else value for name, value in self._embeddings[key].items()
        }

    def forget(self) -> None:
        """Forget the clip."""
        self._candidates.clear()
        self._embeddings.clear()


@dataclass
class Figures:
    """What a setting reaches: each object's IoU, J and F, the number of masklets, seconds."""

    measured: list[tuple[float, float, float]] = field(default_factory=list)
    n_masklets: int = 0
    seconds: float = 0.0


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
    once = Once(tracker, generator)
    settings = {text: setting(arguments, text) for text in ("", *arguments.also)}
    figures, prompted = {text: Figures() for text in settings}, Figures()
    print(settings[""])
    clips = cut_clips(arguments.clips, arguments.frames, eventful=arguments.eventful)
    for clip in tqdm(clips, total=arguments.clips, unit="clip"):
        frames, (truth, starts) = ClipFrames(clip.frames), measured_objects(clip, eventful=arguments.eventful)
        for text, automatic in settings.items():
            add(figures[text], truth, track_automatically(tracker, once, frames, automatic))
        if arguments.prompted and len(starts):
            prompts = [FramePrompt(start, number, mask=truth[start, number]) for number, start in enumerate(starts)]
            add(prompted, truth, track(tracker, frames, prompts))
        once.forget()
    print(f"{arguments.clips} clips of {arguments.frames} frames, {len(figures[''].measured)} objects")
    for text, one in figures.items():
        tell(text or "automatic", one)
    if arguments.prompted:
        tell("true masks", prompted)
    return 0


def setting(arguments: argparse.Namespace, text: str) -> AutomaticConfig:
    """The command line's values, changed by a text such as ``follow_back=8,rejoin_within=12``."""
    names = set(AutomaticConfig.model_fields) & set(vars(arguments))
    pairs = [pair.partition("=")[::2] for pair in text.split(",") if pair]
    given = {name: getattr(arguments, name) for name in names}
    return AutomaticConfig.model_validate({**given, **{name: json.loads(value) for name, value in pairs}})


def measured_objects(clip: Clip, *, eventful: bool) -> tuple[Masks, list[int]]:
    """The masks of the objects that are measured, (T, N, H, W), and the first frame on which each is large enough."""
    large = clip.masks.mean((2, 3)) > LEAST_AREA_FRAC
    chosen = large.sum(0) >= 3 if eventful else large[0]
    return clip.masks[:, chosen], [int(start) for start in large[:, chosen].argmax(0)]


def add(figures: Figures, truth: Masks, tracking: Iterator[tuple[int, list[TrackedMask]]]) -> None:
    """Track a clip and add the figures."""
    started = time.perf_counter()
    masklets = stacked(tracking, truth.shape)
    figures.seconds += time.perf_counter() - started
    figures.n_masklets += masklets.shape[1]
    figures.measured += measures(truth, matched(truth, masklets))


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = AutomaticConfig()
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--eventful", action="store_true", help="clips with entries, exits and occlusions")
    parser.add_argument("--also", action="append", default=[], help="another setting: key=value,key=value")
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


def cut_clips(count: int, n_frames: int, *, eventful: bool) -> Iterator[Clip]:
    """Cut held-out clips to a number of frames."""
    if eventful:
        yield from eventful_clips(count, n_frames)
        return
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


def tell(name: str, figures: Figures) -> None:
    """Print a line of figures."""
    iou, region, contour = np.array(figures.measured).T
    both = (region.mean() + contour.mean()) / 2
    found = (iou >= 0.5).mean()
    values = f"found {found:.3f}  J&F {both:.3f}  J {region.mean():.3f}  F {contour.mean():.3f}"
    print(f"{name:40}  {values}  {figures.n_masklets} masklets  {figures.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
