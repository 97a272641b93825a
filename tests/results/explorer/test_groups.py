"""What the explorer offers to choose from."""

import dataclasses

from made_results import make_config
from maskgrid.config.models import GeneratorConfig
from maskgrid.plan.passes import Recording, passes_of
from maskgrid.plan.plan import make_plan
from maskgrid.results.explorer.groups import common_recording, run_groups, settings_data, values_of


def test_only_values_that_all_passes_recorded_are_offered(tmp_path):
    runs = make_plan(make_config(), tmp_path, tmp_path).runs
    narrow = Recording(0.4, 0.1, (0.0,), (0.5, 1.0))
    changed = [runs[0], dataclasses.replace(runs[1], recording=narrow)]
    assert common_recording(changed) == Recording(0.4, 0.1, (0.0,), (0.5, 1.0))


def test_every_choice_of_passes_is_a_group(tmp_path):
    sweep = {"grid": {"points_per_side": [2, 4], "crop_n_layers": [0, 1], "min_mask_region_area": [0, 7]}}
    plan = make_plan(make_config(sweep=sweep, annotations=["baseline"]), tmp_path, tmp_path)
    groups = run_groups(plan)
    assert len(groups) == 4
    assert groups[0].setting == plan.baseline
    data = [group.data(plan.baseline) for group in groups]
    assert [each["title"] for each in data] == [
        "as baseline",
        "points_per_side 2, crop_n_layers 0",
        "points_per_side 2",
        "crop_n_layers 0",
    ]
    for group, each in zip(groups, data, strict=True):
        generator = {**plan.config.generator.model_dump(), **each["generator"]}
        assert [pass_.name for pass_ in passes_of(GeneratorConfig(**generator))] == each["passes"]
        assert len(group.runs) == generator["crop_n_layers"] + 1


def test_every_setting_has_its_group_and_its_values(tmp_path):
    sweep = {"grid": {"points_per_side": [2, 4], "pred_iou_thresh": [0.3, 0.5]}}
    plan = make_plan(make_config(sweep=sweep, annotations=["baseline"]), tmp_path, tmp_path)
    groups = run_groups(plan)
    listed = settings_data(plan, groups)
    assert (listed[0]["label"], listed[0]["values"]) == (plan.baseline.label, {})
    by_id = {setting.id: setting for setting in plan.settings}
    assert [one["id"] for one in listed] == list(by_id)
    for one in listed:
        setting = by_id[one["id"]]
        assert values_of(plan.baseline) | one["values"] == values_of(setting)
        assert [pass_.name for pass_ in passes_of(setting.generator)] == groups[one["group"]].data(setting)["passes"]
