"""The verdict on a run: which share of bad images it bears, and what it says about them."""

import json
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from killing import RememberingNetwork, run_all, tiny_plan, write_images
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.config.dataset import DatasetConfig
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin, read_table, write_table
from maskgrid.results.accept import accept, failed_line


@pytest.fixture(scope="module")
def folder(demo_model, tmp_path_factory):
    """A finished run of five good images and a truncated one."""
    folder = tmp_path_factory.mktemp("run")
    write_images(folder / "source")
    run_all(tiny_plan(folder / "source", folder / "results"), RememberingNetwork(Proposer(demo_model)))
    return folder


def plan_of(folder, **limit):
    return tiny_plan(folder / "source", folder / "results", dataset={"source": str(folder / "source"), **limit})


def test_one_bad_image_of_a_few_is_named_and_does_not_fail_the_run(folder, caplog):
    assert 1 / 10 < 1 / 6 < DatasetConfig().max_failed_fraction < 1 / 2
    plan = plan_of(folder, shard_size=3)
    plan.layout.accepted.unlink()
    accept(plan)
    assert json.loads(plan.layout.accepted.read_text())["n_failed"] == 1
    assert f"1 of 6 images could not be used (1 truncated); the reasons are in {plan.layout.images}" in caplog.text
    assert "\n  cut.png: truncated: " in caplog.text


@pytest.mark.parametrize("limit", [0.0, 0.1])
def test_more_than_the_limit_fails_with_the_same_names(folder, limit):
    plan = plan_of(folder, shard_size=3, max_failed_fraction=limit)
    with pytest.raises(UserError) as caught:
        accept(plan)
    first, second = str(caught.value).splitlines()
    assert first.startswith(
        f"1 of 6 images could not be used (1 truncated), more than dataset.max_failed_fraction: {limit:g} allows. "
    )
    assert first.endswith(f"the reasons are in {plan.layout.images}")
    assert second.startswith("  cut.png: truncated: ")


def fail_in_the_network(plan):
    """Make a pass say that it could not use an image; returns the image's key and the pass's table."""
    path = plan.layout.pass_images(plan.runs[0], plan.shards()[0])
    table = read_table(path)
    rows = table.to_pylist()
    rows[0] |= {"status": "too_large", "message": "needs more memory"}
    write_table(path, pa.Table.from_pylist(rows, table.schema), read_origin(path))
    return rows[0]["image_key"], path


def test_a_later_look_names_bad_images_of_the_index_and_of_the_passes(folder, tmp_path):
    shutil.copytree(folder / "results", tmp_path / "results")
    dataset = {"source": str(folder / "source"), "max_failed_fraction": 0.5}
    plan = tiny_plan(folder / "source", tmp_path / "results", dataset=dataset)
    accept(plan)
    assert failed_line(plan) == f"1 of 6 images: cut.png (truncated); reasons in {plan.layout.images}"
    key, table = fail_in_the_network(plan)
    accept(plan)
    names = ", ".join(sorted([f"{key} (too_large)", "cut.png (truncated)"]))
    assert failed_line(plan) == f"2 of 6 images: {names}; reasons in {plan.layout.images}, {table}"


def test_a_run_without_bad_images_has_no_such_line(folder, tmp_path):
    shutil.copytree(folder / "results/dataset", tmp_path / "results/dataset")
    plan = tiny_plan(folder / "source", tmp_path / "results")
    table = read_table(plan.layout.images)
    good = table.filter(pc.equal(table["status"], "ok"))
    write_table(plan.layout.images, good, read_origin(plan.layout.images))
    assert failed_line(plan) is None
