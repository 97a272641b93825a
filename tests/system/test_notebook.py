"""The notebook in ``docs`` runs from first to last cell on the files of a run."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from made_results import make_config
from made_truth import make_plan_with_truth, masks_as_objects
from maskgrid.automatic.merge import merge_setting
from maskgrid.io.tables import read_table, write_table
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth

NOTEBOOK = Path(__file__).parents[2] / "docs/notebooks/results.ipynb"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    made = make_plan_with_truth(
        tmp_path_factory.mktemp("notebook"), masks_as_objects, make_config(annotations=["baseline"])
    )
    for run in made.runs:
        path = made.layout.candidates(run, "d0")
        write_table(path, read_table(path), {"recording": run.recording.as_dict()})
    write_truth(made)
    evaluate_shard(made, "d0")
    write_accuracies(made)
    merge_setting(made, "baseline")
    return made


def code_cells():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_the_notebook_runs(plan, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.setenv("MASKGRID_RESULTS", str(plan.layout.root))
    scope = {"__name__": "__main__"}
    for cell in code_cells():
        exec(compile(cell.source, NOTEBOOK.name, "exec"), scope)
    assert scope["table"].shape == tuple(len(scope["counts"][name].unique()) for name in scope["by"])
    assert len(scope["summary"]) == len(plan.settings)
    assert len(scope["differences"]) == len(plan.settings)
    assert scope["best"].coverage_frac_mean.is_monotonic_increasing
    assert len(scope["accuracy"]) == len(plan.settings)
    annotations = json.loads(plan.layout.annotations("baseline").read_bytes())["annotations"]
    assert len(scope["masks"]) == len(annotations)


def test_the_notebook_is_stored_without_outputs():
    for cell in code_cells():
        assert cell.outputs == []
        assert cell.execution_count is None
        # It is for people who have the files but not maskgrid.
        assert not re.search(r"^\s*(import|from) maskgrid", cell.source, re.MULTILINE)


@pytest.mark.parametrize("n_swept", [0, 1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_the_notebook_runs_with_few_swept_parameters(plan, monkeypatch, n_swept):
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.setenv("MASKGRID_RESULTS", str(plan.layout.root))
    scope = {"__name__": "__main__"}
    first, *others = code_cells()
    exec(compile(first.source, NOTEBOOK.name, "exec"), scope)
    names = [name for name in scope["effects"].parameter.unique() if name in ("pred_iou_thresh", "box_nms_thresh")]
    scope["effects"] = scope["effects"][scope["effects"].parameter.isin(names[:n_swept])]
    for cell in others:
        exec(compile(cell.source, NOTEBOOK.name, "exec"), scope)
    assert len(scope["table"]) > 0
