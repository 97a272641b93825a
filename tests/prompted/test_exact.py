"""Prompted segmentation gives the same masks and scores as sam2's own predictor, to the last bit."""

import itertools

import numpy as np
import PIL.Image
import pytest
import scipy.ndimage
import torch
from sam2.sam2_image_predictor import SAM2ImagePredictor

from maskgrid.config.prompts import PromptConfig
from maskgrid.dataset.annotations.objects import Prompt
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.network.components import fill_small_components
from maskgrid.network.predictor import fit_feature_sizes
from maskgrid.prompted.inputs import batches, mask_logits
from maskgrid.prompted.prompter import Prompter

KINDS = ("point", "points", "box", "box+points", "mask", "mask+points", "box+mask")


def oracle(model, image, **parameters):
    predictor = SAM2ImagePredictor(model, **parameters)
    fit_feature_sizes(predictor)
    predictor.set_image(image)
    return predictor


def arguments(prompt, predictor, size_hw):
    """Convert a prompt to the arguments of ``predict``."""
    mask = None
    if prompt.mask_counts is not None:
        mask = mask_logits(rle.decode(prompt.mask_counts, size_hw), predictor.model.sam_prompt_encoder.mask_input_size)
    return {
        "point_coords": prompt.point_coords,
        "point_labels": prompt.point_labels,
        "box": prompt.box_xyxy,
        "mask_input": mask,
        "normalize_coords": not prompt.normalized,
    }


def make_prompts(size_hw, seed, normalized=False):
    """Two prompts of each kind in mixed order, so that batches must be assembled."""
    random = np.random.default_rng(seed)
    return [make_prompt(kind, size_hw, random, normalized) for _ in range(2) for kind in KINDS]


def make_prompt(kind, size_hw, random, normalized):
    height, width = size_hw
    extent = np.array([1.0, 1.0] if normalized else [width, height])
    corner = random.uniform(0.05, 0.5, 2) * extent
    n_points = random.integers(2, 5) if kind == "points" else 1
    parts = {}
    if "point" in kind:
        parts["point_coords"] = random.uniform(0, 1, (n_points, 2)) * extent
        parts["point_labels"] = np.array([1, *random.integers(0, 2, n_points - 1)], np.int32)
    if "box" in kind:
        parts["box_xyxy"] = np.concatenate([corner, corner + random.uniform(0.1, 0.45, 2) * extent])
    if "mask" in kind:
        mask = np.zeros(size_hw, np.bool_)
        top, left = random.integers(0, height // 2), random.integers(0, width // 2)
        mask[top : top + height // 3, left : left + width // 4] = True
        parts["mask_counts"] = rle.encode(mask)
    return Prompt(**parts, normalized=normalized)


def differences(model, image, prompts, config):
    """Prompts whose masks or scores differ from those that ``predict`` gives for them alone."""
    predictor = oracle(model, image, mask_threshold=config.mask_threshold)
    results = Prompter(model).run(image, prompts, config)
    assert len(results) == len(prompts)
    areas = [rle.area_px(code, image.shape[:2]) for result in results for code in result.counts]
    assert np.count_nonzero(areas) > len(areas) / 5  # otherwise there would be nothing to compare
    found = []
    for number, (prompt, result) in enumerate(zip(prompts, results, strict=True)):
        masks, scores, _ = predictor.predict(
            **arguments(prompt, predictor, image.shape[:2]), multimask_output=config.multimask_output
        )
        ours = np.stack([rle.decode(code, image.shape[:2]) for code in result.counts])
        same_masks = np.array_equal(ours, masks.astype(bool))
        if not (same_masks and np.array_equal(result.predicted_iou, scores)):
            found.append((number, prompt.kind, same_masks))
    return found


@pytest.mark.parametrize("multimask_output", [True, False])
def test_each_kind_of_prompt_gives_what_predict_gives(demo_model, photos, multimask_output):
    config = PromptConfig(source="demo", keep="all", multimask_output=multimask_output)
    for seed, image in enumerate(photos.values()):
        prompts = make_prompts(image.shape[:2], seed)
        assert differences(demo_model, image, prompts, config) == []


def test_normalised_prompts_and_another_threshold(demo_model, photos):
    config = PromptConfig(source="demo", keep="all", mask_threshold=1.25)
    image = photos["coffee"]
    prompts = [*make_prompts(image.shape[:2], 7, normalized=True), *make_prompts(image.shape[:2], 8)]
    assert differences(demo_model, image, prompts, config) == []


def test_best_is_the_mask_with_the_highest_predicted_iou(demo_model, photos):
    image = photos["astronaut"]
    prompts = make_prompts(image.shape[:2], 3)
    best = Prompter(demo_model).run(image, prompts, PromptConfig(source="demo"))
    every = Prompter(demo_model).run(image, prompts, PromptConfig(source="demo", keep="all"))
    for one, three in zip(best, every, strict=True):
        position = int(np.argmax(three.predicted_iou))
        assert one.mask_index.tolist() == [position]
        assert one.counts == [three.counts[position]]
        assert one.predicted_iou[0] == three.predicted_iou.max()


def test_batches_of_one_kind_give_nearly_the_same_masks(demo_model, photos):
    """Larger batches change the last bits of logits, but hardly any mask."""
    image = photos["coffee"]
    prompts = make_prompts(image.shape[:2], 5)
    alone = Prompter(demo_model).run(image, prompts, PromptConfig(source="demo"))
    together = Prompter(demo_model).run(image, prompts, PromptConfig(source="demo", prompts_per_batch=8))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.predicted_iou, other.predicted_iou, atol=1e-4)
        masks = [rle.decode(result.counts[0], image.shape[:2]) for result in (one, other)]
        assert (masks[0] != masks[1]).mean() < 1e-3


def test_batches_hold_one_kind_and_masks_stand_alone():
    prompts = make_prompts((64, 64), 0) * 3
    parts = list(batches(prompts, 4))
    assert sorted(itertools.chain(*parts)) == list(range(len(prompts)))
    assert max(map(len, parts)) == 4
    for part in parts:
        assert len({(prompts[index].kind, prompts[index].n_points) for index in part}) == 1
        assert len(part) == 1 or prompts[part[0]].kind != "mask"


@pytest.mark.parametrize("rounds", [1, 2])
def test_refinement_feeds_the_best_mask_back_as_the_notebooks_do(demo_model, photos, rounds):
    image = photos["coffee"]
    prompts = make_prompts(image.shape[:2], 11)[: len(KINDS)]
    results = Prompter(demo_model).run(image, prompts, PromptConfig(source="demo", refine_rounds=rounds))
    predictor = oracle(demo_model, image)
    for prompt, result in zip(prompts, results, strict=True):
        given = arguments(prompt, predictor, image.shape[:2])
        masks, scores, logits = predictor.predict(**given)
        for _ in range(rounds):
            given["mask_input"] = logits[np.argmax(scores)][None]
            masks, scores, logits = predictor.predict(**given, multimask_output=False)
        assert np.array_equal(rle.decode(result.counts[0], image.shape[:2]), masks[0].astype(bool)), prompt.kind
        assert result.predicted_iou[0] == scores[0]


def components_by_scipy(logits, threshold, max_hole_area, max_sprinkle_area):
    """sam2's ``postprocess_masks`` before up-sampling, reimplemented from its comments with scipy's labels."""
    filled = logits.copy()
    for plane, target in zip(logits, filled, strict=True):
        for mask, limit, value in (
            (plane <= threshold, max_hole_area, threshold + 10.0),
            (plane > threshold, max_sprinkle_area, threshold - 10.0),
        ):
            labels, n_labels = scipy.ndimage.label(mask, np.ones((3, 3)))
            for label in range(1, n_labels + 1):
                component = labels == label
                if limit > 0 and component.sum() <= limit:
                    target[component] = value
    return filled


@pytest.mark.parametrize(
    ("threshold", "holes", "sprinkles"), [(0.0, 4, 0), (0.0, 0, 4), (0.0, 12, 7), (0.5, 3.5, 100), (0.0, 1e9, 1e9)]
)
def test_holes_and_sprinkles_match_an_independent_implementation(threshold, holes, sprinkles):
    random = np.random.default_rng(4)
    logits = scipy.ndimage.gaussian_filter(random.normal(size=(3, 48, 64)), (0, 1.2, 1.2)).astype(np.float32) * 4
    logits[0, :8] = threshold  # a logit exactly at the threshold is background
    ours = fill_small_components(torch.from_numpy(logits), threshold, holes, sprinkles).numpy()
    theirs = components_by_scipy(logits, threshold, holes, sprinkles)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, theirs)
    assert not np.array_equal(ours, logits)


def test_diagonal_neighbours_are_one_component():
    logits = torch.full((1, 6, 6), -5.0)
    logits[0, 1, 1] = logits[0, 2, 2] = 5.0
    assert torch.equal(fill_small_components(logits, 0.0, 0.0, 1.0), logits)
    assert (fill_small_components(logits, 0.0, 0.0, 2.0) < 0).all()


def test_holes_are_filled_before_masks_are_up_sampled(demo_model, photos, monkeypatch):
    """End to end, with scipy's components in place of the CUDA kernel in sam2's own ``postprocess_masks``."""

    def components(mask):
        labels, areas = torch.zeros(mask.shape, dtype=torch.int32), torch.zeros(mask.shape, dtype=torch.int32)
        for index, plane in enumerate(mask[:, 0].numpy()):
            found, n_found = scipy.ndimage.label(plane, np.ones((3, 3)))
            sizes = np.bincount(found.ravel(), minlength=n_found + 1)
            sizes[0] = 0
            labels[index, 0], areas[index, 0] = torch.from_numpy(found), torch.from_numpy(sizes[found])
        return labels, areas

    monkeypatch.setattr("sam2.utils.misc.get_connected_components", components)
    image = photos["coffee"]
    prompts = make_prompts(image.shape[:2], 2)
    sizes = {"max_hole_area": 40.0, "max_sprinkle_area": 40.0, "mask_threshold": 0.25}
    config = PromptConfig(source="demo", keep="all", **sizes)
    predictor = oracle(demo_model, image, **sizes)
    plain = Prompter(demo_model).run(image, prompts, PromptConfig(source="demo", keep="all", mask_threshold=0.25))
    results = Prompter(demo_model).run(image, prompts, config)
    for prompt, result in zip(prompts, results, strict=True):
        masks, _, _ = predictor.predict(**arguments(prompt, predictor, image.shape[:2]))
        ours = np.stack([rle.decode(code, image.shape[:2]) for code in result.counts])
        assert np.array_equal(ours, masks.astype(bool)), prompt.kind
    assert [result.counts for result in results] != [result.counts for result in plain]


def test_nan_values_are_an_error(demo_model, photos, monkeypatch):
    prompter = Prompter(demo_model)
    predict = prompter.predictor._predict

    def broken(*given, **named):
        logits, scores, low_res = predict(*given, **named)
        return logits, scores * float("nan"), low_res

    monkeypatch.setattr(prompter.predictor, "_predict", broken)
    with pytest.raises(FloatingPointError):
        prompter.run(photos["coffee"], make_prompts((200, 200), 0)[:1], PromptConfig(source="demo"))


def test_settings_together_equal_each_alone_and_share_decoder_runs(demo_model, photos):
    image = photos["coffee"]
    prompts = make_prompts(image.shape[:2], seed=11)
    settings = [
        PromptConfig(source="demo", keep="all", multimask_output=several, mask_threshold=level, max_hole_area=area)
        for several in (True, False)
        for level in (-0.5, 0.0, 2.0)
        for area in (0, 20)
    ]
    settings.append(PromptConfig(source="demo", refine_rounds=2, mask_threshold=1.0))
    prompter = Prompter(demo_model)
    decode, decoded = prompter.predictor._predict, []

    def counted(*args, **kwargs):
        decoded.append(kwargs["multimask_output"])
        return decode(*args, **kwargs)

    prompter.predictor._predict = counted
    together = prompter.run_settings(image, prompts, settings)
    assert len(decoded) == len(prompts) * (1 + 1 + 3)
    drawn = set()
    for setting, results in zip(settings, together, strict=True):
        alone = Prompter(demo_model).run(image, prompts, setting)
        drawn.add(tuple(code for result in results for code in result.counts))
        assert [result.counts for result in results] == [result.counts for result in alone]
        for one, other in zip(results, alone, strict=True):
            assert np.array_equal(one.predicted_iou, other.predicted_iou)
    assert len(drawn) == len(settings), "or there would be nothing to compare"


# From a notebook


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("normalized", [False, True])
def test_predict_gives_what_sam2_gives(demo_model, photos, multimask_output, normalized):
    image = photos["astronaut"]
    prompter, predictor = Prompter(demo_model), oracle(demo_model, image)
    prompter.set_image(image)
    for prompt in make_prompts(image.shape[:2], 6, normalized):
        given = {**arguments(prompt, predictor, image.shape[:2]), "multimask_output": multimask_output}
        for more in ({}, {"return_logits": True}):
            ours, theirs = prompter.predict(**given, **more), predictor.predict(**given, **more)
            for mine, other in zip(ours, theirs, strict=True):
                assert mine.shape == other.shape
                assert np.array_equal(mine, other), prompt.kind
            assert ours[0].dtype == (np.float32 if more else np.bool_)


def test_predict_takes_lists_batches_logits_and_masks(demo_model, photos):
    image = photos["coffee"]
    height, width = image.shape[:2]
    prompter = Prompter(demo_model, mask_threshold=0.5, max_hole_area=20)
    prompter.set_image(image)
    predictor = oracle(demo_model, image, mask_threshold=0.5)
    predictor._transforms.postprocess_masks = lambda masks, size: torch.nn.functional.interpolate(
        fill_small_components(masks[0], 0.5, 20, 0)[None] if len(masks) == 1 else masks, size, mode="bilinear"
    )
    box = [20, 30, width // 2, height - 20]
    masks, scores, logits = prompter.predict(box=box)
    for mine, other in zip((masks, scores, logits), predictor.predict(box=np.array(box)), strict=True):
        assert np.array_equal(mine, other)
    again = {"point_coords": [[60, 80]], "point_labels": [1], "mask_input": logits[np.argmax(scores)][None]}
    for mine, other in zip(prompter.predict(**again), predictor.predict(**again), strict=True):
        assert np.array_equal(mine, other)
    drawn = mask_logits(masks[0], demo_model.sam_prompt_encoder.mask_input_size)
    for mine, other in zip(prompter.predict(mask_input=masks[0]), predictor.predict(mask_input=drawn), strict=True):
        assert np.array_equal(mine, other)
    plain, theirs = Prompter(demo_model), oracle(demo_model, image)
    plain.set_image(image)
    batch = {"box": [box, [5, 5, 90, 70]], "point_coords": [[[60, 80]], [[40, 30]]], "point_labels": [[1], [0]]}
    for mine, other in zip(plain.predict(**batch), theirs.predict(**batch), strict=True):
        assert mine.shape == other.shape
        assert mine.shape[:2] == (2, 3)
        assert np.array_equal(mine, other)


def test_an_image_may_be_a_file_a_picture_or_a_view(demo_model, photos, tmp_path):
    image = photos["coffee"]
    PIL.Image.fromarray(image).save(tmp_path / "image.png")
    prompter, found = Prompter(demo_model), []
    mirrored = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    for given in (image, PIL.Image.fromarray(image), tmp_path / "image.png", str(tmp_path / "image.png"), mirrored):
        prompter.set_image(given)
        found.append(prompter.predict(box=[20, 30, 90, 90])[2])
    assert all(np.array_equal(found[0], other) for other in found)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "needs a prompt"),
        ({"point_coords": [[5, 5]]}, "each point needs a label"),
        ({"point_labels": [1]}, "each point needs a label"),
        ({"point_coords": [[5, 5]], "point_labels": [1, 0]}, "1 points need as many labels"),
        ({"point_coords": [[5, 5]], "point_labels": [3]}, "labels are 1"),
        ({"point_coords": [5, 5], "point_labels": [1]}, r"points are a list of \[x, y\]"),
        ({"point_coords": [[5, 5], [1]], "point_labels": [1, 1]}, "arrays of numbers"),
        ({"point_coords": [[5, 999]], "point_labels": [1]}, "outside the image"),
        ({"point_coords": np.zeros((0, 2)), "point_labels": []}, "arrays of numbers"),
        ({"box": [1, 2, 3]}, "a box is four numbers"),
        ({"box": [30, 2, 3, 9]}, "has no area"),
        ({"box": [0.1, 0.1, 40, 0.9], "point_coords": [[[2, 2]], [[3, 3]]], "point_labels": [[1], [1]]}, "2 prompts"),
        ({"mask_input": np.zeros((1, 7, 7), np.float32)}, "boolean mask of the image"),
        ({"mask_input": np.zeros((7, 7), np.bool_)}, "boolean mask of the image"),
    ],
)
def test_prompts_that_cannot_be_used_are_explained(demo_model, photos, given, words):
    prompter = Prompter(demo_model)
    with pytest.raises(UserError, match="call set_image first"):
        prompter.predict(box=[1, 2, 3, 4])
    prompter.predictor._is_image_set, prompter.predictor._orig_hw = True, [photos["coffee"].shape[:2]]
    with pytest.raises(UserError, match=words):
        prompter.predict(**given)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("gone.png", "gone.png: No such file"),
        (np.zeros((4, 4), np.uint8), r"not uint8 of shape \(4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "not float32"),
        (7, "not int"),
    ],
)
def test_images_that_cannot_be_used_are_explained(demo_model, image, words):
    with pytest.raises(UserError, match=words):
        Prompter(demo_model).set_image(image)
