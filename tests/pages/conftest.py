"""What tests of pages share: a run with a report of all sections, and an explorer with annotated objects."""

import pytest

from made_truth import make_plan_with_truth, masks_as_objects
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.explorer.stage import write_explorer
from maskgrid.results.report.stage import write_report


@pytest.fixture(scope="session")
def plan(tmp_path_factory):
    made = make_plan_with_truth(tmp_path_factory.mktemp("run"), masks_as_objects)
    write_truth(made)
    for shard in made.shards():
        evaluate_shard(made, shard)
        write_explorer(made, shard)
    write_accuracies(made)
    write_report(made)
    return made
