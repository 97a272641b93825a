"""The core promise: for every setting, the replay equals a fresh run of sam2's own generator, bit for bit."""

import dataclasses
import inspect
import random

import numpy as np
import pytest
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

from maskgrid import MaskGenerator, load_model
from maskgrid.automatic.replay.filters import replay
from maskgrid.io.errors import UserError
from oracle import differences, sam2_generator, sam2_masks
from synthetic import GENERATOR, make_images

GRIDS = [
    np.random.default_rng(1).random((24, 2)),
    np.random.default_rng(2).random((6, 2)),
]

# Parameters of the network. For each of these, our network runs once, and sam2 runs once per setting.
NETWORKS = {
    "plain": {"points_per_side": 9, "points_per_batch": 32},
    "other-batch": {"points_per_side": 8, "points_per_batch": 10},
    "m2m": {"points_per_side": 5, "points_per_batch": 16, "use_m2m": True},
    "single": {"points_per_side": 9, "multimask_output": False},
    "single-m2m": {"points_per_side": 6, "multimask_output": False, "use_m2m": True},
    "crops-1": {"points_per_side": 6, "crop_n_layers": 1},
    "crops-2": {"points_per_side": 6, "crop_n_layers": 2, "crop_n_points_downscale_factor": 2},
    "crops-overlap": {"points_per_side": 5, "crop_n_layers": 1, "crop_overlap_ratio": 0.6, "use_m2m": True},
    "explicit": {"points_per_side": None, "point_grids": GRIDS, "crop_n_layers": 1},
}
PHOTO_OF = dict(zip(NETWORKS, ["groceries", "truck", "coffee", "astronaut"] * 3, strict=False))
SETTINGS_PER_NETWORK = 6
LEVELS, OFFSETS = (0.0, -0.7, 1.3), (0.4, 1.0, 2.0)


@pytest.fixture(scope="module")
def tally():
    """Count what was compared, and print it at the end."""
    counts = {"settings": 0, "masks": 0}
    yield counts
    print(f"\nreplay against sam2: {counts['settings']} settings, {counts['masks']} masks, no difference")


def draw_settings(name, candidates):
    """Settings that drop some of the candidates: thresholds at quantiles of their scores, and thresholds of 0."""
    draw = random.Random(name)
    iou = np.concatenate([part.rows.predicted_iou for part in candidates])
    stability = np.concatenate([part.rows.stability_scores[:, 1] for part in candidates])
    for number in range(SETTINGS_PER_NETWORK):
        yield {
            "pred_iou_thresh": 0.0 if number == 0 else float(np.quantile(iou, draw.choice([0.1, 0.3, 0.6, 0.8]))),
            "stability_score_thresh": 0.0
            if number == 1
            else float(np.quantile(stability, draw.choice([0.3, 0.6, 0.8]))),
            "stability_score_offset": draw.choice(OFFSETS),
            "mask_threshold": draw.choice(LEVELS),
            "box_nms_thresh": draw.choice([0.3, 0.7, 0.9, 1.0]),
            "crop_nms_thresh": draw.choice([0.3, 0.7, 0.9]),
            "min_mask_region_area": draw.choice([0, 0, 40]),
        }


@pytest.mark.parametrize("name", NETWORKS)
def test_replay_is_a_fresh_run_of_sam2(name, demo_model, photos, tally):
    network = NETWORKS[name]
    image = photos.get(PHOTO_OF[name], photos["coffee"])
    generator = MaskGenerator(demo_model, **network)
    candidates = generator.candidates(
        image,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        mask_thresholds=LEVELS,
        stability_score_offsets=OFFSETS,
    )
    n_masks = 0
    for setting in draw_settings(name, candidates):
        ours = generator.replay(candidates, **setting)
        theirs = sam2_masks(demo_model, image, **network, **setting)
        assert differences(ours, theirs) == [], setting
        n_masks += len(theirs)
        tally["settings"] += 1
    tally["masks"] += n_masks
    assert n_masks > 0


@pytest.mark.parametrize("output_mode", ["binary_mask", "uncompressed_rle", "coco_rle"])
def test_generate_is_a_drop_in_replacement_for_sam2s(output_mode, demo_model, photos):
    parameters = {
        "points_per_side": 8,
        "pred_iou_thresh": 0.1,
        "stability_score_thresh": 0.05,
        "output_mode": output_mode,
    }
    ours = MaskGenerator(demo_model, **parameters).generate(photos["coffee"])
    assert len(ours) > 1
    assert differences(ours, sam2_masks(demo_model, photos["coffee"], **parameters)) == []


def test_floor_does_not_change_the_answer(demo_model, photos):
    network = {"points_per_side": 8, "pred_iou_thresh": 0.12, "stability_score_thresh": 0.1}
    generator = MaskGenerator(demo_model, **network)
    at_floor = generator.replay(generator.candidates(photos["coffee"]))
    below = generator.candidates(photos["coffee"], pred_iou_thresh=0.05, stability_score_thresh=0.0)
    assert differences(generator.replay(below), at_floor) == []
    assert len(at_floor) > 1


def test_no_mask_in_any_crop_gives_an_empty_list_where_sam2_fails(demo_model, photos):
    parameters = {"points_per_side": 2, "crop_n_layers": 1, "pred_iou_thresh": 1.0}
    with pytest.raises(IndexError):
        sam2_generator(demo_model, **parameters).generate(photos["coffee"])
    assert MaskGenerator(demo_model, **parameters).generate(photos["coffee"]) == []


def test_empty_masks_are_dropped_where_sam2_returns_nan_scores(demo_model, photos):
    parameters = {
        "points_per_side": 3,
        "pred_iou_thresh": 0.0,
        "stability_score_thresh": 0.0,
        "box_nms_thresh": 1.0,
        "mask_threshold": 25.0,
    }
    theirs = sam2_generator(demo_model, **parameters).generate(photos["coffee"])
    assert any(np.isnan(mask["stability_score"]) for mask in theirs)
    ours = MaskGenerator(demo_model, **parameters).generate(photos["coffee"])
    assert all(mask["area"] > 0 and not np.isnan(mask["stability_score"]) for mask in ours)


def test_crops_of_a_tiny_image(demo_model):
    image = np.full((1, 3, 3), 200, np.uint8)
    generator = MaskGenerator(demo_model, points_per_side=2, crop_n_layers=2, pred_iou_thresh=0.0)
    assert isinstance(generator.generate(image), list)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 of shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"uint8 of shape \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32 of shape"),
        ("photo.jpg", "photo.jpg: No such file"),
        (7, "not int"),
    ],
)
def test_an_argument_that_is_no_image_is_refused(image, message, demo_model):
    with pytest.raises(UserError, match=message):
        MaskGenerator(demo_model).generate(image)


def test_unknown_parameters_and_unrecorded_settings_are_refused(demo_model, photos):
    with pytest.raises(UserError, match="points_per_sid: unknown key; did you mean 'points_per_side'"):
        MaskGenerator(demo_model, points_per_sid=3)
    generator = MaskGenerator(demo_model, points_per_side=2)
    candidates = generator.candidates(photos["coffee"])
    for name, value in (("pred_iou_thresh", 0.1), ("stability_score_thresh", 0.1), ("mask_threshold", 1.0)):
        message = f"^{name}: {value:g} .*; run the network again with a wider recording$"
        with pytest.raises(UserError, match=message):
            generator.replay(candidates, **{name: value})
    with pytest.raises(UserError, match="no candidates of pass crop0-grid4"):
        generator.replay(candidates, points_per_side=4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_lower_precision_equals_sam2_under_autocast(dtype, photos):
    """Even at thresholds that equal a score after rounding: torch compares in the scores' own precision."""
    generator = MaskGenerator(load_model("demo", device="cpu", dtype=dtype), points_per_side=4, pred_iou_thresh=0.1)
    candidates = generator.candidates(photos["coffee"], stability_score_thresh=0.0)
    scores = np.unique(candidates[0].proposed_iou)
    middle = float(scores[len(scores) // 2])
    thresholds = [0.1, middle, middle - 1e-5, middle + 1e-5]
    n_masks = set()
    for threshold in thresholds:
        parameters = {"points_per_side": 4, "pred_iou_thresh": threshold, "stability_score_thresh": 0.0}
        ours = generator.replay(candidates, pred_iou_thresh=threshold, stability_score_thresh=0.0)
        with torch.autocast("cpu", dtype=getattr(torch, dtype)):
            theirs = sam2_masks(load_model("demo", device="cpu"), photos["coffee"], **parameters)
        assert differences(ours, theirs) == []
        n_masks.add(len(ours))
    assert len(n_masks) > 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_fast_in_lower_precision_compares_scores_like_the_replay(dtype, photos):
    """A floor that equals a score drops the same masks as the replay of a wider recording."""
    model = load_model("demo", device="cpu", dtype=dtype)
    generator = MaskGenerator(model, mode="fast", points_per_side=4, pred_iou_thresh=1.0)
    image, rest = photos["coffee"], {"stability_score_thresh": 0.0, "mask_threshold": -1.0}
    wide = generator.candidates(image, pred_iou_thresh=0.1, stability_score_thresh=0.0, mask_thresholds=[-1.0])
    scores = np.unique(wide[0].proposed_iou)
    for score in scores[len(scores) // 4 :: len(scores) // 8].tolist():
        for threshold in (score - 1e-5, score, score + 1e-5):
            narrow = generator.candidates(
                image, pred_iou_thresh=threshold, stability_score_thresh=0.0, mask_thresholds=[-1.0]
            )
            replayed = (generator.replay(part, pred_iou_thresh=threshold, **rest) for part in (wide, narrow))
            assert differences(*replayed) == []


@pytest.mark.parametrize(("threshold", "dropped"), [(0.0, False), (1e-9, True)])
def test_a_threshold_that_rounds_to_zero_still_filters(threshold, dropped):
    """As in sam2, which compares with any threshold above 0 and skips the filter at 0."""
    image = make_images(1)[0]
    parts = [
        dataclasses.replace(
            part,
            dtype="float16",
            proposed_iou=np.zeros_like(part.proposed_iou),
            rows=dataclasses.replace(part.rows, predicted_iou=np.zeros_like(part.rows.predicted_iou)),
        )
        for part in image.candidates
    ]
    generator = GENERATOR.model_copy(update={"pred_iou_thresh": threshold, "stability_score_thresh": 0.0})
    selection = replay(parts, generator)
    assert (len(selection) == 0) == dropped
    assert (selection.dropped["n_dropped_pred_iou"] == selection.n_proposed) == dropped


def test_parameters_have_the_same_order_as_sam2s(demo_model):
    names = list(inspect.signature(SAM2AutomaticMaskGenerator.__init__).parameters)[2:-1]
    assert names == list(MaskGenerator(demo_model).parameters.model_dump())
    generator = MaskGenerator(demo_model, 8, 16, np.float32(0.5), use_m2m=np.bool_(True), crop_n_layers=np.int64(1))
    given = generator.parameters
    assert (given.points_per_side, given.points_per_batch, given.pred_iou_thresh) == (8, 16, 0.5)
    assert (given.use_m2m, given.crop_n_layers) == (True, 1)


@pytest.mark.parametrize(
    ("values", "named", "kind", "message"),
    [
        ((), {"mode": "fasst"}, UserError, "mode: 'fasst' is neither 'exact' nor 'fast'"),
        ((8,), {"points_per_side": 8}, TypeError, "multiple values for argument 'points_per_side'"),
        (tuple(range(17)), {}, TypeError, "positional arguments but 19"),
    ],
)
def test_wrong_arguments_of_a_generator_are_refused(demo_model, values, named, kind, message):
    with pytest.raises(kind, match=message):
        MaskGenerator(demo_model, *values, **named)
