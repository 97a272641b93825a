"""Where the CPU scales images for a device, the threads that read them do it; results stay as they are."""

import shutil
import threading
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from corpus import encode, scene
from killing import tiny_plan
from maskgrid import load_model
from maskgrid.automatic.generate.prepared import PreparedPicture
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.pixels.windows import WholePicture
from maskgrid.io.tables import read_table
from maskgrid.network import image_encoder
from maskgrid.network.predictor import LowResolutionTransforms
from maskgrid.plan.passes import Pass, Recording
from pretended_cuda import moved, pretended_cuda

RECORDING = Recording(0.3, 0.3, (0.0,), (1.0,))
WHOLE = Pass(0, 3, None, None, use_m2m=False, multimask_output=True)
CROPS = Pass(1, 2, None, 0.3, use_m2m=False, multimask_output=True)


@pytest.fixture
def threads(monkeypatch):
    """The kinds of threads that scale images, in order."""
    seen = []
    usual = LowResolutionTransforms.prepare

    def prepare(self, image):
        seen.append(threading.current_thread().name.rsplit("_", 1)[0])
        return usual(self, image)

    monkeypatch.setattr(LowResolutionTransforms, "prepare", prepare)
    return seen


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_the_reader_of_a_shard_scales_every_image(mode, tmp_path, threads, monkeypatch):
    (tmp_path / "source").mkdir()
    for number in range(3):
        (tmp_path / "source" / f"{number}.png").write_bytes(encode(scene(40 + number, 60, seed=number), "PNG"))
    plan = tiny_plan(
        tmp_path / "source", tmp_path / "results", sweep=None, dataset={"source": str(tmp_path / "source")}
    )
    index_dataset(plan)
    model, run = load_model("demo", device="cpu"), plan.runs[0]
    with pretended_cuda(monkeypatch):
        network = Proposer(moved(model), mode)
        generate_shard(plan, "demo", "crop0-grid4", "all", load=lambda *_: network)
        assert threads == (["maskgrid-read"] * 3 if mode == "exact" else [])
        assert read_table(plan.layout.pass_images(run, "all"))["status"].to_pylist() == ["ok"] * 3
        found = read_table(plan.layout.candidates(run, "all"))
        assert len(found) > 10
        shutil.rmtree(plan.layout.candidates(run, "all").parent)
        monkeypatch.setattr(network, "prepare", lambda picture, _: picture)
        generate_shard(plan, "demo", "crop0-grid4", "all", load=lambda *_: network)
    assert read_table(plan.layout.candidates(run, "all")) == found


@pytest.mark.parametrize("pass_", [WHOLE, CROPS], ids=["whole", "crops"])
def test_prepared_pictures_have_the_same_candidates(pass_, threads, demo_model, monkeypatch):
    network = Proposer(demo_model)
    network.encoder.on_cuda = True
    picture = WholePicture(scene(90, 120))
    expected = network.run(picture, pass_, RECORDING)
    assert threads.count("maskgrid-ahead") == (4 if pass_ is CROPS else 0)
    threads.clear()
    prepared = network.prepare(picture, pass_)
    assert isinstance(prepared, PreparedPicture)
    found = network.run(prepared, pass_, RECORDING)
    assert threads == (["MainThread", *["maskgrid-ahead"] * 3] if pass_ is CROPS else ["MainThread"])
    assert len(found.rows) > 10
    for field in fields(found.rows):
        assert np.array_equal(getattr(found.rows, field.name), getattr(expected.rows, field.name)), field.name


def test_another_crop_does_not_take_what_was_prepared(demo_model):
    network, picture = Proposer(demo_model), WholePicture(scene(90, 120))
    network.encoder.on_cuda = True
    alone = network.run(picture, CROPS, RECORDING, tiles=range(2, 3))
    found = network.run(network.prepare(picture, CROPS), CROPS, RECORDING, tiles=range(2, 3))
    assert len(alone.rows) > 0
    assert found.rows.counts.tolist() == alone.rows.counts.tolist()
    assert found.rows.predicted_iou.tolist() == alone.rows.predicted_iou.tolist()


def test_tiles_are_scaled_as_they_are_read(demo_model):
    network, picture = Proposer(demo_model), WholePicture(scene(90, 120))
    network.encoder.on_cuda = True
    assert network.prepare(picture, replace(WHOLE, tile_px=(64, 16))) is picture


def test_on_a_cpu_the_picture_stays_as_it_is(demo_model):
    picture = WholePicture(scene(40, 60))
    assert Proposer(demo_model).prepare(picture, WHOLE) is picture


def test_a_device_that_fails_is_left_to_the_networks_thread(demo_model, monkeypatch):
    network, picture = Proposer(demo_model), WholePicture(scene(40, 60))
    network.encoder.on_cuda = True

    def fails(error):
        def page_locked(_):
            raise error

        monkeypatch.setattr(image_encoder, "page_locked", page_locked)

    fails(torch.OutOfMemoryError("CUDA out of memory"))
    assert network.prepare(picture, WHOLE) is picture
    fails(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        network.prepare(picture, WHOLE)
