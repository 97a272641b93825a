"""Images that a device scales itself are sam2's but for the last bits."""

import numpy as np
import pytest
import torch

from corpus import scene
from maskgrid.network.graphs import Graphs
from maskgrid.network.image_encoder import ImageEncoder
from maskgrid.network.predictor import make_predictor


@pytest.mark.parametrize("size_hw", [(90, 120), (333, 517), (1, 9), (700, 80)])
@pytest.mark.parametrize("is_fast", [False, True])
def test_features_are_sam2s(is_fast, size_hw, demo_model):
    image = scene(*size_hw)
    theirs, ours = make_predictor(demo_model), make_predictor(demo_model)
    theirs.set_image(image)
    encoder = ImageEncoder(ours, Graphs(torch.device("cpu"), same_bits=True), is_fast=is_fast)
    encoder.on_cuda = True
    with torch.no_grad():
        encoder.encode(image)
        assert float((encoder._scaled_there(image) - theirs._transforms(image)).abs().max()) < (
            1e-5 if is_fast else 1e-30
        )
    assert ours._orig_hw == theirs._orig_hw
    found, expected = ([part["image_embed"], *part["high_res_feats"]] for part in (ours._features, theirs._features))
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other, atol=1e-3) if is_fast else torch.equal(one, other)


def test_what_a_thread_prepared_gives_the_same_features(demo_model):
    images = [scene(60, 80, seed=seed) for seed in (1, 2)]
    encoder = ImageEncoder(make_predictor(demo_model), Graphs(torch.device("cpu"), same_bits=True), is_fast=False)
    assert encoder.prepare(images[0]) is None  # sam2 does it itself on a CPU
    encoder.on_cuda = True
    with torch.no_grad():
        encoder.encode(images[0])
        expected = encoder.predictor._features
        # The network's thread may be at another image meanwhile.
        encoder.predictor._transforms.prepared = encoder.prepare(images[1])
        prepared = encoder.prepare(images[0])
        encoder.encode(images[1], encoder.prepare(images[1]))
        assert not torch.equal(encoder.predictor._features["image_embed"], expected["image_embed"])
        encoder.encode(images[0], prepared)
    found = encoder.predictor._features
    assert torch.equal(found["image_embed"], expected["image_embed"])
    assert all(map(torch.equal, found["high_res_feats"], expected["high_res_feats"]))


def test_fast_leaves_scaling_to_the_device(demo_model):
    encoder = ImageEncoder(make_predictor(demo_model), Graphs(torch.device("cpu"), same_bits=True), is_fast=True)
    encoder.on_cuda = True
    assert encoder.prepare(scene(60, 80)) is None


def test_the_predictor_takes_other_images_afterwards(demo_model):
    first, second = scene(60, 80, seed=1), scene(60, 80, seed=2)
    predictor = make_predictor(demo_model)
    encoder = ImageEncoder(predictor, Graphs(torch.device("cpu"), same_bits=True), is_fast=False)
    encoder.on_cuda = True
    encoder.encode(first)
    predictor.set_image(second)
    expected = make_predictor(demo_model)
    expected.set_image(second)
    assert torch.equal(predictor._features["image_embed"], expected._features["image_embed"])
