"""``maskgrid tune``: figures equal the workflow's, held-out images stay unseen, the outcome is stable and told."""

import json

import numpy as np
import pytest

from made_results import SWEEP, make_config, make_results
from made_truth import make_plan_with_truth, masks_as_objects
from maskgrid.automatic.replay.filters import Replay
from maskgrid.cli.main import main
from maskgrid.config.files import save_config
from maskgrid.config.models import Config
from maskgrid.config.tuning import TuneConfig
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import make_plan
from maskgrid.results.accuracy.image_truth import TrueObjects
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.advice.goals import Goal
from maskgrid.results.leftovers import leftovers
from maskgrid.results.report.stage import write_report
from maskgrid.results.tuning.evaluation import Evaluator
from maskgrid.results.tuning.images import read_images
from maskgrid.results.tuning.judgement import front, judge, loss, n_masks, value
from maskgrid.results.tuning.search import Budget, folds_of, search
from maskgrid.results.tuning.space import AXES, FILTER_AXES, Axis, Scale, SearchSpace, axes_for
from maskgrid.results.tuning.stage import outcome_table, settings_table, tune, write_tuning
from maskgrid.results.tuning.tables import OUTCOME
from maskgrid.results.tuning.text import tuned_text
from maskgrid.results.verify import verify_results


def drawn_points(n, seed=5):
    random = np.random.default_rng(seed)
    names = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh")
    rows = np.round(random.random((n, 4)) * (0.6, 0.6, 1, 1), 4)
    points = [dict(zip(names, row.tolist(), strict=True)) for row in rows]
    for place in range(0, n, 4):
        points[place]["min_mask_region_area"] = 5
    return [{"name": f"drawn{place}", **point} for place, point in enumerate(points)]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    sweep = {**SWEEP, "points": [*SWEEP["points"], *drawn_points(16)]}
    config = make_config(sweep).model_copy(update={"tune": TuneConfig(settings=150, folds=3)})
    made = make_plan_with_truth(tmp_path_factory.mktemp("tune"), masks_as_objects, config)
    write_truth(made)
    evaluate_shard(made, "d0")
    write_accuracies(made)
    return made


def evaluator(plan, name, target=None):
    goal = Goal(name, target)
    return Evaluator(read_images(plan, goal, None), goal, 0.0)


@pytest.mark.parametrize(
    ("name", "table", "column"),
    [
        ("f1", "accuracy_summary", "f1_50"),
        ("recall", "accuracy_summary", "ar_1000"),
        ("masks", "summary", "n_masks_mean"),
        ("coverage", "summary", "coverage_frac_mean"),
    ],
)
def test_figures_are_those_of_the_workflow(plan, name, table, column):
    """For every setting of the sweep, drawn ones with any thresholds among them."""
    rows = {row["setting_id"]: row for row in read_table(plan.layout.statistics(table)).to_pylist()}
    found = evaluator(plan, name, 1.0)
    values = value(found.goal, found.of(plan.settings).sum(axis=1))
    expected = [rows[setting.id][column] for setting in plan.settings]
    assert len(set(expected)) > 5
    assert values.tolist() == pytest.approx(expected, abs=1e-12)


def test_each_image_is_in_one_fold():
    for n_images, n_folds in ((2, 5), (7, 3), (40, 5)):
        folds = folds_of(n_images, n_folds, 0)
        assert (folds.sum(axis=0) == 1).all()
        assert folds.sum(axis=1).max() - folds.sum(axis=1).min() <= 1
        assert len(folds) == min(n_folds, n_images)


def found_with(plan, images, config):
    goal = Goal("f1")
    one = Evaluator(images, goal, 0.0)
    space = SearchSpace.of(plan.config, [plan.baseline], axes_for(None, plan.settings), one.recorded)
    return search(one, space, plan.settings, config, Budget(config.settings, None, lambda _: None))


def test_a_fold_is_searched_without_its_images(plan):
    """Objects of a fold's images change what is best there, but not what is chosen for it."""
    config = TuneConfig(settings=200, folds=3)
    images = read_images(plan, Goal("f1"), None)
    before = found_with(plan, images, config)
    for number, fold in enumerate(before.folds):
        changed = [
            type(image)(image.key, image.candidates, TrueObjects((), np.zeros(0, bool))) if is_held_out else image
            for image, is_held_out in zip(images, fold, strict=True)
        ]
        assert found_with(plan, changed, config).tuned[number].id == before.tuned[number].id


def test_the_same_seed_finds_the_same_and_tables_add_up(plan):
    first, second = (tune(plan, TuneConfig(settings=150, folds=3)) for _ in range(2))
    tables = [settings_table(first), outcome_table(plan, first)]
    assert tables[0].equals(settings_table(second))
    assert tables[1].equals(outcome_table(plan, second))
    assert tables[1].schema.equals(OUTCOME)
    rows, ways = tables[0].to_pylist(), {row["way"]: row for row in tables[1].to_pylist()}
    best = max(row["value"] for row in rows if row["value"] is not None)
    assert ways["tuned"]["value"] == best
    assert ways["sweep"]["value"] == max(row["value"] or 0 for row in rows if row["in_sweep"])
    assert sum(row["in_sweep"] for row in rows) == len(plan.settings)
    assert sum(row["n_folds"] for row in rows) == 3
    assert [row["setting_id"] for row in rows if row["is_best"]] == [ways["tuned"]["setting_id"]]
    assert len(rows) <= 150 + len(plan.settings)
    on_front = sorted((row["n_masks"], row["quality"]) for row in rows if row["on_front"])
    assert [quality for _, quality in on_front] == sorted({quality for _, quality in on_front})
    text = tuned_text(plan, first)
    assert all(words in text for words in ("Goal: the best F1", "Held out", "the sweep's best", "generator:"))


@pytest.mark.parametrize(
    "config",
    [
        {"goal": "recall", "max_masks": 4.0},
        {"goal": "panoptic"},
        {"goal": "masks", "target": 3.3},
        {"goal": "coverage", "target": 0.4},
        {"goal": "steady"},
        {"goal": "f1", "vary": ("box_nms_thresh",), "minutes": 0.0001, "settings": 100_000},
    ],
    ids=lambda config: config["goal"],
)
def test_every_goal_ends_with_a_setting_within_its_limits(plan, config):
    tuned = tune(plan, TuneConfig(**{"settings": 120, "folds": 2, **config}))
    found = tuned.evaluator
    losses = loss(tuned.goal, found.of(list(found.settings.values())).sum(axis=1))
    best = loss(tuned.goal, found.of([tuned.found.best]).sum(axis=1))
    assert best[0] == losses.min()
    count = n_masks(found.of([tuned.found.best]).sum(axis=1))[0]
    assert count <= config.get("max_masks", np.inf)
    if config["goal"] == "steady":
        base = n_masks(found.of([plan.baseline]).sum(axis=1))[0]
        assert count >= base / 2
    assert tuned.is_late == ("minutes" in config)
    assert f"Goal: {tuned.goal.words()}" in tuned_text(plan, tuned)


def test_noise_is_called_noise():
    random = np.random.default_rng(0)
    base = np.stack([np.ones(60), random.poisson(20, 60), random.random(60), np.ones(60)], axis=1)
    other, better = base.copy(), base.copy()
    other[:, 2] = random.permutation(base[:, 2])
    better[:, 2] += 0.3
    goal = Goal("f1")
    same, noise, clear = (judge(goal, [base, way])[1] for way in (base, other, better))
    assert same.is_noise
    assert same.gain.value == 0.0
    assert noise.is_noise
    assert not clear.is_noise
    assert clear.gain.high < 0.0  # the first is worse
    assert clear.held_out.low < clear.held_out.value < clear.held_out.high


def test_the_front_has_what_no_other_betters():
    counts, qualities = np.array([3.0, 1.0, 2.0, 3.0, 5.0, 1.0]), np.array([0.5, 0.2, 0.5, 0.6, np.nan, 0.1])
    assert front(counts, qualities) == [1, 2, 3]


def test_thresholds_stay_within_what_was_recorded():
    scale = Scale(Axis("pred_iou_thresh", 0.0, 1.0, 0.02), np.array([0.33333333, 0.5, 0.9]))
    assert [scale.value(share) for share in (0.0, 0.5, 1.0)] == [0.33333333, 0.5, 0.9]
    assert scale.moved(0.34, -1) == 0.33333333
    assert scale.moved(0.5, 1) == 0.52


@pytest.mark.parametrize(
    ("off_at", "shares", "expected"),
    [("low", (0.0, 0.24, 0.25, 1.0), [0, 0, 1, 9]), ("high", (0.0, 0.75, 0.76, 1.0), [1, 9, None, None])],
)
def test_a_filter_is_off_at_one_end_of_its_range(off_at, shares, expected):
    axis = Axis("max_masks", 1, 9, 1, whole=True, off_at=off_at, off=0 if off_at == "low" else None)
    assert [Scale(axis, np.array([1.0, 9.0])).value(share) for share in shares] == expected


@pytest.mark.parametrize("goal", [{"goal": "f1"}, {"goal": "steady"}, {"goal": "masks", "target": 2.5}])
def test_filters_are_searched_with_the_thresholds(plan, goal):
    every = tuple(axis.name for axis in AXES if axis.name != "crop_nms_thresh")
    tuned = tune(plan, TuneConfig(settings=200, folds=2, vary=every, **goal))
    assert [axis.name for axis in tuned.axes] == list(every)
    settings = list(tuned.evaluator.settings.values())
    values = [setting.parameters() for setting in settings]
    for axis in FILTER_AXES:
        found = {row[axis.name] for row in values}
        assert axis.off in found
        assert len(found) > 5
    # Each count is the replay's.
    columns = tuned.evaluator.of(settings)
    replays = [Replay(image.of(plan.baseline)) for image in tuned.evaluator.images]
    for place in range(0, len(settings), 10):
        counts = [len(replay.select(settings[place].generator, settings[place].filters)) for replay in replays]
        assert columns[place, :, 1].tolist() == counts
    assert settings_table(tuned).num_rows == len(settings)


def test_groups_of_axes(plan):
    names = [axis.name for axis in axes_for(("thresholds", "filters", "min_area_px"), plan.settings)]
    assert names[:4] == ["pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh"]
    assert {axis.name for axis in AXES} - set(names) == {"max_area_px", "min_area_frac"}
    assert len(set(names)) == len(names)
    assert axes_for(None, plan.settings) == axes_for(("thresholds",), plan.settings)


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        ({"vary": ("pred_iou_tresh",)}, r"tune\.vary: 'pred_iou_tresh' cannot be searched; did you mean 'pred_iou_th"),
        ({"min_masks": 1000.0}, r"tune: no setting tried fits the goal: .*at least 1000 masks"),
    ],
)
def test_mistakes_are_told(plan, tuning, message):
    with pytest.raises(UserError, match=message):
        tune(plan, TuneConfig(settings=10, **tuning))


def test_goals_need_what_they_measure(tmp_path):
    plan = make_results(tmp_path)
    with pytest.raises(UserError, match=r"tune: the goal is the best F1 .*set dataset\.ground_truth"):
        tune(plan, TuneConfig(goal="f1"))
    one = make_results(tmp_path / "one", n_images=0)  # the image without candidates alone
    with pytest.raises(UserError, match=r"needs at least 2 images on which every pass succeeded.*there are 1"):
        tune(one, TuneConfig(settings=10))
    tuned = tune(plan, TuneConfig(settings=30))
    assert tuned.goal.name == "steady"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"goal": "masks"}, "target belongs to the goals masks and coverage"),
        ({"target": 3.0}, "target belongs to the goals masks and coverage"),
        ({"goal": "coverage", "target": 40.0}, "a share of the image from 0 to 1, not 40"),
        ({"min_masks": 5.0, "max_masks": 3.0}, "min_masks: 5 is above max_masks: 3"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section, message):
    with pytest.raises(ValueError, match=message):
        TuneConfig(**section)


def test_a_config_without_the_section_is_written_as_before():
    assert "tune" not in Config().model_dump(mode="json")
    assert "tune" not in json.loads(Config().model_dump_json())
    assert Config.model_validate({"tune": {}}).model_dump()["tune"]["settings"] == 2000


def test_results_are_written_verified_and_reported(plan, capsys, tmp_path):
    write_tuning(plan)
    write_report(plan)
    of_tuning = [
        problem for problem in verify_results(plan) if "tuning" in str(problem) or "index.html" in str(problem)
    ]
    assert of_tuning == []
    page = (plan.layout.root / "report" / "index.html").read_text()
    part = page.split('id="tuning"')[1].split("</section>")[0]
    outcome = read_table(plan.layout.tuning("outcome")).to_pylist()
    assert f"{outcome[0]['held_out']:.3f}" in part
    assert "the sweep&#x27;s best" in part or "the sweep's best" in part
    other = plan.config.model_copy(update={"tune": TuneConfig(settings=151)})
    stale = make_plan(other, plan.base_dir, plan.layout.root)
    kinds = [
        (problem.kind, problem.path.name) for problem in verify_results(stale) if problem.path.parent.name == "tuning"
    ]
    assert sorted(kinds) == [("stale", "outcome.parquet"), ("stale", "settings.parquet")]
    without = make_plan(plan.config.model_copy(update={"tune": None}), plan.base_dir, plan.layout.root)
    assert {path.name for path in leftovers(without)} >= {"outcome.parquet", "settings.parquet"}


def test_the_command_prints_and_writes_only_when_told(plan, capsys, tmp_path):
    config, output = tmp_path / "config.json", tmp_path / "tried.parquet"
    save_config(plan.config, config)
    asked = ["tune", "--config", str(config), "--results", str(plan.layout.root), "--base", str(plan.base_dir)]
    assert main([*asked, "--recall", "--max-masks", "5", "--settings", "60", "--output", str(output)]) == 0
    assert "Goal: the best average recall" in capsys.readouterr().out
    assert read_table(output).num_rows > 30
    assert main([*asked, "tune.goal=masks", "tune.target=3", "tune.settings=40"]) == 0
    assert "Goal: 3 masks per image" in capsys.readouterr().out
    assert main([*asked, "--f1", "--filters", "--settings", "60", "--output", str(output)]) == 0
    assert {axis.name for axis in axes_for(("thresholds", "filters"), plan.settings)} < {
        *read_table(output).column_names
    }
    for wrong, message in (
        (["--write", "--filters"], "--write takes all from the config"),
        (["--write", "--f1"], "--write takes all from the config"),
        (["--coverage", "7"], "target: a coverage is a share"),
        (["--output", "tried.csv"], "name a .parquet file"),
    ):
        assert main([*asked, *wrong]) == 2
        assert message in capsys.readouterr().err
