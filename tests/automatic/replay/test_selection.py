"""Relations between replays of the same candidates that hold for any candidates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from maskgrid.automatic.replay.filters import replay
from maskgrid.automatic.replay.selection import Selection
from maskgrid.automatic.tables import MASK_COUNTS
from synthetic import GENERATOR, codes, make_images, setting

IMAGES = [image for seed in range(3) for image in make_images(6, n_points=14, seed=seed) if image.status == "ok"]
thresholds = st.floats(0.3, 1.0)


def kept(image, **changes) -> list[tuple[int, int]]:
    generator = GENERATOR.model_validate(GENERATOR.model_dump() | {"crop_n_layers": 0} | changes)
    return ids(replay(image.candidates[:1], generator))


def ids(selection: Selection) -> list[tuple[int, int]]:
    pairs = zip(selection.layer, selection.row, strict=True)
    return [(int(layer), int(selection.passes[layer].rows.candidate_id[row])) for layer, row in pairs]


@hypothesis_settings(deadline=None)
@given(st.sampled_from(IMAGES), thresholds, thresholds, st.floats(0.0, 1.0))
def test_a_higher_pred_iou_thresh_keeps_a_subset(image, one, other, box_nms_thresh):
    # NMS ranks by the same score, so no mask that the stricter threshold drops could have suppressed one that it keeps.
    loose, strict = sorted((one, other))
    more = kept(image, pred_iou_thresh=loose, box_nms_thresh=box_nms_thresh)
    fewer = kept(image, pred_iou_thresh=strict, box_nms_thresh=box_nms_thresh)
    assert set(fewer) <= set(more)
    assert fewer == [pair for pair in more if pair in set(fewer)], "in the same order"


@hypothesis_settings(deadline=None)
@given(st.sampled_from(IMAGES), thresholds, thresholds)
def test_without_suppression_every_threshold_only_removes(image, pred_iou_thresh, stability_score_thresh):
    everything = set(kept(image, box_nms_thresh=1.0, pred_iou_thresh=0.3, stability_score_thresh=0.3))
    changes = {"pred_iou_thresh": pred_iou_thresh, "stability_score_thresh": stability_score_thresh}
    both = set(kept(image, box_nms_thresh=1.0, **changes))
    each = [set(kept(image, box_nms_thresh=1.0, **{name: value})) for name, value in changes.items()]
    assert both == each[0] & each[1]
    assert both <= everything


def test_the_images_have_something_to_drop():
    counts = [[len(kept(image, pred_iou_thresh=threshold)) for threshold in (0.3, 0.6, 0.9)] for image in IMAGES]
    assert sum(count[0] > count[1] > count[2] for count in counts) >= 5


def test_each_filter_has_its_column_and_together_they_drop_what_is_not_kept():
    selection = IMAGES[0].select(setting("all", min_mask_region_area=5))
    assert list(selection.dropped) == [name for name in MASK_COUNTS.names if name.startswith("n_dropped_")]
    assert sum(selection.dropped.values()) + len(selection) == selection.n_proposed
    assert selection.n_proposed == sum(len(part.proposed_iou) for part in selection.passes)
    assert sum(n > 0 for n in selection.dropped.values()) >= 4


@pytest.mark.parametrize("area", [0, 5])
def test_columns_are_those_of_each_masks_candidate_or_region(area):
    """Mask by mask, over two crop layers."""
    wanted = setting("columns", min_mask_region_area=area, box_nms_thresh=1.0, crop_nms_thresh=1.0)
    n_layers, n_redrawn = 0, 0
    for image in IMAGES:
        selection = image.select(wanted)
        n_layers, n_redrawn = max(n_layers, len(set(selection.layer))), n_redrawn + sum(map(bool, selection.regions))
        assert selection.counts().tolist() == codes(selection)
        for index, (layer, row) in enumerate(zip(selection.layer, selection.row, strict=True)):
            part, region = selection.passes[layer], selection.regions[index]
            drawn = part.rows.take(np.array([row])) if region is None else region
            assert selection.area_px()[index] == drawn.area_px
            assert np.array_equal(selection.box_xyxy()[index], np.ravel(drawn.box_xyxy))
            assert selection.candidate_id()[index] == part.rows.candidate_id[row]
            assert selection.predicted_iou()[index] == part.rows.predicted_iou[row]
            assert selection.stability_score(1.0)[index] == part.rows.stability_scores[row, 1]
            assert np.array_equal(selection.point_xy()[index], part.rows.point_xy[row])
            assert np.array_equal(selection.crop_box_xyxy()[index], part.crop_boxes_xyxy[part.rows.crop_index[row]])
    assert n_layers == 2
    assert (n_redrawn > 0) == (area > 0)
