"""Training the memory, small enough for a test."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskgrid.dataset.demo import EASY, Clip, draw_clip, draw_scene
from training.clip_pool import draw_window, encode_clips
from training.memory import initialise_memory, track_window
from training.model import Features, build_model, initialise
from training.plans import MEMORY
from training.shards import workers
from training.state import State, restore, save
from training.video_stage import VideoPools, start_video_stage, video_step

TINY = replace(
    MEMORY, side_px=64, input_px=64, n_clips=2, n_objects=2, n_clicked=2, n_targets=2, steps=40, rise=2, short=100
)


def fresh(input_px: int = 64) -> tuple[State, VideoPools]:
    torch.manual_seed(0)
    model = build_model(input_px).eval()
    initialise(model)
    clips, positions = encode_clips(model, (draw_clip(seed, 6, (64, 64), EASY) for seed in range(4)))
    scenes = (draw_scene(seed, (64, 64), EASY) for seed in range(4))
    stills, _ = encode_clips(model, (Clip(scene.image[None], scene.masks[None]) for scene in scenes))
    initialise_memory(model, Features([level.float() for level in clips[0].levels], positions))
    return start_video_stage(model), VideoPools(clips, stills, positions)


def run(state: State, pools: VideoPools, steps: int) -> list[float]:
    with workers() as executor:
        return [video_step(state, TINY, pools, executor).loss for _ in range(steps)]


def test_windows_start_with_an_object_to_track():
    _, pools = fresh()
    window = draw_window(np.random.default_rng(0), pools.clips, pools.positions, 3, 2, 3)
    assert window.targets.shape == (3, 6, 64, 64)
    assert window.targets[0].flatten(1).any(1).all()
    assert [len(features.levels[-1]) for features in window.frames] == [6, 6, 6]


def test_the_memory_decides_what_is_tracked():
    state, pools = fresh()
    window = draw_window(np.random.default_rng(0), pools.clips, pools.positions, 1, 1, 3)
    other = torch.zeros_like(window.targets[0])
    other[:, 5:20, 40:60] = True
    with torch.no_grad():
        first = track_window(state.model, window.frames, window.targets[0])
        second = track_window(state.model, window.frames, other)
    assert len(first) == 2
    assert not torch.allclose(first[0].logits, second[0].logits)


def test_a_network_with_a_larger_input_tracks_clips():
    state, pools = fresh(128)
    window = draw_window(np.random.default_rng(0), pools.clips, pools.positions, 1, 1, 3)
    with torch.no_grad():
        answers = track_window(state.model, window.frames, window.targets[0])
        enlarged = window.targets[0].repeat_interleave(2, 1).repeat_interleave(2, 2)
        of_enlarged = track_window(state.model, window.frames, enlarged)
    assert window.targets.shape[-1] == 64
    assert answers[0].logits.shape[-1] == 32
    for answer, other in zip(answers, of_enlarged, strict=True):
        assert torch.allclose(answer.logits, other.logits, atol=0.05)
    assert all(np.isfinite(run(state, pools, 2)))


def test_the_loss_falls_and_the_encoder_stays_frozen():
    state, pools = fresh()
    encoder = {name: value.clone() for name, value in state.model.image_encoder.state_dict().items()}
    before = run(state, pools, 4)
    run(state, pools, 20)
    state.step = 0  # the same windows and clicks again
    after = run(state, pools, 4)
    assert np.mean(after) < np.mean(before) - 0.3
    for name, value in state.model.image_encoder.state_dict().items():
        assert torch.equal(value, encoder[name]), name


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    straight, pools = fresh()
    run(straight, pools, 3)
    stopped, pools = fresh()
    run(stopped, pools, 2)
    save(stopped, tmp_path / "video.pt")
    resumed, pools = fresh()
    restore(resumed, tmp_path / "video.pt")
    run(resumed, pools, 1)
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_windows_grow_longer():
    assert [MEMORY.frames_at(step) for step in (0, MEMORY.short, 2 * MEMORY.short)] == [3, 5, 8]
    assert MEMORY.rate_at(MEMORY.steps) == pytest.approx(0.02 * MEMORY.rate)
