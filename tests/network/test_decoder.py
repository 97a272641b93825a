"""The shorter mask decoder: the same bits as sam2 in exact mode, the same masks within rounding in fast mode."""

import numpy as np
import pytest
import torch

from killing import tiny_plan
from maskgrid import MaskGenerator
from maskgrid.automatic.notes import pass_origin
from maskgrid.network.decoder import Decoding
from maskgrid.network.exact_decoder import PromptDecoder
from maskgrid.network.model import load_model
from maskgrid.network.predictor import make_predictor
from maskgrid.results.agreement import match

FLOOR = 0.6


@pytest.fixture(scope="module")
def predictor(demo_model, photos):
    predictor = make_predictor(demo_model)
    predictor.set_image(photos["coffee"])
    return predictor


def clicks(predictor, n):
    side = predictor.model.image_size
    points = torch.rand(n, 1, 2, generator=torch.Generator().manual_seed(n)) * side
    return points, torch.ones(n, 1, dtype=torch.int)


def as_sam2(predictor, points, labels, mask_input=None, multimask_output=True):
    logits, scores, _ = predictor._predict(
        points, labels, mask_input=mask_input, multimask_output=multimask_output, return_logits=True
    )
    return logits, scores


@pytest.mark.parametrize("n", [1, 7, 64])
@pytest.mark.parametrize("multimask_output", [True, False])
def test_exact_gives_sam2s_bits_every_time(predictor, n, multimask_output):
    decoding, prompts = Decoding(predictor, "exact"), clicks(predictor, n)
    expected = as_sam2(predictor, *prompts, multimask_output=multimask_output)
    for _ in range(2):
        found = decoding.predict(*prompts, multimask_output=multimask_output)
        assert all(map(torch.equal, found, expected))


def test_the_shorter_decoder_is_used_and_skips_masks_below_the_floor(predictor, monkeypatch):
    decoding, prompts = Decoding(predictor, "exact"), clicks(predictor, 64)
    logits, scores = decoding.predict(*prompts)
    assert decoding.is_equal == {(64, True): True}
    monkeypatch.setattr(predictor, "_predict", None)
    with torch.no_grad():
        some, same_scores = decoding.predict(*prompts, floor=FLOOR)
    assert torch.equal(scores, same_scores)
    wanted = (scores > FLOOR).any(1)
    assert 0 < int(wanted.sum()) < 64
    assert torch.equal(some[wanted], logits[wanted])
    assert not some[~wanted].any()


def test_sam2s_own_decoder_is_used_if_the_bits_differ(predictor, monkeypatch):
    shorter = PromptDecoder.predict

    def rounded_otherwise(*arguments, **options):
        logits, scores = shorter(*arguments, **options)
        return logits * (1 + 1e-6), scores

    monkeypatch.setattr(PromptDecoder, "predict", rounded_otherwise)
    decoding, prompts = Decoding(predictor, "exact"), clicks(predictor, 64)
    expected = as_sam2(predictor, *prompts)
    for _ in range(2):
        assert all(map(torch.equal, decoding.predict(*prompts, floor=FLOOR), expected))
    assert decoding.is_equal == {(64, True): False}


@pytest.mark.parametrize(("multimask_output", "with_masks"), [(True, False), (False, False), (False, True)])
def test_fast_gives_sam2s_masks_within_rounding(predictor, multimask_output, with_masks):
    points, labels = clicks(predictor, 21)
    masks = as_sam2(predictor, points, labels)[0][:, :1].clamp(-32, 32) if with_masks else None
    expected = as_sam2(predictor, points, labels, masks, multimask_output)
    with torch.no_grad():
        found = Decoding(predictor, "fast").predict(points, labels, masks, multimask_output=multimask_output)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("with_masks", [False, True])
def test_fast_in_lower_precision_is_as_accurate_as_sam2s_autocast(predictor, photos, monkeypatch, dtype, with_masks):
    points, labels = clicks(predictor, 21)
    masks = as_sam2(predictor, points, labels)[0][:, :1].clamp(-32, 32) if with_masks else None
    true_logits, true_scores = as_sam2(predictor, points, labels, masks)
    low = make_predictor(load_model("demo", device="cpu", dtype=dtype))
    low.set_image(photos["coffee"])
    logits, scores = as_sam2(low, points, labels, masks)
    decoding = Decoding(low, "fast")
    monkeypatch.setattr(low, "_predict", None)
    with torch.no_grad():
        our_logits, our_scores = decoding.predict(points, labels, masks)
    assert our_logits.dtype == our_scores.dtype == torch.float32
    assert 0 < (our_logits - true_logits).abs().mean() < 1.2 * (logits - true_logits).abs().mean()
    assert 0 < (our_scores - true_scores).abs().mean() < 1.1 * (scores - true_scores).abs().mean()


def test_each_image_is_decoded_with_its_own_features(demo_model, photos):
    predictor = make_predictor(demo_model)
    decoding, prompts = Decoding(predictor, "exact"), clicks(predictor, 16)
    for _ in range(2):
        for image in photos.values():
            predictor.set_image(image)
            with torch.no_grad():
                found = decoding.predict(*prompts)
            assert all(map(torch.equal, found, as_sam2(predictor, *prompts)))


@pytest.mark.parametrize("use_m2m", [False, True])
def test_fast_and_exact_masks_agree(demo_model, photos, use_m2m):
    parameters = {
        "points_per_side": 8,
        "pred_iou_thresh": 0.5,
        "stability_score_thresh": 0.6,
        "output_mode": "coco_rle",
        "use_m2m": use_m2m,
    }
    exact, fast = (MaskGenerator(demo_model, mode=mode, **parameters) for mode in ("exact", "fast"))
    n_masks, n_matched = 0, 0
    for image in photos.values():
        ours, theirs = (
            [mask["segmentation"]["counts"].encode() for mask in generator.generate(image)]
            for generator in (exact, fast)
        )
        n_masks += len(ours) + len(theirs)
        n_matched += 2 * len(match(ours, theirs, image.shape[:2])[0])
    assert n_masks > 20
    assert n_matched >= 0.99 * n_masks


def test_exact_and_fast_candidates_are_distinguished(tmp_path):
    plans = (tiny_plan(tmp_path / "source", tmp_path / "results", model={"mode": mode}) for mode in ("exact", "fast"))
    exact, fast = (pass_origin(plan.config.model, plan.checkpoint(), plan.runs[0]) for plan in plans)
    assert (exact.pop("mode"), fast.pop("mode")) == ("exact", "fast")
    assert exact == fast
