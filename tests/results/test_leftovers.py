"""Results of a former config are told by what they were made from; only what the workflow wrote is removed."""

import json
import os
import shutil

import pytest
import yaml

from killing import RememberingNetwork, run_all, stages, tiny_plan, write_images
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.merge import merge_setting
from maskgrid.cli.main import main
from maskgrid.config.files import save_config
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import Plan
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.exports.stage import export_setting, write_card
from maskgrid.results.leftovers import leftovers, tidy
from maskgrid.results.report.data import read_accuracy
from maskgrid.results.verify import verify_results

BEFORE = {
    "exports": ["card", "polygons", "sa1b"],
    "annotations": ["baseline", "loose"],
    "sweep": {"points": [{"name": "loose", "pred_iou_thresh": 0.3}]},
}
EXPORTS = [f"exports/{form}" for form in ("polygons/baseline.json", "polygons/loose.json")]
EXPORTS += [f"exports/{form}" for form in ("sa1b/baseline.tar", "sa1b/loose.tar")]
OF_LOOSE = ["annotations/loose.json", "exports/polygons/loose.json", "exports/sa1b/loose.tar"]
OF_LOOSE += ["report/overlays/loose.jpg"]
CARD = ["README.md", "croissant.json"]
ACCURACY = [f"statistics/{name}.parquet" for name in ("accuracy", "accuracy_summary")]
TRUTH = [f"ground_truth/{name}.parquet" for name in ("images", "objects")]


@pytest.fixture(scope="module")
def network(demo_model):
    return RememberingNetwork(Proposer(demo_model))


def truth_of(source):
    return {
        "source": str(source),
        "shard_size": 3,
        "max_failed_fraction": 0.5,
        "ground_truth": str(source / "truth.json"),
    }


@pytest.fixture(scope="module")
def finished(network, tmp_path_factory):
    """A finished run with every kind of result for people, tidied, as the workflow leaves it."""
    folder = tmp_path_factory.mktemp("finished")
    write_images(folder / "source")
    boxes = json.loads((folder / "source" / "boxes.json").read_text())
    for note in boxes["annotations"]:
        note["segmentation"] = [[2, 3, 20, 3, 20, 20, 2, 20]]
    (folder / "source" / "truth.json").write_text(json.dumps(boxes))
    plan = tiny_plan(folder / "source", folder / "results", **BEFORE, dataset=truth_of(folder / "source"))
    finish(plan, network)
    assert verify_results(plan) == []
    return folder


def finish(plan, network):
    for name, stage in stages(plan, network):
        if name == "statistics" and plan.ground_truth() is not None:
            write_truth(plan)
            for shard in plan.shards():
                evaluate_shard(plan, shard)
        stage(plan)
        if name == "statistics" and plan.ground_truth() is not None:
            write_accuracies(plan)
    for setting in plan.exported():
        for form in plan.config.exports:
            if form != "card":
                export_setting(plan, setting.label, form)
    if "card" in plan.config.exports:
        write_card(plan)
    tidy(plan)


@pytest.fixture
def folder(finished, tmp_path):
    copied = tmp_path / "copy"
    shutil.copytree(finished, copied)  # keeps files' times
    return copied


def later(folder, **changes) -> Plan:
    """The plan of another config in the same folder; the source is where the first run found it."""
    source = folder / "source"
    return tiny_plan(source, folder / "results", **{**BEFORE, "dataset": truth_of(source), **changes})


def named(plan):
    return sorted(path.relative_to(plan.layout.root).as_posix() for path in leftovers(plan))


def there(plan, names):
    return [name for name in names if (plan.layout.root / name).exists()]


# By what is left out of the config: the files that the config does not ask for any more.
DROPPED = {
    "nothing": ({}, []),
    "the polygons": ({"exports": ["card", "sa1b"]}, EXPORTS[:2]),
    "the archives": ({"exports": ["card", "polygons"]}, EXPORTS[2:]),
    "the card": ({"exports": ["polygons", "sa1b"]}, CARD),
    "all exports": ({"exports": []}, [*CARD, *EXPORTS]),
    "a label": ({"annotations": ["baseline"]}, OF_LOOSE),
    "the truth": ({"dataset": {"ground_truth": None, "shard_size": 3}}, [*ACCURACY, *TRUTH]),
}


@pytest.mark.parametrize("dropped", DROPPED)
def test_what_the_workflow_wrote_is_removed_and_nothing_else(folder, dropped):
    changes, expected = DROPPED[dropped]
    if "dataset" in changes:
        changes = {"dataset": {**truth_of(folder / "source"), **changes["dataset"]}}
    plan = later(folder, **changes)
    before = {path for path in plan.layout.root.rglob("*") if path.is_file()}
    tidy(plan)
    gone = before - {path for path in plan.layout.root.rglob("*") if path.is_file()}
    found = sorted(path.relative_to(plan.layout.root).as_posix() for path in gone)
    if dropped == "the truth":
        found = [name for name in found if not name.startswith("ground_truth/shards/")]
    assert found == sorted(expected)
    assert named(plan) == []


def changed_sweep(folder) -> Plan:
    return later(
        folder, generator={"points_per_side": 4, "pred_iou_thresh": 0.6, "stability_score_thresh": 0.5}, exports=[]
    )


def test_files_of_another_setting_are_named_by_verify(folder, network, capsys):
    plan = changed_sweep(folder)
    (plan.layout.root / "outputs.json").unlink()  # as an earlier version left it
    finish(plan, network)
    assert there(plan, [*EXPORTS, *CARD]) == [*EXPORTS, *CARD]
    assert {name for name in named(plan) if not name.startswith("exports")} == set(CARD)
    assert {"exports/polygons/baseline.json", "exports/sa1b/baseline.tar"} < set(named(plan))
    problems = verify_results(plan)
    assert {problem.kind for problem in problems} == {"unneeded"}
    save_config(plan.config, folder / "config.json")
    options = ["--config", str(folder / "config.json"), "--results", str(plan.layout.root)]
    assert main(["verify", *options]) == 0
    said = capsys.readouterr().out
    assert "unneeded   " + str(plan.layout.root / "exports/polygons/baseline.json") in said
    assert f"besides {len(problems)} files above that it does not need" in said


def test_stale_exports_that_the_config_asks_for_are_stale(folder, network):
    truthless = {**truth_of(folder / "source"), "ground_truth": None}
    plan = later(folder, sweep={"points": [{"name": "loose", "pred_iou_thresh": 0.2}]}, dataset=truthless)
    for name, stage in stages(plan, network):
        if not name.startswith("export"):
            stage(plan)
    problems = [problem for problem in verify_results(plan) if problem.path.parts[-3] == "exports"]
    assert {(problem.kind, problem.path.name) for problem in problems} == {
        ("stale", "loose.json"),
        ("stale", "loose.tar"),
    }


def test_a_users_own_files_stay(folder, network):
    """A changed card, a copy under another name, notes, and what was exported by hand."""
    root = folder / "results"
    with (root / "README.md").open("a") as stream:
        stream.write("licence: mine\n")
    shutil.copy(root / "exports/polygons/loose.json", root / "exports/polygons/mine.json")
    (root / "annotations" / "notes.json").write_text("{}")
    os.utime(root / "exports/sa1b/baseline.tar")
    plan = changed_sweep(folder)
    finish(plan, network)
    mine = ["README.md", "exports/polygons/mine.json", "annotations/notes.json", "exports/sa1b/baseline.tar"]
    assert there(plan, mine) == mine
    assert there(plan, ["croissant.json", "exports/polygons/baseline.json"]) == []
    # The notes are not ours: nothing is said about them.
    assert set(named(plan)) == set(mine) - {"annotations/notes.json"}


def test_current_masks_exported_by_hand_belong_to_the_run(folder):
    plan = later(folder, annotations=["baseline"])
    tidy(plan)
    merge_setting(plan, "loose")
    export_setting(plan, "loose", "polygons")
    export_setting(plan, "loose", "sa1b")
    tidy(plan)
    assert there(plan, OF_LOOSE) == OF_LOOSE[:3]
    assert named(plan) == []


def test_the_card_lists_what_the_config_asks_for(folder):
    truthless = {**truth_of(folder / "source"), "ground_truth": None}
    plan = later(folder, exports=["card", "sa1b"], annotations=["baseline"], dataset=truthless)
    write_card(plan)
    text = plan.layout.card.read_text()
    listed = [one["@id"] for one in json.loads(plan.layout.croissant.read_text())["distribution"]]
    for name in [*OF_LOOSE, *EXPORTS[:2], *ACCURACY]:
        assert name not in text
        assert name not in listed
    assert "exports/sa1b/baseline.tar" in listed
    names = {one["config_name"] for one in yaml.safe_load(text.split("---")[1])["configs"]}
    assert not names & {"accuracy", "accuracy_summary"}


def test_accuracies_of_other_masks_are_not_shown(folder, network):
    plan = later(folder, sweep={"points": [{"name": "loose", "pred_iou_thresh": 0.2}]})
    with pytest.raises(UserError, match="was made from other masks or annotated objects; run maskgrid accuracy again"):
        run_all(plan, network)
    with pytest.raises(UserError, match="run maskgrid accuracy again"):
        read_accuracy(plan)


def test_a_job_of_another_config_is_named_and_kept(folder):
    plan = later(folder)
    for name in ("prompted", "tracked"):
        shutil.copytree(plan.layout.root / "statistics", plan.layout.root / name)
    tidy(plan)
    assert named(plan) == ["prompted", "tracked"]
    assert there(plan, ["prompted/summary.parquet", "tracked/summary.parquet"])
    asking = later(folder, prompts={"source": "x.csv"}, tracking={"source": "clips"})
    assert not {"prompted", "tracked"} & set(named(asking))
