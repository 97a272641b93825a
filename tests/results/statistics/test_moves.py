"""Which parameter moves the count most: known counts, images that disagree, missing rows, many images."""

import pyarrow as pa
import pytest

from maskgrid.io.tables import write_table
from maskgrid.results.statistics import moves
from maskgrid.results.statistics.moves import parameter_moves
from synthetic import grid, setting

GRID = grid(pred_iou_thresh=[0.2, 0.5, 0.7], box_nms_thresh=[0.5, 0.9])


def write_counts(path, counts, settings=GRID):
    """``counts`` gives the masks of an image by its number and the setting's thresholds; None for no row."""
    rows = [
        {"setting_id": one.id, "image_key": f"{image:05}.png", "n_masks": n}
        for one in settings
        for image in range(counts.n_images)
        if (n := counts(image, one.generator.pred_iou_thresh, one.generator.box_nms_thresh)) is not None
    ]
    schema = pa.schema([("setting_id", pa.string()), ("image_key", pa.string()), ("n_masks", pa.int32())])
    write_table(path, pa.Table.from_pylist(rows, schema), {})
    return path


def counting(n_images):
    def mark(function):
        function.n_images = n_images
        return function

    return mark


def test_means_ranges_and_order(tmp_path):
    @counting(4)
    def counts(image, iou, nms):
        return round(100 - 100 * iou + 50 * nms) + image

    first, second = parameter_moves(write_counts(tmp_path / "counts.parquet", counts), GRID)
    assert (first.parameter, first.fewest_at, first.most_at) == ("pred_iou_thresh", 0.7, 0.2)
    assert (first.range, first.low, first.high, first.first_frac) == pytest.approx((50, 50, 50, 1))
    assert (first.fewest, first.most) == pytest.approx((66.5, 116.5))
    assert (second.parameter, second.range, second.first_frac) == ("box_nms_thresh", pytest.approx(20), 0)


def test_images_that_disagree_make_it_unsure(tmp_path):
    @counting(2)
    def counts(image, iou, nms):
        return round(100 * iou if image else 110 * nms)

    first, second = parameter_moves(write_counts(tmp_path / "counts.parquet", counts), GRID)
    assert first.parameter == "pred_iou_thresh"
    assert first.low == 0
    assert 0.6 < first.first_frac < 0.9  # all resamples but those of the other image alone
    assert first.first_frac + second.first_frac == pytest.approx(1)


def test_parameters_that_move_nothing_share_the_credit(tmp_path):
    @counting(3)
    def counts(image, iou, nms):
        return 5

    found = parameter_moves(write_counts(tmp_path / "counts.parquet", counts), GRID)
    assert [(one.range, one.first_frac) for one in found] == [(0, 0.5), (0, 0.5)]


def test_an_image_without_results_at_some_settings_and_points_beside_the_grid(tmp_path):
    @counting(3)
    def counts(image, iou, nms):
        return None if image == 2 and iou == 0.7 else 1000 if iou == 0.9 else round(100 * iou)

    beside = setting("beside", pred_iou_thresh=0.9)
    found = parameter_moves(write_counts(tmp_path / "counts.parquet", counts, [*GRID, beside]), [*GRID, beside])
    assert [(one.parameter, one.range) for one in found] == [("pred_iou_thresh", 50), ("box_nms_thresh", 0)]


def test_without_a_sweep_nothing_moves(tmp_path):
    @counting(1)
    def counts(image, iou, nms):
        return 3

    assert parameter_moves(write_counts(tmp_path / "counts.parquet", counts, GRID[:1]), GRID[:1]) == []


def test_many_images_are_drawn_in_groups(tmp_path, monkeypatch):
    @counting(40)
    def counts(image, iou, nms):
        return round((image % 7) * 100 * iou)

    path = write_counts(tmp_path / "counts.parquet", counts)
    (whole, _), grouped = parameter_moves(path, GRID), None
    monkeypatch.setattr(moves, "_MOST_DRAWN", 16)
    grouped = parameter_moves(path, GRID)[0]
    assert grouped.range == pytest.approx(whole.range)
    assert grouped.low < grouped.range < grouped.high
    assert grouped.high - grouped.low == pytest.approx(whole.high - whole.low, rel=0.6)
