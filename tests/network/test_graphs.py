"""Replayed steps read new inputs, write over their last outputs, and give the results of steps run as they are."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from corpus import scene
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.network import graphs
from maskgrid.network.graphs import Graphs
from maskgrid.network.model import products_in_tf32
from maskgrid.plan.passes import Pass, Recording

CPU = torch.device("cpu")


class PretendedGraph:
    """A graph for a machine without CUDA: replaying it runs the step again, into the tensors of the first time."""

    def __init__(self, step, inputs, pool, stream):
        self.step, self.inputs, self.pool = step, tuple(each.clone() for each in inputs), pool
        self.outputs, self.n_replays = tuple(each.clone() for each in step(*self.inputs)), 0

    def replay(self, inputs):
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given)
        for mine, new in zip(self.outputs, self.step(*self.inputs), strict=True):
            mine.copy_(new)
        self.n_replays += 1
        return self.outputs


@pytest.fixture
def pretended(monkeypatch):
    monkeypatch.setattr(graphs, "_Graph", PretendedGraph)
    monkeypatch.setattr(graphs, "_capturing", lambda device: None)


def switched_on(same_bits=True):
    some = Graphs(CPU, same_bits=same_bits)
    assert not some.is_on
    some.is_on = True
    return some


@pytest.mark.usefixtures("pretended")
def test_a_step_is_replayed_from_its_third_call_on():
    some, calls = switched_on(), []

    def double(number):
        calls.append(float(number))
        return (2 * number,)

    results = [float(some.run("double", double, torch.tensor(float(n)))[0]) for n in range(5)]
    assert results == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert next(iter(some._graphs.values())).n_replays == 1 + 3  # one to compare its bits


@pytest.mark.usefixtures("pretended")
def test_another_arithmetic_is_captured_anew():
    some = switched_on()
    for _ in range(3):
        some.run("double", lambda number: (2 * number,), torch.tensor(1.0))
        with products_in_tf32(wanted=True):
            some.run("double", lambda number: (2 * number,), torch.tensor(1.0))
    assert len(some._graphs) == 2
    assert some.names() == ["double", "double"]


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("same_bits", [True, False])
def test_a_graph_that_writes_nothing_is_not_used(same_bits, monkeypatch):
    monkeypatch.setattr(PretendedGraph, "replay", lambda self, inputs: self.outputs)
    some = switched_on(same_bits)
    for n in range(4):
        assert float(some.run("double", lambda number: (2 * number,), torch.tensor(float(n)))[0]) == 2.0 * n


@pytest.mark.usefixtures("pretended")
def test_a_graph_with_other_bits_is_not_used_where_bits_matter(monkeypatch):
    monkeypatch.setattr(PretendedGraph, "replay", lambda self, inputs: tuple(e + 1e-3 for e in self.step(*inputs)))
    some = switched_on()
    for n in range(4):
        assert float(some.run("double", lambda number: (2 * number,), torch.tensor(float(n)))[0]) == 2.0 * n
    some = switched_on(same_bits=False)
    results = [float(some.run("one", lambda number: (number,), torch.tensor(1.0))[0]) for n in range(3)]
    assert results == [1.0, 1.0, pytest.approx(1.001)]


def test_a_device_that_cannot_capture_runs_steps_as_they_are(monkeypatch):
    monkeypatch.setattr(graphs, "_capturing", lambda device: None)

    def out_of_memory(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(graphs, "_Graph", out_of_memory)
    some = switched_on()
    for n in range(4):
        assert float(some.run("double", lambda number: (2 * number,), torch.tensor(float(n)))[0]) == 2.0 * n
    assert not some.is_on


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("use_m2m", [False, True])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_replayed_steps_find_the_same_masks(mode, use_m2m, demo_model):
    pass_ = Pass(1, 3, None, 0.3, use_m2m=use_m2m, multimask_output=True)
    recording = Recording(0.2, 0.3, (-1.0, 0.0), (0.5, 1.0))
    usual, replayed = Proposer(demo_model, mode), Proposer(demo_model, mode)
    replayed.graphs.is_on = replayed.beside = replayed.encoder.on_cuda = True
    replayed.encoder.is_fast = False  # which scales images otherwise
    for seed in range(4):
        image = scene(90, 120, seed=seed)
        expected = usual.run(image, pass_, recording, points_per_batch=4)
        found = replayed.run(image, pass_, recording, points_per_batch=4)
        assert len(expected.rows) > 10
        for field in fields(expected.rows):
            assert np.array_equal(getattr(found.rows, field.name), getattr(expected.rows, field.name)), field.name
        assert np.array_equal(found.proposed_iou, expected.proposed_iou)
    n_replays = {name: graph.n_replays for (name, _), graph in replayed.graphs._graphs.items()}
    assert n_replays["encoder"] >= 14  # of 4 images with 4 crops each, the first two are not
    assert any(n > 4 for name, n in n_replays.items() if name != "encoder")


@pytest.mark.usefixtures("pretended")
def test_inference_mode_of_a_caller_changes_nothing(demo_model):
    pass_ = Pass(0, 2, None, None, use_m2m=False, multimask_output=True)
    network = Proposer(demo_model, "exact")
    network.graphs.is_on = network.encoder.on_cuda = True
    results = []
    for number in range(4):
        with torch.inference_mode(number % 2 == 0):
            results.append(network.run(scene(60, 80), pass_, Recording(0.2, 0.3, (0.0,), (1.0,)), points_per_batch=2))
    assert len({result.rows.counts.tolist().__repr__() for result in results}) == 1
