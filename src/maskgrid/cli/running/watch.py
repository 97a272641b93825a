"""Watch a run: turn events into lines and bars until Snakemake ends."""

import time
from collections.abc import Sequence

from maskgrid.cli.running.child import Child, Listener
from maskgrid.cli.running.display import Display
from maskgrid.cli.running.ending import bad_input_lines
from maskgrid.cli.running.stages import WORDS, RunState, Stage, stage_line
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import Plan

_LOOK_AGAIN_S = 0.1


def watch(child: Child, listener: Listener, plan: Plan, display: Display) -> tuple[int, RunState]:
    """Show a run until its end; returns Snakemake's exit code and what happened."""
    state = RunState()
    while (code := child.exit_code()) is None:
        _take(state, listener, plan, display, _LOOK_AGAIN_S)
        display.show(list(state.stages.values()))
    _take(state, listener, plan, display)
    _tell(
        plan,
        display,
        [stage for stage in state.stages.values() if stage.n_ended > stage.n_failed and not stage.is_running],
    )
    display.close()
    return code, state


def _take(state: RunState, listener: Listener, plan: Plan, display: Display, timeout_s: float = 0.0) -> None:
    for event in listener.waiting(timeout_s):
        ended = state.take(event, time.monotonic())
        if ended == "index":
            _expect(state, plan)
        if ended is not None:
            _tell(plan, display, [state.stages[ended]])


def _tell(plan: Plan, display: Display, stages: Sequence[Stage]) -> None:
    order = list(WORDS)
    for stage in sorted(stages, key=lambda one: order.index(one.rule) if one.rule in order else len(order)):
        if stage.told or WORDS.get(stage.rule, "") is None:
            continue
        stage.told = True
        display.line(stage_line(stage))
        for line in bad_input_lines(plan, stage.rule):
            display.line(line)


def _expect(state: RunState, plan: Plan) -> None:
    """Once the images are known, so is how much the network has to do."""
    try:
        table = read_table(plan.layout.shards, ["shard", "n_images"])
    except UserError:
        return  # not an error: then the bars know less
    sizes = dict(zip(table["shard"].to_pylist(), table["n_images"].to_pylist(), strict=True))
    missing = [shard for run in plan.runs for shard in sizes if not plan.layout.candidates(run, shard).is_file()]
    generate = state.stage("generate")
    generate.n_expected, generate.n_items_expected = len(missing), sum(sizes[shard] for shard in missing)
    for rule, exists in (("replay", plan.layout.selections), ("evaluate", plan.layout.shard_accuracy)):
        if state.planned and "statistics" in state.planned and (rule == "replay" or "accuracy" in state.planned):
            state.stage(rule).n_expected = sum(not exists(shard).is_file() for shard in sizes)
