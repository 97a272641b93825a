"""The plan in words: what a run will do, with the time and space that the network's work will take."""

from collections.abc import Sequence

from maskgrid.automatic.forecast import PassForecast, forecast
from maskgrid.config.settings import swept_parameters
from maskgrid.dataset.changes import SourceChanges, source_changes
from maskgrid.dataset.sources.listing import list_inputs
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin, read_table
from maskgrid.io.wording import TOY, count, size
from maskgrid.plan.plan import Plan
from maskgrid.plan.remote import is_url
from maskgrid.prompted import forecast as prompted
from maskgrid.tracked import forecast as tracked

# The plan should fit on a screen.
_SETTINGS_SHOWN = 3


def plan_text(plan: Plan, verbose: bool = False, compare: bool = True) -> str:
    """Describe the plan for people: what a run will do, first how much, and last the settings.

    Args:
        plan: the plan.
        verbose: list every setting, not just the first.
        compare: compare the images with their index; a run that begins has just listed them for that.

    Raises:
        UserError: the source or a checkpoint is missing, or a table is damaged.
    """
    plan.require_checkpoints()
    config = plan.config
    source = config.dataset.source if config.is_automatic or config.prompts else plan.tracking.source
    lines = [f"maskgrid plan for {source}", *_toy_lines(plan)]
    passes: list[PassForecast] = []
    if config.is_automatic or config.prompts is not None:
        changes = source_changes(plan) if compare else None
        lines.append(f"  images    {_images(plan, changes, compare)}")
        passes = forecast(plan, changes) if config.is_automatic else []
    if config.is_automatic:
        lines += [*network_lines(passes, bool(plan.shards())), *_recording_lines(passes)]
    if config.prompts is not None:
        lines.append(f"  prompts   {prompted.line(plan)}")
    if config.tracking is not None:
        lines.append(f"  tracking  {tracked.line(plan)}")
    if config.is_automatic:
        lines += [*_work_lines(plan, passes), *_setting_lines(plan, verbose)]
    return "\n".join(lines)


def _toy_lines(plan: Plan) -> list[str]:
    return [f"  note      {TOY}"] if plan.config.has_toy_network else []


def _work_lines(plan: Plan, passes: Sequence[PassForecast]) -> list[str]:
    """Passes and shards, and how many are done."""
    shards = plan.shards()
    lines = [
        f"  passes    {len(plan.runs)} of the network answer all settings:",
        *map(_pass_line, passes),
        f"  shards    {len(shards) or 'not indexed yet'}",
    ]
    if shards:
        done = sum(_is_replayed(plan, shard) for shard in shards)
        lines.append(f"  replay    {done} of {len(shards)} shards done at these settings")
    return lines


def network_lines(passes: Sequence[PassForecast], is_indexed: bool) -> list[str]:
    """Say whether the network is needed, for how many images, how long, and how much there is to download."""
    if not is_indexed:
        lines = ["needed for all images"]
    else:
        working = [one for one in passes if one.n_images]
        lines = [_work(one) for one in working] if working else ["not needed"]
        times = [one.seconds for one in working]
        known = [seconds for seconds in times if seconds is not None]
        if len(known) > 1:
            rest = "" if len(known) == len(times) else ", without the passes not measured yet"
            lines.append(f"total {_time(sum(known))}{rest}")
    downloads = {one.run.checkpoint: one.n_bytes_to_download for one in passes if one.n_bytes_to_download}
    lines += [f"{name} is not here yet: {size(n_bytes)} to download" for name, n_bytes in downloads.items()]
    return [f"  {'network' if number == 0 else '':9} {line}" for number, line in enumerate(lines)]


def _recording_lines(passes: Sequence[PassForecast]) -> list[str]:
    """The price of recording everything that the network proposes."""
    lines = []
    for one in passes:
        if one.run.recording.is_everything:
            per_image = one.all_bytes_per_image
            price = f", about {size(per_image)}" if per_image else ""
            lines.append(
                f"  record    all {one.run.pass_.n_proposals:,} masks an image of {one.run.folder}{price} an image"
            )
    return lines


def _work(one: PassForecast) -> str:
    text = f"needed for {count(one.n_images, 'image')} in {one.run.folder}"
    if one.seconds is None or one.seconds_per_image is None or one.n_bytes is None:
        return f"{text}; no image measured yet"
    return (
        f"{text}: about {_time(one.seconds)} on {' and '.join(one.devices)} and {size(one.n_bytes)} "
        f"({one.seconds_per_image:.3g} s an image, from {count(sum(m.n_images for m in one.measured), 'image')})"
    )


def _images(plan: Plan, changes: SourceChanges | None, compare: bool) -> str:
    layout, dataset = plan.layout, plan.config.dataset
    if not layout.shards.is_file():
        source = dataset.source
        if not compare or source == "demo" or is_url(source):
            return "not indexed yet"
        return f"{count(len(list_inputs(source, plan.base_dir)), 'file')}, not indexed yet"
    n_images = count(sum(_sizes(plan)), "image")
    if read_origin(layout.images).get("shard_size") != dataset.shard_size:
        return f"{n_images}; another dataset.shard_size: they are sorted into shards again"
    if changes:
        return f"{n_images}; {changes}: the source is indexed again"
    return n_images


def _sizes(plan: Plan) -> list[int]:
    sizes: list[int] = read_table(plan.layout.shards, ["n_images"])["n_images"].to_pylist()
    return sizes


def _pass_line(one: PassForecast) -> str:
    run = one.run
    place = "image" if run.pass_.tile_px is None else "tile"
    progress = f"{one.n_done} of {one.n_shards} shards done" if one.n_shards else "not started"
    return (
        f"    {run.folder}: {run.pass_.n_points * run.pass_.n_crops} prompts per {place}, floor pred_iou "
        f"{run.recording.pred_iou_thresh:g}, stability {run.recording.stability_score_thresh:g}; {progress}"
    )


def _setting_lines(plan: Plan, verbose: bool) -> list[str]:
    """What is swept, and the first settings, or all, each with its values of the swept parameters."""
    swept = list(swept_parameters(plan.settings))
    lines = [
        f"  settings  {len(plan.settings)}, sweeping {', '.join(swept) or 'nothing'}; "
        f"differences against {plan.baseline.label}; "
        f"COCO for {', '.join(setting.label for setting in plan.exported())}"
    ]
    if not swept:
        return lines
    n_shown = len(plan.settings) if verbose else _SETTINGS_SHOWN
    for setting in plan.settings[:n_shown]:
        values = setting.parameters()
        lines.append(f"    {setting.label}: " + ", ".join(f"{name} {values[name]}" for name in swept))
    if (n_more := len(plan.settings) - n_shown) > 0:
        lines.append(f"    and {n_more:,} more: maskgrid plan --verbose")
    return lines


def _is_replayed(plan: Plan, shard: str) -> bool:
    try:
        origin = read_origin(plan.layout.selections(shard))
    except UserError:
        return False
    return origin.get("settings") == [setting.id for setting in plan.settings]


def _time(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
