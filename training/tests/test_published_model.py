"""The weights in the package: sam2 loads them, and they segment."""

import hashlib

import numpy as np
import pytest
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.sam2_video_predictor import SAM2VideoPredictor

from maskgrid.dataset.demo import Clip
from maskgrid.io.errors import UserError
from maskgrid.network.model import load_model
from maskgrid.network.predictor import fit_feature_sizes
from training.batches import middle, normalise
from training.clicks import KINDS, click_figures, click_objects
from training.figures import measure_tracking
from training.measures import held_out_clips, held_out_scenes, measured_masks, pairwise_iou
from training.model import Features, build_model, decode, encode
from training.prompts import click_prompts, exact_boxes, extents, with_mask
from training.weights import load_demo, load_weights, mixed, publish, published_weights_path, sharpened

# More than chance can reach, but well below the figures in the model card.
LEAST_CLICK_IOU = 0.5
LEAST_TRACKING = 0.4


@pytest.fixture(scope="module")
def model():
    return load_demo()


def test_the_file_is_small_and_float16_and_matches_its_sha256():
    path = published_weights_path()
    assert path.stat().st_size <= 16 * 2**20
    content = torch.load(path, weights_only=True)["model"]
    assert {value.dtype for value in content.values()} == {torch.float16}
    digest = path.with_name("demo_sha256.txt").read_text(encoding="ascii").strip()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_sam2_builds_it_from_the_same_files(model):
    """sam2's own loader accepts every key and builds the same network."""
    of_sam2 = load_model("demo", device="cpu").state_dict()
    assert of_sam2.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in of_sam2.items())


def test_it_has_all_parts_of_sam2(model):
    assert isinstance(load_demo(video=True), SAM2VideoPredictor)
    assert model.image_size == 320
    assert model.num_maskmem == 7
    assert model.use_high_res_features_in_sam
    assert model.pred_obj_scores


def test_training_sees_scenes_and_prompts_as_the_predictor_does(model):
    """Scenes are smaller than the network's input: both must enlarge them and scale the prompts alike."""
    predictor = SAM2ImagePredictor(model)
    fit_feature_sizes(predictor)
    [scene] = held_out_scenes(1)
    predictor.set_image(scene.image)
    targets = torch.from_numpy(scene.masks)
    features = encode(model, normalise(scene.image[None])).repeated(len(targets))
    with torch.no_grad():
        answers = decode(model, features, exact_boxes(targets))
    ours = answers.logits[:, 1:].clamp(-32, 32)  # as the predictor returns them
    boxes_xyxy = torch.cat(extents(targets), 1).numpy()
    for number, box_xyxy in enumerate(boxes_xyxy):
        _, predicted_iou, logits = predictor.predict(box=box_xyxy, multimask_output=True)
        assert torch.allclose(ours[number], torch.from_numpy(logits), atol=0.02)
        assert torch.allclose(answers.predicted_iou[number, 1:], torch.from_numpy(predicted_iou), atol=1e-3)


def test_two_clicks_give_two_masks(model):
    predictor = SAM2ImagePredictor(model)
    fit_feature_sizes(predictor)
    apart = []
    for scene in held_out_scenes(8):
        wholes = scene.masks[scene.part_of == -1]
        first, second = sorted(wholes, key=np.sum)[-2:]
        predictor.set_image(scene.image)
        answers = [predictor.predict(np.array([middle(mask)]), np.ones(1)) for mask in (first, second)]
        best = [masks[scores.argmax()] > 0 for masks, scores, _ in answers]
        apart.append(pairwise_iou(best[0][None], best[1][None])[0, 0])
    assert np.median(apart) < 0.5


def test_clicks_find_held_out_objects(model):
    clicked = click_objects(model, held_out_scenes(12))
    figures = click_figures(clicked)
    assert figures.objects > 60
    assert figures.best_iou > LEAST_CLICK_IOU
    assert figures.chosen_iou <= figures.best_iou
    assert figures.iou_error < 0.25
    assert figures.boxed_iou < figures.drawable_iou < 1
    kinds = [click_figures([one for one in clicked if one.kind == kind]) for kind in KINDS]
    assert all(kind.objects for kind in kinds)
    assert sum(kind.objects * kind.best_iou for kind in kinds) == pytest.approx(figures.objects * figures.best_iou)


def test_a_higher_threshold_gives_fewer_automatic_masks(model):
    scenes = [scene for scene in held_out_scenes(6) if len(measured_masks(scene)) >= 3][:2]
    counts = []
    for threshold in (0.5, 0.8, 0.99):
        generator = SAM2AutomaticMaskGenerator(model, points_per_side=16, pred_iou_thresh=threshold)
        fit_feature_sizes(generator.predictor)
        counts.append(sum(len(generator.generate(scene.image)) for scene in scenes))
    assert counts[0] > counts[2]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] < 200


def test_objects_are_tracked():
    clips = [Clip(clip.frames[:8], clip.masks[:8]) for clip in held_out_clips(2)]
    assert measure_tracking(load_demo(video=True), clips).both > LEAST_TRACKING


def test_sharper_logits_draw_the_same_masks(tmp_path):
    torch.manual_seed(0)
    model = build_model(64).eval()
    features = Features([torch.randn(1, 16, 16, 16), torch.randn(1, 32, 8, 8), torch.randn(1, 128, 4, 4)], [])
    prompts = click_prompts(torch.tensor([[20.0, 30.0]]), 64)
    with torch.no_grad():
        before = decode(model, features, prompts).logits
        again = decode(model, features, with_mask(prompts, before[:, :1])).logits
        model.load_state_dict(sharpened(model.state_dict(), 3.0))
        after = decode(model, features, prompts).logits
        again_after = decode(model, features, with_mask(prompts, after[:, :1])).logits
    assert torch.allclose(after, 3 * before, rtol=1e-4, atol=1e-5)
    assert torch.allclose(again_after, 3 * again, rtol=1e-3, atol=1e-4)


def test_mixed_weights_lie_between():
    one, other = {"a": torch.zeros(3)}, {"a": torch.ones(3)}
    assert torch.allclose(mixed(one, other, 0.3)["a"], torch.full((3,), 0.3))
    with pytest.raises(UserError, match="two different networks"):
        mixed(one, {"a": torch.ones(4)}, 0.3)


def test_publishing_writes_what_loading_reads(tmp_path):
    weights = {"a": torch.randn(3), "b": torch.randn(2, 2)}
    digest = publish(weights, tmp_path / "small.pt")
    assert (tmp_path / "demo_sha256.txt").read_text(encoding="ascii") == f"{digest}\n"
    loaded = load_weights(tmp_path / "small.pt")
    assert all(torch.equal(loaded[name], value.half().float()) for name, value in weights.items())


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no weights"):
        load_weights(tmp_path / "missing.pt")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="no checkpoint of sam2"):
        load_weights(tmp_path / "other.pt")
