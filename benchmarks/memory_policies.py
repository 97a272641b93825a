"""Try a memory that chooses, on drawn clips with entries, exits and occlusions, and compare it with sam2's.

    python benchmarks/memory_policies.py [--clips 20] [--frames 16] [--checkpoint demo] ...

sam2 remembers the last frames, whatever it saw on them. SAMURAI (Yang et al., arXiv:2411.11922) remembers the last good
ones: those with a predicted IoU above 0.5 and an object score above 0 (``scores``). It also picks, of the decoder's
three masks, the one with the best sum of predicted IoU and IoU with the box that a Kalman filter expects, 3 : 1, once
the object was seen on three frames in a row, and remembers no frame whose mask lies outside that box (``samurai``; the
paper waits for 15 frames). Objects are tracked from their true masks on the first frame on which they cover 0.2 % of
the picture. J and F are DAVIS's, over all objects and the frames from there on; ``hidden`` counts only objects that are
out of sight on some later frame. The gain over sam2's memory is per object, with the 95 % interval of 10,000 resamples
of the clips.
"""

import argparse
import copy
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from automatic_tracking import ClipFrames, measured_objects
from eventful import eventful_clips
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from maskgrid.dataset.demo import Clip
from maskgrid.masks.contours import contour_accuracy, region_similarity
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.tracker import add_prompt, load_tracker
from maskgrid.tracked.records import FramePrompt

POLICIES = "sam2", "scores", "samurai"
LEAST_IOU, LEAST_SCORE, MOTION_WEIGHT, STABLE_FRAMES = 0.5, 0.0, 0.25, 3


@dataclass
class Motion:
    """Where an object's box is expected, by a Kalman filter with constant velocity over (x, y, width, height)."""

    filter: cv2.KalmanFilter | None = None
    n_stable: int = 0
    expected: NDArray[np.float64] | None = None

    def expect(self) -> None:
        """Move on by a frame."""
        self.expected = None if self.filter is None else self.filter.predict()[:4, 0].astype(np.float64)

    def overlap(self, box: NDArray[np.float64] | None) -> float:
        """IoU of a box with the expected one."""
        if box is None or self.expected is None:
            return 0.0
        first, second = (np.array([*(b[:2] - b[2:] / 2), *(b[:2] + b[2:] / 2)]) for b in (box, self.expected))
        common = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None).prod()
        return float(common / max(box[2:].prod() + np.abs(self.expected[2:]).prod() - common, 1e-9))

    def see(self, box: NDArray[np.float64] | None) -> None:
        """Correct by what was seen."""
        if box is None:
            self.n_stable = 0
            return
        self.n_stable += 1
        if self.filter is None:
            self.filter = cv2.KalmanFilter(8, 4)
            self.filter.transitionMatrix = (np.eye(8) + np.eye(8, k=4)).astype(np.float32)
            self.filter.measurementMatrix = np.eye(4, 8, dtype=np.float32)
            self.filter.processNoiseCov = np.diag([1.0] * 4 + [0.1] * 4).astype(np.float32)
            self.filter.measurementNoiseCov = np.eye(4, dtype=np.float32)
            self.filter.errorCovPost = np.eye(8, dtype=np.float32) * 10
            self.filter.statePost = np.concatenate([box, np.zeros(4)])[:, None].astype(np.float32)
            return
        self.filter.correct(box[:, None].astype(np.float32))


@dataclass
class Choosing:
    """What a policy knows while sam2 tracks an object on a frame."""

    policy: str
    motions: dict[int, Motion] = field(default_factory=dict)  # by the identity of the object's outputs
    current: Motion | None = None
    quality: tuple[float, float] = (0.0, 0.0)  # predicted IoU and IoU with the expected box of the chosen mask


class ChoosingPredictor(VideoPredictor):
    """sam2's video predictor with a memory that chooses."""

    choosing: Choosing

    def _run_single_frame_inference(self, **arguments: Any) -> Any:  # noqa: ANN401
        choosing, motion = self.choosing, None
        if choosing.policy == "samurai":
            motion = choosing.motions.setdefault(id(arguments["output_dict"]), Motion())
            motion.expect()
        choosing.current = motion
        output, masks = super()._run_single_frame_inference(**arguments)
        prompted = arguments["point_inputs"] is not None or arguments["mask_inputs"] is not None
        output["quality"] = (1.0, 1.0) if prompted else choosing.quality
        if motion is not None:
            motion.see(_box(output["pred_masks"][0, 0]))
        return output, masks

    def _prepare_memory_conditioned_features(self, *, output_dict: Any, **named: Any) -> Tensor:  # noqa: ANN401
        if self.choosing.policy != "sam2" and not named["is_init_cond_frame"]:
            output_dict = self._chosen(output_dict, named["frame_idx"])
        return super()._prepare_memory_conditioned_features(output_dict=output_dict, **named)

    def _chosen(self, outputs: Any, frame: int) -> Any:  # noqa: ANN401
        """The outputs as if the last frames were the last good ones; the frame before is always among them."""
        past = sorted((t for t in outputs["non_cond_frame_outputs"] if t < frame), reverse=True)
        good = [t for t in past if t == frame - 1 or self._is_good(outputs["non_cond_frame_outputs"][t])]
        near = {frame - 1 - place: outputs["non_cond_frame_outputs"][t] for place, t in enumerate(good)}
        return {"cond_frame_outputs": outputs["cond_frame_outputs"], "non_cond_frame_outputs": near}

    def _is_good(self, output: Any) -> bool:  # noqa: ANN401
        predicted, motion = output["quality"]
        seen = float(output["object_score_logits"]) > LEAST_SCORE and predicted > LEAST_IOU
        return seen and (self.choosing.policy == "scores" or motion > 0)


def choose_mask(choosing: Choosing, output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Weigh the decoder's predicted IoU by the motion, by which sam2 then picks a mask."""
    masks, ious, *rest = output
    motion = choosing.current
    overlaps = torch.zeros_like(ious)
    if motion is not None:
        overlaps = torch.tensor([[motion.overlap(_box(mask)) for mask in masks[0]]])
    weighed = ious
    if motion is not None and motion.n_stable >= STABLE_FRAMES:
        weighed = MOTION_WEIGHT * overlaps + (1 - MOTION_WEIGHT) * ious
    best = int(weighed[0].argmax())
    known = motion is None or motion.n_stable >= STABLE_FRAMES
    choosing.quality = float(ious[0, best]), float(overlaps[0, best]) if known and motion is not None else 1.0
    return masks, weighed, *rest


def _box(logits: Tensor) -> NDArray[np.float64] | None:
    """The middle, width and height of a mask (H, W); None if it is empty."""
    rows, columns = np.nonzero(logits.numpy() > 0)
    if not len(rows):
        return None
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max() + 1, rows.max() + 1])
    return np.concatenate([(low + high) / 2, high - low]).astype(np.float64)


def follow(tracker: VideoPredictor, policy: str, clip: Clip, truth: NDArray[np.bool_], starts: list[int]) -> Any:  # noqa: ANN401
    """Track each object of a clip; return J and F of each object, (N, 2)."""
    predictor = copy.copy(tracker.with_options(TrackOptions()))
    predictor.__class__ = ChoosingPredictor
    assert isinstance(predictor, ChoosingPredictor)
    predictor.choosing = Choosing(policy)
    hook = predictor.sam_mask_decoder.register_forward_hook(lambda _, __, out: choose_mask(predictor.choosing, out))
    found = []
    for number, start in enumerate(starts):
        state = predictor.init_lazily(ClipFrames(clip.frames), TrackOptions())
        add_prompt(predictor, state, FramePrompt(start, 1, mask=truth[start, number]))
        pairs = [
            (logits[0, 0].numpy() > 0, truth[frame, number])
            for frame, _, logits in predictor.propagate_quietly(state, range(start, len(truth)))
        ]
        found.append([np.mean([measure(*pair) for pair in pairs]) for measure in (region_similarity, contour_accuracy)])
    hook.remove()
    return np.array(found).reshape(-1, 2)


def main() -> int:
    """Track the clips under each policy and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--checkpoint", default="demo")
    arguments = parser.parse_args()
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
    figures: dict[str, list[Any]] = {policy: [] for policy in POLICIES}
    hidden: list[bool] = []
    clips: list[int] = []
    drawn = eventful_clips(arguments.clips, arguments.frames)
    for place, clip in enumerate(tqdm(drawn, total=arguments.clips, unit="clip")):
        truth, starts = measured_objects(clip, eventful=True)
        clips += [place] * len(starts)
        hidden += [not truth[start:, number].any((1, 2)).all() for number, start in enumerate(starts)]
        for policy in POLICIES:
            figures[policy] += list(follow(tracker, policy, clip, truth, starts))
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
            f"{policy:8}  {len(values)} objects: J&F {values.mean():.3f}  J {values[:, 0].mean():.3f}  "
            f"F {values[:, 1].mean():.3f}  gain {gain_of(values, plain, clips)}   "
            f"{len(part)} hidden: J&F {part.mean() if len(part) else 0:.3f}"
            + (f"  gain {gain_of(part, plain[hidden], clips[hidden])}" if len(part) else ""),
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
