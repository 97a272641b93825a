"""A curve has the count of the replay at every value of a threshold: between its steps, at them, beside them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from drawn_filters import IMAGES, REGION, filters
from maskgrid.automatic.replay.curves import CURVES, CountCurve, count_curve
from maskgrid.automatic.replay.filters import Replay
from maskgrid.automatic.replay.image_replay import ImageReplay
from maskgrid.config.filters import FILTERS, FilterConfig
from maskgrid.config.settings import make_setting
from synthetic import CHECKPOINT, GENERATOR, make_images

WHOLE = ("min_area_px", "max_area_px", "border", "max_masks")
# The values that the config allows.
LIMITS = {**dict.fromkeys(CURVES, (0.0, 1.0)), **dict.fromkeys(WHOLE, (0, 2000)), "max_aspect_ratio": (1.0, 60.0)}


def counted(replay, one, name, value):
    """The replay's count with another value of a threshold."""
    value = int(value) if name in WHOLE else float(value)
    if name in FILTERS:
        return len(replay.select(one.generator, one.filters.model_copy(update={name: value})))
    return len(replay.select(one.generator.model_copy(update={name: value}), one.filters))


def asked(curve, name, random):
    """Values to compare at: both sides of each step, whole numbers around it, others anywhere."""
    low, high = LIMITS[name]
    steps = curve.starts[1:]
    if name in WHOLE:
        values = np.concatenate([steps - 1, steps, steps + 1, random.integers(low, high, 20)])
    else:
        beside = [np.nextafter(steps, -np.inf), steps, np.nextafter(steps, np.inf)]
        values = np.concatenate([*beside, random.uniform(low, high, 20), [low, high]])
    return np.unique(values[(values >= low) & (values <= high)])


def n_different(replay, one, name, random):
    prepared = ImageReplay.of(replay.candidates, one, 0.0, replay.in_image)
    curve = count_curve(prepared, one, name)
    assert curve.starts[0] == -np.inf
    assert (np.diff(curve.starts) > 0).all()
    assert (np.diff(curve.counts) != 0).all()
    values = asked(curve, name, random)
    expected = [counted(replay, one, name, value) for value in values.tolist()]
    assert curve.at(values).tolist() == expected, (name, one)
    return len(values), len(set(expected))


def drawn_setting(random, chosen=None):
    """Any thresholds, with and without crops and redrawn regions."""
    values = {
        name: float(random.choice([0.0, 1.0, 0.3, *random.random(4).round(3)]))
        for name in ("box_nms_thresh", "crop_nms_thresh")
    }
    values |= {name: float(random.choice([0.0, *(random.random(3) ** 3)])) for name in ("pred_iou_thresh",)}
    values |= {"stability_score_thresh": float(random.random() ** 3), "mask_threshold": random.choice([0.0, 1.5])}
    values |= {"crop_n_layers": int(random.integers(2)), "min_mask_region_area": int(random.choice([0, 5]))}
    return make_setting(CHECKPOINT, GENERATOR.model_copy(update=values), filters=chosen or FilterConfig())


@pytest.mark.parametrize("name", CURVES)
@hypothesis_settings(deadline=None, max_examples=12)
@given(st.sampled_from(IMAGES), filters(), st.integers(0, 2**32))
def test_no_count_differs_from_the_replay(name, made, chosen, seed):
    random = np.random.default_rng(seed)
    if name == "min_region_frac":
        chosen = chosen.model_copy(update={"region": REGION})
    n_different(made[0], drawn_setting(random, chosen), name, random)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["pred_iou_thresh", "box_nms_thresh", "crop_nms_thresh"])
def test_all_scores_differ(name, dtype):
    """Many masks, so that curves have many steps, up and down."""
    random = np.random.default_rng(1)
    image = make_images(1, n_points=70, seed=5)[0]
    parts = tuple(dataclasses.replace(part, dtype=dtype) for part in image.candidates)
    replay = Replay({part.pass_.name: part for part in parts})
    found = [n_different(replay, drawn_setting(random), name, random) for _ in range(4)]
    assert max(distinct for _, distinct in found) > 15


def test_every_numeric_filter_has_a_curve():
    assert set(FILTERS) - set(CURVES) == {"region", "containment_keeps"}


def test_the_mean_of_curves_is_that_of_their_counts():
    one = CountCurve(np.array([-np.inf, 0.25, 0.5]), np.array([3, 5, 0]), 0.1)
    other = CountCurve(np.array([-np.inf, 0.5, 0.75]), np.array([2, 1, 0]), 0.2)
    mean = CountCurve.mean([one, other])
    values = np.array([0.2, 0.25, 0.3, 0.5, 0.6, 0.75, 1.0])
    assert mean.at(values).tolist() == ((one.at(values) + other.at(values)) / 2).tolist()
    assert mean.low == 0.2


def test_an_image_without_candidates_has_no_masks_anywhere():
    empty = make_images(1)[-2]
    one = make_setting(CHECKPOINT, GENERATOR)
    prepared = ImageReplay.of({part.pass_.name: part for part in empty.candidates}, one, 0.0)
    for name in CURVES:
        curve = count_curve(prepared, one, name)
        assert (curve.starts.tolist(), curve.counts.tolist()) == ([-np.inf], [0])
