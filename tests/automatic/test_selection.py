"""Relations between replays of the same candidates that hold for any candidates."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from maskgrid.automatic.selection import Selection, replay
from synthetic import GENERATOR, make_images

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
