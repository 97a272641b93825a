"""Exact lets kernels measure only where they were compared with torch."""

import numpy as np
import pytest
import torch

from maskgrid.automatic.generate import device_masks
from maskgrid.automatic.generate.proposals import Crop, Proposals
from maskgrid.automatic.generate.recorder import Recorder, UnmeasuredBatch
from maskgrid.network.graphs import Graphs
from maskgrid.network.predictor import make_predictor
from maskgrid.plan.passes import Recording

CROP, RECORDING = Crop(0, (0, 0, 40, 30), (30, 40)), Recording(0.5, 0.0, (0.0,), (1.0,))


def proposals(score):
    logits = torch.full((2, 8, 8), -3.0)
    logits[:, 2:6, 2:6] = 3.0
    return Proposals(logits, torch.full((2,), score), torch.zeros(2, 2), torch.arange(2))


@pytest.mark.parametrize("kernels_are_right", [True, False])
def test_kernels_are_compared_on_the_first_masks_that_reach_the_floor(kernels_are_right, demo_model, monkeypatch):
    recorder = Recorder(make_predictor(demo_model), "exact", Graphs(torch.device("cpu"), same_bits=True))
    monkeypatch.setattr(device_masks, "can_measure", lambda device, crop: True)
    monkeypatch.setattr(device_masks, "begin", lambda some, *_: some)

    def finish(some):
        (rows,) = recorder._by_torch(some, CROP, RECORDING)
        return rows if kernels_are_right else rows.take(np.arange(0))

    monkeypatch.setattr(device_masks, "finish", finish)
    # Of a batch without masks, nothing can be learnt.
    assert isinstance(recorder.begin(proposals(0.1), CROP, RECORDING), UnmeasuredBatch)
    assert recorder._is_equal == {}
    begun = recorder.begin(proposals(0.9), CROP, RECORDING)
    assert list(recorder._is_equal.values()) == [kernels_are_right]
    assert isinstance(begun, UnmeasuredBatch) is not kernels_are_right
    assert recorder.uses_kernels is kernels_are_right
