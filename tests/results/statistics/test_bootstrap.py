import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgrid.results.statistics import bootstrap
from maskgrid.results.statistics.bootstrap import mean_intervals


def test_one_image_is_its_own_interval():
    intervals = mean_intervals(np.array([[7.0, 0.3]]))
    for end in (intervals.mean, intervals.low, intervals.high):
        assert end.tolist() == [7.0, 0.3]


def test_the_interval_has_the_width_from_theory():
    values = np.random.default_rng(0).normal(10, 2, (400, 1))
    intervals = mean_intervals(values)
    error = values.std() / np.sqrt(400)
    assert intervals.low[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert intervals.high[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_all_columns_use_the_same_resamples():
    random = np.random.default_rng(1)
    values = random.poisson(50, (30, 1)).astype(float)
    shifted = mean_intervals(np.hstack([values, values + 3, values - values]))
    assert shifted.low[1] == pytest.approx(shifted.low[0] + 3)
    assert shifted.high[2] - shifted.low[2] == 0
    alone = mean_intervals(values + 3)
    assert alone.low[0] == pytest.approx(shifted.low[1])


def test_chunks_do_not_matter(monkeypatch):
    values = np.random.default_rng(2).integers(0, 100, (17, 3)).astype(float)
    whole = mean_intervals(values)
    monkeypatch.setattr(bootstrap, "_WEIGHTS_AT_ONCE", 17 * 7)
    assert mean_intervals(values).low.tolist() == whole.low.tolist()


@given(st.integers(1, 12))
def test_a_missing_image_is_left_out_of_its_column(n_present):
    values = np.full((12, 2), 4.0)
    values[n_present:, 1] = np.nan
    intervals = mean_intervals(values)
    assert intervals.mean.tolist() == [4.0, 4.0]
    assert intervals.low.tolist() == pytest.approx([4.0, 4.0])


def test_no_values_give_nan():
    intervals = mean_intervals(np.full((3, 1), np.nan))
    assert np.isnan([intervals.mean[0], intervals.low[0], intervals.high[0]]).all()
    assert np.isnan(mean_intervals(np.empty((0, 1))).mean[0])
