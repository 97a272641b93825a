"""``maskgrid recommend --tracking`` names the setting with the best J&F, and how sure that is."""

import pyarrow as pa
import pytest
import yaml

from maskgrid.cli import advice
from maskgrid.config.files import parse_config
from maskgrid.io.errors import UserError
from maskgrid.io.tables import write_table
from maskgrid.plan.plan import make_plan
from maskgrid.tracked.accuracy.advice import recommend_tracking
from maskgrid.tracked.accuracy.tables import ACCURACY, ACCURACY_SETTINGS

SWEEP = {"points": [{"name": "often", "generate_every": 2, "pred_iou_thresh": 0.6}]}


def plan_of(folder, **tracking):
    given = {"source": "clips", "ground_truth": "truth", "sweep": SWEEP, **tracking}
    config = parse_config({"model": {"checkpoint": "demo"}, "tracking": given}, "c.yaml")
    return make_plan(config, folder, folder / "results")


def write(plan, values):
    """Write the tables; ``values`` are each setting's J&F of one object in each video."""
    rows, settings = [], []
    for name, found in values.items():
        known = {"setting": name, "message": None, "category": None, "object_id": 1}
        rows += [
            {
                **known,
                "video_key": f"v{n}",
                "truth_id": "1",
                "status": "ok",
                "n_frames": 1,
                "j": v,
                "f": v,
                "j_and_f": v,
            }
            for n, v in enumerate(found)
        ]
        mean = sum(found) / len(found) if found else None
        measures = dict.fromkeys(("j", "f", "j_and_f", "hota", "det_a", "ass_a", "idf1"), mean)
        counts = dict.fromkeys(("n_videos", "n_truth", "n_matched", "n_masklets"), len(found))
        settings.append({"setting": name, "parameters": None, **counts, **measures})
    layout, origin = plan.layout.tracked, {"fingerprint": "x"}
    write_table(layout.accuracy, pa.Table.from_pylist(rows, ACCURACY), origin)
    write_table(layout.accuracy_settings, pa.Table.from_pylist(settings, ACCURACY_SETTINGS), origin)
    return plan


def recommend(plan, other=None):
    return advice.recommend(plan, None, None, other, None, None)


def test_the_best_setting_comes_with_its_lines_of_config(tmp_path):
    plan = write(plan_of(tmp_path), {"baseline": [0.5, 0.6, 0.7], "often": [0.6, 0.7, 0.8]})
    said = recommend(plan, "tracking")
    assert "Take often: generate_every 2, pred_iou_thresh 0.6" in said
    assert "measured on 3 objects of 3 videos" in said
    assert "no other setting's J&F is higher in 100%" in said
    block = yaml.safe_load(said.partition("To make it the baseline of your config:")[2])
    assert block == {"tracking": {"automatic": {"generate_every": 2}}, "generator": {"pred_iou_thresh": 0.6}}


def test_a_lead_in_one_video_alone_is_not_sure(tmp_path):
    plan = write(plan_of(tmp_path), {"baseline": [0.9, 0.1, 0.1], "often": [0.1, 0.3, 0.3]})
    said = recommend(plan, "tracking")
    assert "Take baseline" in said
    # Worse unless the first video is drawn: 1 - (2/3)^3 of the resamplings.
    share = int(said.partition("is higher in ")[2].partition("%")[0])
    assert 65 < share < 75
    assert "To make it" not in said


def test_without_statistics_of_images_it_is_the_default(tmp_path):
    plan = write(plan_of(tmp_path), {"baseline": [0.5], "often": [0.4]})
    assert recommend(plan) == recommend_tracking(plan)
    assert "unknown, for there is one video" in recommend(plan)


@pytest.mark.parametrize(
    ("tracking", "values", "words"),
    [
        ({"ground_truth": None}, {"baseline": [0.5]}, "set tracking.ground_truth"),
        ({}, {"baseline": [], "often": []}, "no true object was measured"),
        ({}, None, "settings.parquet"),
    ],
)
def test_without_accuracies_it_is_an_error(tmp_path, tracking, values, words):
    plan = plan_of(tmp_path, **tracking)
    if values is not None:
        write(plan, values)
    with pytest.raises(UserError, match=words):
        recommend(plan, "tracking")


def test_objects_from_prompts_have_one_setting(tmp_path):
    plan = write(plan_of(tmp_path, prompts="p.csv", sweep=None), {"baseline": [0.5, 0.7]})
    assert "There is one setting" in recommend(plan, "tracking")
