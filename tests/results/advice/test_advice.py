"""``maskgrid recommend`` picks the setting closest to a goal, with reasons for and against it."""

import numpy as np
import pytest
import yaml

from made_results import make_config
from made_truth import make_plan_with_truth, masks_as_objects
from maskgrid.cli import advice
from maskgrid.config.models import Config
from maskgrid.config.spaces import generator_space
from maskgrid.config.sweep import expand
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import make_plan
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.advice import evidence
from maskgrid.results.advice.evidence import gather
from maskgrid.results.advice.goals import Goal
from maskgrid.results.advice.steadiness import steadiness_of
from maskgrid.results.advice.text import config_block, recommend
from maskgrid.results.statistics.bootstrap import ratio_intervals
from maskgrid.results.statistics.curves import answered
from maskgrid.results.statistics.stage import settings_text


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    made = make_plan_with_truth(tmp_path_factory.mktemp("recommend"), masks_as_objects)
    write_truth(made)
    evaluate_shard(made, "d0")
    write_accuracies(made)
    return made


def rows(plan, table):
    return {row["setting_id"]: row for row in read_table(plan.layout.statistics(table)).to_pylist()}


@pytest.mark.parametrize("target", [0.0, 3.0, 4.4, 1000.0])
def test_settings_are_ordered_by_distance_to_the_count(plan, target):
    summary = rows(plan, "summary")
    found = gather(plan, Goal("masks", target))
    distances = [abs(summary[one.result.setting.id]["n_masks_mean"] - target) for one in found.contenders]
    assert len(distances) == len(plan.settings)
    assert distances == sorted(distances)


def test_the_most_accurate_setting_is_taken(plan):
    accuracy = rows(plan, "accuracy_summary")
    for name, column in (("f1", "f1_50"), ("recall", "ar_1000")):
        best = gather(plan, Goal(name)).contenders[0]
        assert best.value == max(row[column] for row in accuracy.values())
        assert best.low <= best.value <= best.high
        assert best.low == pytest.approx(accuracy[best.result.setting.id][f"{column}_low"])


def test_limits_exclude_settings(plan):
    summary = rows(plan, "summary")
    found = gather(plan, Goal("recall", None, 2.0, 4.0))
    counts = [summary[one.result.setting.id]["n_masks_mean"] for one in found.contenders]
    assert 2.0 <= min(counts) <= max(counts) <= 4.0
    assert 0 < found.n_left_out == len(plan.settings) - len(counts)


def test_the_steadiest_setting_is_not_one_with_few_masks(plan):
    """A setting that keeps almost nothing is steady but useless."""
    summary = rows(plan, "summary")
    base = summary[plan.baseline.id]["n_masks_mean"]
    counts = [one.result.n_masks for one in gather(plan, Goal("steady")).contenders]
    assert base / 2 <= min(counts)
    assert len(counts) < len(gather(plan, Goal("steady", min_masks=0.0)).contenders)
    assert min(one.result.n_masks for one in gather(plan, Goal("steady", min_masks=0.0)).contenders) < base / 2
    limit = min(row["n_masks_mean"] for row in summary.values() if row["n_masks_mean"] > 0)
    assert limit < base / 2
    few = gather(plan, Goal("steady", max_masks=limit)).contenders
    assert 0 < max(one.result.n_masks for one in few) <= limit


def test_shares_of_replicates_add_up(plan):
    contenders = gather(plan, Goal("masks", 4.0)).contenders
    assert sum(one.best_frac for one in contenders) == pytest.approx(1.0)
    # Settings with the same masks are equally good.
    for one in contenders:
        same = [two for two in contenders if (two.value, two.low, two.high) == (one.value, one.low, one.high)]
        assert max(two.best_frac for two in same) >= one.best_frac


def test_the_lines_to_copy_make_the_setting(plan):
    for setting in plan.settings:
        block = yaml.safe_load(config_block(setting, plan.settings))
        config = Config.model_validate(block)
        assert expand(generator_space(config), None)[0].id == setting.id


@pytest.mark.parametrize(
    ("generator", "sweep"),
    [
        ({"tile_size_px": 64}, None),
        ({"tile_size_px": 64, "tile_overlap_px": 8, "pred_iou_thresh": 0.5}, None),
        ({}, {"grid": {"tile_size_px": [None, 64]}}),
        ({"tile_size_px": 128}, {"grid": {"tile_size_px": [None, 64], "tile_overlap_px": [None, 8]}}),
        ({"points_per_side": None, "point_grids": [[[0.5, 0.5]]]}, None),
    ],
)
def test_the_lines_to_copy_say_what_is_off_too(tmp_path, generator, sweep):
    """As tiles are in most configs; the dataset card has such lines as well."""
    values = {"generator": generator}
    plan = make_plan(Config.model_validate({**values, "sweep": sweep}), tmp_path, tmp_path / "results")
    for setting in plan.settings:
        block = yaml.safe_load(config_block(setting, plan.settings)) or {}
        config = Config.model_validate({"generator": generator | block.get("generator", {})})
        assert expand(generator_space(config), None)[0].id == setting.id


def test_the_text_names_setting_reasons_and_config(plan):
    said = recommend(plan, Goal("f1"))
    best = gather(plan, Goal("f1")).contenders[0]
    assert f"Take {best.result.setting.label}" in said
    assert "How sure: over 1,000 resamplings" in said
    assert "generator:" in said
    assert "Out of reach" not in said
    assert "Out of reach: the settings give" in recommend(plan, Goal("masks", 1000.0))
    assert "its uncertainty is not estimated" in recommend(plan, Goal("steady"))


def without_a_goal(plan):
    return advice.recommend(plan, None, None, None, None, None)


def test_without_a_goal_accuracy_decides_where_it_is_known(plan, tmp_path):
    first, rest = without_a_goal(plan).split("\n", 1)
    assert first == (
        "No goal was given: chosen by --f1, as there are annotated objects. "
        "Other goals: --masks N, --coverage SHARE, --steady, --recall"
    )
    assert rest == recommend(plan, Goal("f1"))
    other = make_plan_with_truth(tmp_path, lambda _: {"images": [], "annotations": []})
    write_truth(other)
    evaluate_shard(other, "d0")
    write_accuracies(other)
    first, rest = without_a_goal(other).split("\n", 1)
    assert first == (
        "No goal was given: chosen by --steady. "
        "Other goals: --masks N, --coverage SHARE, --f1, --recall (these two need annotated objects)"
    )
    assert rest == recommend(other, Goal("steady"))


def test_a_goal_that_was_given_needs_no_word_about_others(plan):
    assert advice.recommend(plan, None, None, "steady", None, None) == recommend(plan, Goal("steady"))


def test_without_neighbours_another_goal_is_offered(plan, monkeypatch):
    monkeypatch.setattr(evidence, "steadiness_of", lambda _: {})
    with pytest.raises(UserError, match=r"none is the steadiest; widen sweep\.grid, or choose another goal"):
        recommend(plan, Goal("steady"))


def test_the_table_of_settings_has_their_accuracy(plan):
    text = settings_text(plan, 5)
    best = next(iter(rows(plan, "accuracy_summary").values()))
    assert "AR@1000" in text
    assert f"{best['f1_50']:.3f}" in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (Goal("coverage", 7.0), "from 0 to 1, not 7"),
        (Goal("masks", -1.0), "not be negative"),
        (Goal("masks", 3.0, None, 0.0), "no setting has this number of masks"),
    ],
)
def test_goals_without_sense_are_refused(plan, goal, message):
    with pytest.raises(UserError, match=message):
        recommend(plan, goal)


def test_recall_needs_objects(tmp_path):
    plan = make_plan_with_truth(tmp_path, lambda _: {"images": [], "annotations": []})
    write_truth(plan)
    evaluate_shard(plan, "d0")
    write_accuracies(plan)
    with pytest.raises(UserError, match="annotated objects, but there are none"):
        recommend(plan, Goal("recall"))


def test_steadiness_is_the_relative_change_to_neighbouring_settings():
    sweep = {"grid": {"pred_iou_thresh": [0.2, 0.3, 0.5], "box_nms_thresh": [0.5, 0.7]}}
    settings = expand(generator_space(make_config(sweep=sweep, annotations=["baseline"])), None)
    count = {
        setting.id: 100 * setting.generator.pred_iou_thresh + 10 * setting.generator.box_nms_thresh
        for setting in settings
    }
    results = answered(settings, [{"setting_id": key, "n_masks_mean": n} for key, n in count.items()])
    found = steadiness_of(results)
    # The baseline lies in the middle of the grid with 37 masks; its neighbours have 27, 57 and 35.
    middle = found[settings[0].id]
    assert middle.n_neighbours == 3
    assert middle.mean_change == pytest.approx((10 + 20 + 2) / 3 / 37)
    assert (middle.most_parameter, middle.most_change) == ("pred_iou_thresh", pytest.approx(20 / 37))


def test_intervals_of_ratios_match_resampled_sums():
    random = np.random.default_rng(3)
    weight = random.integers(0, 9, (40, 2)).astype(float)
    value = weight * random.random((40, 2))
    found = ratio_intervals(value, weight)
    assert found.mean == pytest.approx(value.sum(0) / weight.sum(0))
    draws = random.integers(40, size=(4000, 40))
    means = value[draws].sum(1) / weight[draws].sum(1)
    assert found.low == pytest.approx(np.quantile(means, 0.025, axis=0), abs=0.01)
    assert found.high == pytest.approx(np.quantile(means, 0.975, axis=0), abs=0.01)
    nothing = ratio_intervals(np.zeros((40, 1)), np.zeros((40, 1)))
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()
