"""Thousands of settings at once keep exactly the masks that ``Replay`` keeps one by one, in the same order."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from drawn_filters import IMAGES, LOOSE, filters
from maskgrid.automatic.replay import image_replay
from maskgrid.automatic.replay.filters import replay
from maskgrid.automatic.replay.image_replay import ImageReplay
from maskgrid.automatic.replay.thresholds import least_rounded_to, rounded
from maskgrid.config.settings import make_setting
from synthetic import CHECKPOINT, GENERATOR, make_images, setting

STEMS = {
    "crops": {},
    "one image": {"crop_n_layers": 0},
    "other level": {"mask_threshold": 1.5, "stability_score_offset": 0.5},
    "small regions": {"min_mask_region_area": 4},
}


def drawn(stem, n, seed=0):
    """Settings of a stem: any values, 0 and 1 and values of candidates among them."""
    random = np.random.default_rng(seed)
    names = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh")
    rows = np.where(random.random((n, 4)) < 0.1, random.integers(0, 2, (n, 4)), random.random((n, 4)))
    rows[:, :2] **= 2  # so that masks are left
    return [setting(**stem, **dict(zip(names, row.tolist(), strict=True))) for row in rows]


def by_name(image):
    return {part.pass_.name: part for part in image.candidates}


def kept_one_by_one(image, one):
    chosen = replay(image.candidates, one.generator)
    return list(zip(chosen.layer.tolist(), chosen.row.tolist(), strict=True)), chosen.counts().tolist()


def assert_same(image, stem, settings):
    prepared = ImageReplay.of(by_name(image), settings[0], 0.0)
    alive = prepared.keep(settings)
    n_kept = 0
    for place, one in enumerate(settings):
        order = prepared.order[alive[prepared.order, place]]
        rows = list(zip(prepared.masks.layer[order].tolist(), prepared.masks.row[order].tolist(), strict=True))
        assert (rows, [prepared.codes[mask] for mask in order]) == kept_one_by_one(image, one)
        n_kept += len(rows)
    return n_kept


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
def test_the_same_masks_in_the_same_order(stem):
    images = [image for image in make_images(4, n_points=25) if image.status == "ok"]
    assert sum(assert_same(image, stem, drawn(stem, 150, seed)) for seed, image in enumerate(images)) > 1000


def test_equal_scores_and_boxes_keep_their_order():
    image = make_images(1, n_points=40, seed=3)[0]
    parts = []
    for part in image.candidates:
        scores = np.round(part.rows.predicted_iou, 1).astype(np.float32)
        boxes = part.rows.box_xyxy // 6 * 6
        parts.append(
            dataclasses.replace(part, rows=dataclasses.replace(part.rows, predicted_iou=scores, box_xyxy=boxes))
        )
    assert assert_same(dataclasses.replace(image, candidates=tuple(parts)), {}, drawn({}, 200)) > 200


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_scores_are_compared_in_the_networks_type(dtype):
    image = make_images(1, n_points=40)[0]
    parts = tuple(dataclasses.replace(part, dtype=dtype) for part in image.candidates)
    scores = sorted({float(score) for part in parts for score in part.rows.predicted_iou})
    settings = [setting(pred_iou_thresh=score, stability_score_thresh=0.0) for score in scores]
    assert assert_same(dataclasses.replace(image, candidates=parts), {}, settings) > 0


def test_parameters_that_the_steps_do_not_know_go_through_replay(monkeypatch):
    image = make_images(1, n_points=25)[0]
    fast = ImageReplay.of(by_name(image), setting(), 0.0).keep(drawn({}, 20))
    monkeypatch.setattr(image_replay, "_FOLLOWED", frozenset())
    assert np.array_equal(ImageReplay.of(by_name(image), setting(), 0.0).keep(drawn({}, 20)), fast)


def test_a_default_setting_is_followed():
    assert image_replay.is_followed(make_setting(CHECKPOINT, GENERATOR))


@hypothesis_settings(deadline=None, max_examples=60)
@given(st.sampled_from(IMAGES), st.lists(filters(), min_size=1, max_size=8), st.sampled_from([0, 5]), st.randoms())
def test_filters_keep_what_replay_keeps(made, wanted, region_area, random):
    replay, _ = made
    settings = [
        make_setting(
            CHECKPOINT,
            GENERATOR.model_copy(
                update={**LOOSE, "min_mask_region_area": region_area, "box_nms_thresh": random.choice([0.3, 0.8, 1.0])}
            ),
            filters=one,
        )
        for one in wanted
    ]
    prepared = ImageReplay.of(replay.candidates, settings[0], 0.0, replay.in_image)
    alive = prepared.keep(settings)
    for place, one in enumerate(settings):
        assert image_replay.is_followed(one)
        chosen = replay.select(one.generator, one.filters)
        order = prepared.order[alive[prepared.order, place]]
        assert prepared.masks.layer[order].tolist() == chosen.layer.tolist()
        assert prepared.masks.row[order].tolist() == chosen.row.tolist()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_thresholds_are_rounded_as_torch_rounds_them(dtype):
    random = np.random.default_rng(0)
    scores = torch.from_numpy(random.random(500)).to(getattr(torch, dtype)).float().numpy()
    least = least_rounded_to(scores[scores > 0], dtype)
    values = np.concatenate([random.random(500), scores, least, np.nextafter(least, 0), [0.0, 1.0, -np.inf, 1e-40]])
    found = [torch.tensor(value, dtype=getattr(torch, dtype)).item() for value in values.tolist()]
    assert rounded(values, dtype).tolist() == found
    assert (rounded(least, dtype) >= scores[scores > 0]).all()
    assert (rounded(np.nextafter(least, 0), dtype) < scores[scores > 0]).all()
