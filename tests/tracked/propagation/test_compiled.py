"""``vos_optimized``: the network that torch compiles tracks as the other one does.

Here torch traces its parts, each as a whole, and does not generate code. With ``MASKGRID_COMPILE`` it generates the
CPU's, as sam2 asks for it: minutes (``make test-compiled``). CUDA's code and graphs need a GPU (docs/gpu.md).
"""

import os

import numpy as np
import pytest
import torch
from sam2.build_sam import build_sam2_video_predictor
from torch._dynamo.utils import counters

from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.dataset.demo import draw_clip
from maskgrid.masks.rle import decode
from maskgrid.network.checkpoints import resolve_checkpoint
from maskgrid.network.model import built_by
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.discovery import track_automatically
from maskgrid.tracked.propagation.predictor import CompiledVideoPredictor
from maskgrid.tracked.propagation.tracker import load_tracker, track
from maskgrid.tracked.records import FramePrompt

# sam2 turns positions as complex numbers, which torch then leaves as they are.
pytestmark = pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex operators")
GENERATES_CODE = "MASKGRID_COMPILE" in os.environ
SIZE_HW = (96, 128)
CLIP = draw_clip(0, 12, SIZE_HW)


class Frames:
    """The clip, in the form of a video."""

    size_hw = SIZE_HW

    def __len__(self):
        return len(CLIP.frames)

    def read(self, frame):
        return CLIP.frames[frame]


@pytest.fixture(scope="module")
def trackers():
    """The usual network, and the compiled one, which sam2 builds for CUDA only."""
    compiled_by_torch = torch.compile

    def traced(forward, *, mode, **named):
        return compiled_by_torch(forward, **named, **({"mode": mode} if GENERATES_CODE else {"backend": "eager"}))

    target = f"++model._target_={CompiledVideoPredictor.__module__}.{CompiledVideoPredictor.__qualname__}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", traced)
        compiled = built_by(
            build_sam2_video_predictor,
            resolve_checkpoint("demo", None),
            vos_optimized=True,
            hydra_overrides_extra=[target],
        )
    yield load_tracker("demo", device="cpu"), compiled
    torch._dynamo.reset()


def prompted(tracker, options):
    box = np.array([5.0, 5.0, 60.0, 60.0], np.float32)
    prompts = [FramePrompt(0, 1, mask=CLIP.masks[0, 0]), FramePrompt(1, 2, box_xyxy=box)]
    return dict(track(tracker, Frames(), prompts, options))


def found(tracker, options):
    generator = MaskGenerator(tracker, points_per_side=3, pred_iou_thresh=0.3, stability_score_thresh=0.3)
    often = AutomaticConfig(max_objects=3, generate_every=4, min_generate_gap=1, follow_back=3, rejoin_within=4)
    return dict(track_automatically(tracker, generator, Frames(), often, options))


@pytest.mark.parametrize("follow", [prompted, found])
@pytest.mark.parametrize("memory", ["sam2", "samurai"])
def test_the_compiled_network_tracks_alike(follow, memory, trackers):
    usual, compiled = trackers
    options = TrackOptions(memory=memory)
    expected, tracked = follow(usual, options), follow(compiled, options)
    assert list(tracked) == list(expected)
    assert sum(mask.area_px for masks in expected.values() for mask in masks) > 5000
    for frame, masks in expected.items():
        assert [mask.object_id for mask in tracked[frame]] == [mask.object_id for mask in masks]
        for ours, theirs in zip(tracked[frame], masks, strict=True):
            if not GENERATES_CODE:
                assert ours.counts == theirs.counts
            one, other = (decode(mask.counts, SIZE_HW) for mask in (ours, theirs))
            assert (one != other).sum() <= 0.01 * other.sum()


def test_nothing_is_compiled_anew_for_the_same_video_again(trackers):
    prompted(trackers[1], TrackOptions())
    before = counters["stats"]["unique_graphs"]
    assert before > 0
    prompted(trackers[1], TrackOptions())
    assert counters["stats"]["unique_graphs"] == before
