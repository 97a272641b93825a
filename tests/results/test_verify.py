"""``maskgrid verify`` names every missing, truncated, foreign or stale file of a results folder, and no other."""

import shutil
from pathlib import Path

import numpy as np
import orjson
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import scene
from killing import RememberingNetwork, run_all, tiny_plan
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.merge import gather, merge_setting
from maskgrid.automatic.replay.stage import replay_shard
from maskgrid.cli.main import main
from maskgrid.config.files import save_config
from maskgrid.dataset.index import index_dataset
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import Plan
from maskgrid.prompted.merge import merge_prompted
from maskgrid.prompted.prompt import prompt_shard
from maskgrid.prompted.prompter import Prompter
from maskgrid.prompted.prompts import write_prompts
from maskgrid.results.accept import write_provenance
from maskgrid.results.explorer.stage import write_explorer
from maskgrid.results.report.stage import write_report
from maskgrid.results.statistics.stage import write_statistics
from maskgrid.results.verify import verify_results


@pytest.fixture(scope="module")
def network(demo_model):
    return RememberingNetwork(Proposer(demo_model))


@pytest.fixture(scope="module")
def finished(network, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "source").mkdir()
    for number in range(4):
        PIL.Image.fromarray(scene(40, 56 + number, seed=number)).save(folder / "source" / f"{number}.png")
    plan = tiny_plan(folder / "source", folder / "results")
    run_all(plan, network)
    return folder


@pytest.fixture
def plan(finished, tmp_path) -> Plan:
    return tiny_plan(finished / "source", shutil.copytree(finished / "results", tmp_path / "results"))


def found(plan: Plan) -> list[tuple[str, str]]:
    return [(problem.kind, problem.path.relative_to(plan.layout.root).as_posix()) for problem in verify_results(plan)]


def files(plan: Plan, pattern: str = "*") -> list[Path]:
    return [path for path in sorted(plan.layout.root.rglob(pattern)) if path.is_file()]


def test_a_finished_run_has_no_problems(plan):
    assert found(plan) == []
    assert len(files(plan)) == 4 + 2 * 2 * 2 + 2 * 2 + 1 + 1 + 5 + 3 + 3 + 1 + 4 * 2 + 2


def test_every_missing_file_is_named(plan):
    for path in files(plan):
        path.rename(path.with_name("aside"))
        assert ("missing", path.relative_to(plan.layout.root).as_posix()) in found(plan)
        path.with_name("aside").rename(path)


def test_every_truncated_file_is_named(plan):
    for path in files(plan):
        content = path.read_bytes()
        for length in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            kinds = {kind for kind, name in found(plan) if name == path.relative_to(plan.layout.root).as_posix()}
            assert kinds & {"truncated", "foreign"}, (path, length)
        path.write_bytes(content)


def test_every_damaged_table_is_named(plan):
    for path in files(plan, "*.parquet"):
        content = path.read_bytes()
        if pq.read_metadata(path).num_rows == 0:
            continue
        column = pq.read_metadata(path).row_group(0).column(0)
        damaged = bytearray(content)
        start = column.data_page_offset if column.dictionary_page_offset is None else column.dictionary_page_offset
        damaged[start + column.total_compressed_size - 1] ^= 1  # last byte of the column's last page
        path.write_bytes(damaged)
        problems = verify_results(plan, pages=True)
        assert [(problem.kind, problem.path) for problem in problems] == [("damaged", path)]
        path.write_bytes(content)
    assert verify_results(plan, pages=True) == []


def test_foreign_tables_are_named(plan):
    for path in files(plan, "*.parquet"):
        content = path.read_bytes()
        pq.write_table(pa.table({"x": [1]}), path)
        assert ("foreign", path.relative_to(plan.layout.root).as_posix()) in found(plan)
        path.write_bytes(content)
    path = plan.layout.annotations("baseline")
    path.write_bytes(orjson.dumps({"info": {}, "images": [], "annotations": []}))
    assert found(plan) == [("foreign", "annotations/baseline.json")]


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("model", {"dtype": "bfloat16"}),
        ("model", {"deterministic": True}),
        ("model", {"apply_postprocessing": False}),
    ],
    ids=["dtype", "deterministic", "apply_postprocessing"],
)
def test_another_model_config_makes_candidates_stale(plan, section, values):
    other = tiny_plan(Path(plan.config.dataset.source), plan.layout.root, **{section: values})
    problems = found(other)
    assert len(problems) == 4
    assert {(kind, name.split("/")[0]) for kind, name in problems} == {("stale", "candidates")}


def test_another_sweep_makes_selections_and_later_outputs_stale(plan):
    sweep = {"grid": {"pred_iou_thresh": [0.4, 0.6], "crop_n_layers": [0, 1]}}
    other = tiny_plan(Path(plan.config.dataset.source), plan.layout.root, sweep=sweep)
    assert {name.split("/")[0] for _, name in found(other)} == {
        "selections",
        "selections.json",
        "statistics",
        "accepted.json",
        "provenance.json",
    }


def test_a_looser_floor_makes_candidates_stale(plan):
    other = tiny_plan(Path(plan.config.dataset.source), plan.layout.root, record={"pred_iou_thresh": 0.1})
    assert {name.split("/")[0] for _, name in found(other)} == {"candidates"}


def test_a_new_replay_makes_later_outputs_stale(plan, network):
    sweep = {"points": [{"name": "loose", "pred_iou_thresh": 0.35}]}
    other = tiny_plan(Path(plan.config.dataset.source), plan.layout.root, sweep=sweep)
    for shard in other.shards():
        replay_shard(other, shard)
    # The report is among them, because its explorer offers the sweep's passes, which have changed.
    later = {"selections.json", "statistics", "report", "accepted.json", "provenance.json"}
    assert {name.split("/")[0] for _, name in found(other)} == later
    gather(other)
    merge_setting(other, "baseline")
    assert not [name for _, name in found(other) if name == "selections.json"]
    assert not [name for _, name in found(other) if name.startswith("annotations")]


def test_a_report_of_other_tables_is_stale(plan):
    sweep = {"points": [{"name": "loose", "pred_iou_thresh": 0.35}]}
    other = tiny_plan(Path(plan.config.dataset.source), plan.layout.root, sweep=sweep)
    for shard in other.shards():
        replay_shard(other, shard)
    write_statistics(other)
    stale = [name for kind, name in found(other) if kind == "stale" and name.startswith("report/")]
    pages = ["index.html", "explorer.html", "explorer/images.js", "overlays/baseline.jpg"]
    # The explorer has all passes of the sweep, of which there are fewer now.
    pages += ["provenance.js", *(f"explorer/{shard}" for shard in other.shards())]
    assert stale == [f"report/{name}" for name in pages]
    gather(other)
    write_report(other)
    write_provenance(other)
    for shard in other.shards():
        write_explorer(other, shard)
    assert not [name for _, name in found(other) if name.startswith("report/")]


@pytest.mark.parametrize("kind", ["js", "jpg"])
def test_changed_data_of_the_explorer_are_named(plan, kind):
    """A file of the same length in the place of another, which only its hash tells apart."""
    path = files(plan, f"report/explorer/*/*.{kind}")[0]
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    assert found(plan) == []
    problems = [(one.kind, one.path) for one in verify_results(plan, pages=True)]
    assert problems == [("damaged", path)]


def test_data_of_the_explorer_that_were_made_from_others_are_stale(plan):
    path = files(plan, "report/explorer/*/*.js")[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(content[16:80], b"0" * 64))
    assert found(plan) == [("stale", path.relative_to(plan.layout.root).as_posix())]


def test_new_images_make_the_shard_stale(plan, finished, tmp_path):
    source = shutil.copytree(finished / "source", tmp_path / "more")
    PIL.Image.fromarray(scene(30, 30, seed=9)).save(source / "new.png")
    other = tiny_plan(source, plan.layout.root)
    index_dataset(other)
    kinds = found(other)
    assert {"stale"} <= {kind for kind, _ in kinds} <= {"stale", "missing"}
    assert any(name.startswith("candidates/") for _, name in kinds)


@pytest.fixture
def prompted(plan, finished, demo_model, tmp_path) -> Plan:
    """A finished run with prompts, one of them a mask image."""
    mask = np.zeros((40, 57), np.uint8)
    mask[10:30, 10:40] = 255
    PIL.Image.fromarray(mask).save(tmp_path / "mask.png")
    objects = tmp_path / "objects.csv"
    objects.write_text('image,box_xyxy,mask\n0.png,"[2,3,30,20]",\n1.png,,mask.png\n')
    other = tiny_plan(finished / "source", plan.layout.root, prompts={"source": str(objects)})
    assert ("missing", "prompted/prompts.parquet") in found(other)
    write_prompts(other)
    _segment(other, demo_model)
    merge_prompted(other)
    assert found(other) == []
    return other


def _segment(plan: Plan, model) -> None:
    for shard in plan.shards():
        prompt_shard(plan, shard, lambda *_: Prompter(model))


def test_prompted_outputs_are_checked(prompted):
    for path in files(prompted, "prompted/*"):
        path.write_bytes(path.read_bytes()[:-1])
    assert len(found(prompted)) == 7
    assert {kind for kind, _ in found(prompted)} == {"truncated"}


@pytest.mark.parametrize("changed", ["box", "picture"])
def test_changed_prompts_make_only_dependent_outputs_stale(prompted, demo_model, tmp_path, changed):
    written = files(prompted, "prompted/*")
    if changed == "box":
        objects = tmp_path / "objects.csv"
        objects.write_text(objects.read_text().replace("30,20", "30,21"))
    else:
        PIL.Image.fromarray(np.full((40, 57), 255, np.uint8)).save(tmp_path / "mask.png")
    assert found(prompted) == [("stale", "prompted/prompts.parquet")]
    write_prompts(prompted)
    (stale,) = found(prompted)
    kept = [path for path in written if path.stem in prompted.shards() and path.stem not in stale[1]]
    content = {path: (path.read_bytes(), path.stat().st_ino) for path in kept}
    assert len(kept) == 1
    with pytest.raises(UserError, match=r"was made from other prompts.*run maskgrid prompt --shard"):
        merge_prompted(prompted)
    _segment(prompted, demo_model)
    assert content == {path: (path.read_bytes(), path.stat().st_ino) for path in kept}
    of_all = ["statistics.parquet", "settings.parquet", "annotations.json", "worst.jpg"]
    # Apart from files that a job keeps until its output is used.
    assert [name for kind, name in found(prompted) if kind == "stale"] == [f"prompted/{name}" for name in of_all]
    merge_prompted(prompted)
    assert found(prompted) == []


def test_other_parameters_make_prompted_masks_stale(prompted):
    prompts = prompted.config.prompts.model_dump() | {"mask_threshold": 1.0}
    other = tiny_plan(Path(prompted.config.dataset.source), prompted.layout.root, prompts=prompts)
    assert found(other) == [("stale", f"prompted/{shard}.parquet") for shard in other.shards()]


def test_leftovers_are_named(plan):
    root = plan.layout.root
    (root / "annotations" / ".baseline.json.host.1.part").write_bytes(b"half")
    (root / "candidates" / "demo" / "crop0-grid4" / ".d01-0.parquet.journal").mkdir()
    (root / "selections" / "d09-1ff.parquet").write_bytes(b"")
    (root / "selections" / "notes.txt").write_text("mine")
    assert found(plan) == [
        ("left over", "annotations/.baseline.json.host.1.part"),
        ("left over", "candidates/demo/crop0-grid4/.d01-0.parquet.journal"),
        ("unneeded", "selections/d09-1ff.parquet"),
        ("foreign", "selections/notes.txt"),
    ]


def test_the_command_reports_problems(plan, tmp_path, capsys):
    save_config(plan.config, tmp_path / "config.json")
    options = ["verify", "--config", str(tmp_path / "config.json"), "--results", str(plan.layout.root)]
    assert main(options) == main([*options, "--pages"]) == 0
    assert "complete" in capsys.readouterr().out
    plan.layout.annotations("baseline").unlink()
    assert main(options) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"missing    {plan.layout.annotations('baseline')}: there is no such file"]
    assert "1 files" in said.err


def test_the_provenance_explains_a_run(plan):
    content = orjson.loads(plan.layout.provenance.read_bytes())
    assert content["config"] == plan.config.model_dump(mode="json")
    assert [setting["id"] for setting in content["settings"]] == [setting.id for setting in plan.settings]
    assert content["images"] == {"n": 4, "statuses": {"ok": 4}}
    (network,) = content["made_from"]["passes"]["demo/crop0-grid4"]
    assert len(network["checkpoint_sha256"]) == 64
    assert (network["device"], network["dtype"], network["apply_postprocessing"]) == ("cpu", "float32", True)
    assert network["packages"]["sam2"]
    assert content["written"]["candidates"]["seconds"] >= 0
    assert content["written"]["report"]["seconds"] >= 0


def test_outputs_of_removed_images_are_unneeded_but_no_failure(plan, finished, tmp_path, network, capsys):
    source = shutil.copytree(finished / "source", tmp_path / "fewer")
    for path in sorted(source.iterdir())[1:]:
        path.unlink()
    other = tiny_plan(source, plan.layout.root)
    run_all(other, network)
    assert {kind for kind, _ in found(other)} == {"unneeded"}
    config = tmp_path / "config.json"
    save_config(other.config, config)
    assert main(["verify", "--config", str(config), "--results", str(plan.layout.root)]) == 0
    assert "it may be deleted" in (said := capsys.readouterr().out)
    assert "complete, and made from this config" in said


def test_prompted_outputs_alone_are_verified_alone(prompted, tmp_path):
    for name in ("candidates", "selections", "statistics"):
        shutil.rmtree(prompted.layout.root / name)
    assert found(prompted) == []
    prompted.layout.prompted_worst.unlink()
    assert found(prompted) == [("missing", "prompted/worst.jpg")]
