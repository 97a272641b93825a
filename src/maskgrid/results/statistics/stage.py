"""The stage ``statistics``: turn the shards' counts into tables of mask counts by setting."""

from maskgrid.automatic.notes import statistics_origin
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table, write_table
from maskgrid.plan.plan import Plan
from maskgrid.results.statistics.effects import effects_table, interactions_table
from maskgrid.results.statistics.mask_counts import settings_table, write_mask_counts
from maskgrid.results.statistics.summary import summary_table
from maskgrid.results.statistics.text import summary_text


def write_statistics(plan: Plan) -> None:
    """Write the tables settings, mask_counts, summary, effects and interactions.

    Raises:
        maskgrid.io.errors.UserError: a shard has not been replayed.
    """
    counts = [plan.layout.shard_counts(shard) for shard in plan.shards()]
    origin = statistics_origin(plan)
    layout = plan.layout
    write_table(layout.statistics("settings"), settings_table(plan.settings), origin)
    write_mask_counts(layout.statistics("mask_counts"), plan.settings, counts, origin)
    summary = summary_table(plan.settings, layout.statistics("mask_counts"), plan.baseline)
    write_table(layout.statistics("effects"), effects_table(plan.settings, summary), origin)
    write_table(layout.statistics("interactions"), interactions_table(plan.settings, summary), origin)
    write_table(layout.statistics("summary"), summary, origin)


def settings_text(plan: Plan, max_rows: int) -> str:
    """A table of settings for people, with their accuracy if there are annotated objects.

    Raises:
        maskgrid.io.errors.UserError: there are no statistics yet, or they are of other settings than the config's.
    """
    path = plan.layout.statistics("summary")
    summary = read_table(path)
    if not set(summary["setting_id"].to_pylist()) <= {setting.id for setting in plan.settings}:
        raise UserError(f"{path} has other settings than the config; start maskgrid run")
    path = plan.layout.statistics("accuracy_summary")
    rows = read_table(path).to_pylist() if plan.ground_truth() is not None and path.is_file() else []
    return summary_text(plan.settings, summary, max_rows, {row["setting_id"]: row for row in rows})
