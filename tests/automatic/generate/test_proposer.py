"""The proposer on large images never holds a full batch of full-resolution logits at once."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.masks import rle
from maskgrid.plan.passes import Pass, Recording

PASS = Pass(0, 4, None, None, use_m2m=False, multimask_output=True)
EVERYTHING = Recording(0.0, 0.0, (0.0,), (1.0,))


@pytest.mark.parametrize(("size_hw", "at_once"), [((300, 400), 3), ((1000, 1500), 1), ((40, 50), 48)])
def test_only_a_few_logits_are_up_sampled_at_a_time(size_hw, at_once, demo_model, monkeypatch):
    network = Proposer(demo_model)
    network.recorder.chunk_px = 300 * 400 * 3
    transforms = network.predictor._transforms
    sizes = []

    def spy(logits, hw):
        sizes.append(len(logits))
        return type(transforms).upsample(transforms, logits, hw)

    monkeypatch.setattr(transforms, "upsample", spy)
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    candidates = network.run(image, PASS, EVERYTHING)
    assert max(sizes) == at_once
    assert sum(sizes) == len(candidates.proposed_iou) == 48


def test_masks_below_the_floor_are_never_up_sampled(demo_model, monkeypatch):
    network = Proposer(demo_model)
    calls = []
    monkeypatch.setattr(network.predictor._transforms, "upsample", lambda *call: calls.append(call))
    image = np.zeros((60, 80, 3), np.uint8)
    candidates = network.run(image, PASS, Recording(1.0, 0.0, (0.0,), (1.0,)))
    assert not calls
    assert len(candidates.rows) == 0
    assert len(candidates.proposed_iou) == 48


def test_the_code_path_for_gpus_gives_the_same_candidates(demo_model, monkeypatch):
    network = Proposer(demo_model)
    random = np.random.default_rng(0)
    image = np.kron(random.integers(0, 256, (6, 8, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
    pass_, recording = Pass(1, 4, None, 0.3, use_m2m=False, multimask_output=True), EVERYTHING
    assert not network.beside
    usual = network.run(image, pass_, recording, points_per_batch=5)
    network.beside = True
    monkeypatch.setattr(rle, "encode_window", None)
    monkeypatch.setattr("maskgrid.automatic.generate.proposals.encode_windows", rle.encode_together)
    beside = network.run(image, pass_, recording, points_per_batch=5)
    assert len(usual.rows) > 20
    for field in fields(usual.rows):
        assert np.array_equal(getattr(beside.rows, field.name), getattr(usual.rows, field.name)), field.name
    assert np.array_equal(beside.proposed_iou, usual.proposed_iou)


def test_scores_are_compared_in_their_own_precision_under_a_callers_autocast(demo_model):
    network, image = Proposer(demo_model), np.zeros((60, 80, 3), np.uint8)
    assert network.run(image, PASS, EVERYTHING).dtype == "float32"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        candidates = network.run(image, PASS, EVERYTHING)
    assert candidates.dtype == "bfloat16"
    scores = torch.from_numpy(candidates.proposed_iou)
    assert torch.equal(scores, scores.to(torch.bfloat16).float())
