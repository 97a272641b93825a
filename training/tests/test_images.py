"""Training on still images, small enough for a test."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskgrid.dataset.demo import EASY
from maskgrid.io.errors import UserError
from training.image_stage import image_step, start_image_stage
from training.model import build_model, initialise
from training.plans import FIRST
from training.pool import Pool, drawn_pool
from training.shards import workers
from training.state import State, restore, save
from training.weights import publish, sharpened, start_from

TINY = replace(FIRST, side_px=64, input_px=64, n_images=4, n_targets=4, steps=60, rise=5, disc=60)
LATE = replace(TINY, n_boxes=1, disc=0, grow=0, average=-1, best=0, follow_up=1.0)


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Pool:
    return drawn_pool(tmp_path_factory.mktemp("pool") / "easy.npz", range(8), 64, EASY, workers=1)


def fresh() -> State:
    torch.manual_seed(0)
    model = build_model(64)
    initialise(model)
    return start_image_stage(model)


def run(state: State, pool: Pool, steps: int, plan=TINY, cores: int = 2) -> list[float]:
    with workers(cores) as executor:
        return [image_step(state, plan, pool, pool, executor).loss for _ in range(steps)]


def test_the_pool_is_saved_and_loaded_again(pool, tmp_path):
    path = tmp_path / "pool.npz"
    drawn = drawn_pool(path, range(8), 64, EASY, workers=1)
    kept = drawn_pool(path, range(0), 64, EASY, workers=1)
    assert np.array_equal(drawn.images, kept.images)
    assert np.array_equal(drawn.masks(3), kept.masks(3))
    assert drawn.masks(3).shape[1:] == (64, 64)


def test_the_loss_falls(pool):
    losses = run(fresh(), pool, 40)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_a_resumed_training_equals_an_uninterrupted_one(pool, tmp_path: Path):
    straight, stopped, resumed = fresh(), fresh(), fresh()
    run(straight, pool, 4, LATE)
    run(stopped, pool, 2, LATE)
    save(stopped, tmp_path / "state.pt")
    restore(resumed, tmp_path / "state.pt")
    run(resumed, pool, 2, LATE)
    assert resumed.step == straight.step == 4
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for name, value in straight.average.items():
        assert torch.equal(value, resumed.average[name]), name


def test_one_core_trains_the_same_as_two(pool):
    assert run(fresh(), pool, 2, LATE, cores=1) == run(fresh(), pool, 2, LATE, cores=2)


def test_training_can_start_from_published_weights(pool, tmp_path: Path):
    """Publishing sharpens the logits, and starting from the file undoes it."""
    state = fresh()
    run(state, pool, 2, LATE)
    publish(sharpened(state.model.state_dict(), 12.0), tmp_path / "small.pt")
    model = build_model(64)
    start_from(model, tmp_path / "small.pt", 12.0)
    for name, value in state.model.state_dict().items():
        assert torch.allclose(value, model.state_dict()[name], rtol=2e-3, atol=1e-4), name


def test_a_state_of_another_network_is_refused(tmp_path: Path):
    state = fresh()
    save(state, tmp_path / "state.pt")
    content = torch.load(tmp_path / "state.pt", weights_only=True)
    del content["model"]["no_mem_embed"]
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(UserError, match=r"state\.pt"):
        restore(state, tmp_path / "state.pt")


def test_the_memory_is_left_alone(pool):
    state = fresh()
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    run(state, pool, 1, LATE)
    changed = {name for name, value in state.model.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("image_encoder.") for name in changed)
    assert any(name.startswith("sam_mask_decoder.") for name in changed)
    assert not any(name.startswith(("memory_attention.", "memory_encoder.")) for name in changed)


def test_the_targets_grow_from_a_disc_to_whole_objects():
    radii = [FIRST.disc_radius_frac(step) for step in (0, FIRST.disc, FIRST.disc + FIRST.grow)]
    assert radii[0] == radii[1] == 0.15
    assert radii[2] is None
    assert FIRST.best_share(0) == 0.0
    assert FIRST.best_share(FIRST.best) == FIRST.most_best < 1.0
    assert FIRST.rate_at(FIRST.rise) == pytest.approx(FIRST.rate)
    assert FIRST.rate_at(FIRST.steps) == pytest.approx(FIRST.rate * FIRST.last_rate)
