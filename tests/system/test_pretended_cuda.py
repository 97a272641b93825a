"""On a CUDA device, CPU and device tensors never mix, and results equal the CPU's except for a few pixels."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from corpus import scene
from maskgrid import load_model
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.dataset.annotations.objects import Prompt
from maskgrid.dataset.demo import draw_clip
from maskgrid.masks.rle import area_px, encode
from maskgrid.network.model import DTYPES, run_in
from maskgrid.plan.passes import Pass, Recording
from maskgrid.prompted.prompter import Prompter
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.discovery import track_automatically
from maskgrid.tracked.propagation.tracker import load_tracker, track
from maskgrid.tracked.records import FramePrompt
from pretended_cuda import CUDA, moved, pretended_cuda

IMAGE = scene(120, 160)
RECORDING = Recording(0.3, 0.3, (-1.0, 0.0), (0.5, 1.0))


def test_the_pretended_device_refuses_what_cuda_refuses(monkeypatch):
    with pretended_cuda(monkeypatch):
        there, here = torch.zeros(3, device="cuda"), torch.arange(3)
        assert there.device == CUDA
        assert (there + 1).device == CUDA
        assert there[here].device == CUDA
        assert (there + torch.tensor(1.0)).cpu().tolist() == [1.0, 1.0, 1.0]
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        with pytest.raises(TypeError, match="numpy"):
            np.asarray(there)


@pytest.mark.parametrize("use_m2m", [False, True])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_candidates(mode, use_m2m, monkeypatch):
    pass_ = Pass(1, 3, None, 0.3, use_m2m=use_m2m, multimask_output=True)
    usual = Proposer(load_model("demo", device="cpu"), mode).run(IMAGE, pass_, RECORDING, points_per_batch=5)
    with pretended_cuda(monkeypatch):
        network = Proposer(moved(load_model("demo", device="cpu")), mode)
        assert network.beside
        found = network.run(IMAGE, pass_, RECORDING, points_per_batch=5)
    assert len(usual.rows) > 20
    for field in fields(usual.rows):
        assert getattr(found.rows, field.name).dtype == getattr(usual.rows, field.name).dtype
    assert np.array_equal(found.rows.candidate_id, usual.rows.candidate_id)
    # The code path for devices differs in the last bits, which can change a pixel.
    assert np.allclose(found.rows.predicted_iou, usual.rows.predicted_iou, atol=1e-4)
    assert np.allclose(found.rows.area_px, usual.rows.area_px, rtol=0.01, atol=2)
    areas = [area_px(counts, IMAGE.shape[:2]) for counts in found.rows.counts[~found.rows.near_crop_edge]]
    assert areas == found.rows.area_px[~found.rows.near_crop_edge].tolist()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_candidates_in_a_lower_precision(mode, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    pass_ = Pass(0, 3, None, None, use_m2m=True, multimask_output=True)
    with pretended_cuda(monkeypatch):
        model = moved(load_model("demo", device="cpu"))
        run_in(model, torch.device("cuda"), DTYPES[dtype])
        found = Proposer(model, mode).run(IMAGE, pass_, RECORDING, points_per_batch=5)
    assert found.dtype == (dtype if mode == "exact" else "float32")  # fast keeps the prompts' tokens in float32
    assert len(found.rows) > 5


def test_prompts(monkeypatch):
    config = PromptConfig(source="demo", prompts_per_batch=2, refine_rounds=1, max_hole_area=5, max_sprinkle_area=5)
    mask = np.zeros(IMAGE.shape[:2], np.bool_)
    mask[20:60, 30:90] = True
    click = {"point_coords": np.array([[30.0, 40.0], [50.0, 50.0]]), "point_labels": np.array([1, 0], np.int32)}
    boxes = [np.array([20.0, 20.0, 80.0, 80.0]), np.array([10.0, 20.0, 60.0, 80.0])]
    prompts = [
        *(Prompt(box_xyxy=box) for box in boxes),
        Prompt(**click),
        Prompt(**click, box_xyxy=boxes[0]),
        Prompt(mask_counts=encode(mask)),
        Prompt(mask_counts=encode(mask), box_xyxy=boxes[1]),
    ]
    usual = Prompter(load_model("demo", device="cpu")).run(IMAGE, prompts, config)
    with pretended_cuda(monkeypatch):
        found = Prompter(moved(load_model("demo", device="cpu"))).run(IMAGE, prompts, config)
    assert [result.counts for result in found] == [result.counts for result in usual]


@pytest.mark.parametrize("automatic", [False, True], ids=["given", "found"])
def test_tracking(automatic, monkeypatch):
    clip = draw_clip(0, 5, (96, 128))
    frames = DrawnFrames(clip.frames)
    options = TrackOptions(fill_hole_area=8)

    def track_all(tracker):
        if automatic:
            generator = MaskGenerator(tracker, points_per_side=3, pred_iou_thresh=0.3, stability_score_thresh=0.3)
            return list(track_automatically(tracker, generator, frames, AutomaticConfig(max_objects=3), options))
        box = np.array([5.0, 5.0, 60.0, 60.0], np.float32)
        return list(
            track(tracker, frames, [FramePrompt(0, 1, mask=clip.masks[0, 0]), FramePrompt(1, 2, box_xyxy=box)], options)
        )

    usual = track_all(load_tracker("demo", device="cpu"))
    with pretended_cuda(monkeypatch):
        tracker = moved(load_tracker("demo", device="cpu"))
        found = track_all(tracker)
    assert [frame for frame, _ in found] == [frame for frame, _ in usual]
    areas = [[[mask.area_px for mask in masks] for _, masks in result] for result in (found, usual)]
    assert sum(map(len, areas[0])) > 5
    for ours, theirs in zip(*areas, strict=True):
        assert np.allclose(ours, theirs, rtol=0.01, atol=2)


class DrawnFrames:
    """Frames in memory, in the form of a video."""

    def __init__(self, frames):
        self.frames, self.size_hw = frames, frames.shape[1:3]

    def __len__(self):
        return len(self.frames)

    def read(self, frame):
        return self.frames[frame]


def test_the_ways_taken_are_named(monkeypatch):
    pass_ = Pass(0, 3, None, None, use_m2m=False, multimask_output=True)
    with pretended_cuda(monkeypatch):
        network = Proposer(moved(load_model("demo", device="cpu")), "exact")
        network.run(IMAGE, pass_, RECORDING, points_per_batch=5)
    # Neither kernels nor graphs run on this device.
    assert network.ways() == {"shorter_decoder": True, "drawn_at_once": 32, "kernels": False, "graphs": []}
