"""The plan in words, with the time and space that the missing work of the network will take.

Times come from Snakemake's benchmark files, one per job, beside the results folder; space from the finished files.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from maskgrid.config.settings import swept_parameters
from maskgrid.config.tracking import TrackingConfig
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin, read_table
from maskgrid.io.wording import count
from maskgrid.plan.layout import Layout
from maskgrid.plan.passes import PassRun
from maskgrid.plan.plan import Plan

_BENCHMARKS = "benchmarks"

# The plan should fit on a screen; statistics/settings.parquet lists all settings.
_SETTINGS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the missing shards of one pass will take.

    Attributes:
        target: the output file of the first missing shard, to ask Snakemake for.
        n_images: number of images in the missing shards.
        n_measured: number of finished shards with a benchmark file.
        seconds_per_image: the median over these shards, loading the network included; None if there are none.
        bytes_per_image: the mean over all finished shards; None if there are none.
        devices: the devices of the measured shards: cpu, cuda, mps.
    """

    target: Path
    n_images: int
    n_measured: int
    seconds_per_image: float | None
    bytes_per_image: float | None
    devices: tuple[str, ...]

    @property
    def hours(self) -> float | None:
        """Hours on one device."""
        return None if self.seconds_per_image is None else self.n_images * self.seconds_per_image / 3600

    @property
    def n_bytes(self) -> float | None:
        """Bytes on disk."""
        return None if self.bytes_per_image is None else self.n_images * self.bytes_per_image


def estimate(layout: Layout, run: PassRun, missing: Sequence[str]) -> Estimate:
    """Extrapolate from the finished shards of a pass to the missing ones.

    A resumed shard has only the time of its last job; the median over shards is robust against a few of these.

    Args:
        layout: the results folder, with an index.
        run: the pass.
        missing: names of the shards that it still has to run over; at least one.
    """
    sizes = _images_by_shard(layout)
    # Beside the results folder, or inside one with another name.
    inside = layout.root / _BENCHMARKS
    benchmarks = inside if inside.is_dir() else layout.root.parent / _BENCHMARKS
    seconds, n_bytes, n_images, devices = [], 0, 0, set[str]()
    for shard in sizes.keys() - set(missing):
        paths = [where(run, shard) for where in (layout.candidates, layout.pass_images)]
        taken = _seconds(benchmarks / "generate" / run.folder / f"{shard}.tsv")
        try:
            n_bytes += sum(path.stat().st_size for path in paths)
            n_images += sizes[shard]
            if taken is not None:
                seconds.append(taken / sizes[shard])
                devices.add(str(read_origin(paths[0]).get("device", "an unknown device")))
        except (FileNotFoundError, UserError):  # removed meanwhile, or truncated
            continue
    return Estimate(
        target=layout.candidates(run, missing[0]),
        n_images=sum(sizes[shard] for shard in missing),
        n_measured=len(seconds),
        seconds_per_image=median(seconds) if seconds else None,
        bytes_per_image=n_bytes / n_images if n_images else None,
        devices=tuple(sorted(devices)),
    )


def estimate_lines(estimates: Sequence[Estimate]) -> list[str]:
    """Describe the estimates: one line per unfinished pass, and the sum of hours if there are several."""
    lines = [_line(each) for each in estimates]
    hours = [each.hours for each in estimates]
    known = [hour for hour in hours if hour is not None]
    if len(known) > 1:
        complete = "" if len(known) == len(hours) else ", without the passes not measured yet"
        lines.append(f"total {_hours(sum(known))}{complete}")
    return lines


def _line(each: Estimate) -> str:
    name = each.target.parent.relative_to(each.target.parents[2])
    if each.hours is None or each.seconds_per_image is None or each.n_bytes is None:
        return f"{name}: {count(each.n_images, 'image')}, no shard measured yet: run snakemake ... {each.target}"
    return (
        f"{name}: about {_hours(each.hours)} on {' and '.join(each.devices)} and {_bytes(each.n_bytes)} for "
        f"{count(each.n_images, 'image')} ({each.seconds_per_image:.3g} s each, from "
        f"{count(each.n_measured, 'measured shard')})"
    )


def _hours(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"


def _bytes(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def _images_by_shard(layout: Layout) -> dict[str, int]:
    table = read_table(layout.shards, ["shard", "n_images"])
    return dict(zip(table["shard"].to_pylist(), table["n_images"].to_pylist(), strict=True))


def _seconds(path: Path) -> float | None:
    """Read a job's wall time from its benchmark file; None if it is missing or unreadable."""
    try:
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        return float(rows[-1]["s"])
    except (OSError, IndexError, KeyError, ValueError, TypeError):
        return None


def plan_text(plan: Plan) -> str:
    """Describe the plan for people: what a run will do."""
    shards = plan.shards()
    swept = list(swept_parameters(plan.settings))
    lines = [
        f"maskgrid plan for {plan.config.dataset.source}",
        f"  settings  {len(plan.settings)}, sweeping {', '.join(swept) or 'nothing'}; "
        f"differences against {plan.baseline.label}; "
        f"COCO for {', '.join(setting.label for setting in plan.exported())}",
        *_setting_lines(plan, swept),
        f"  shards    {len(shards) or 'not indexed yet'}",
        f"  passes    {len(plan.runs)} of the network answer all settings:",
    ]
    estimates = []
    for run in plan.runs:
        states = {shard: _state(plan, run, shard) for shard in shards}
        lines.append(_run_line(run, list(states.values())))
        if missing := [shard for shard, state in states.items() if state != "done"]:
            estimates.append(estimate(plan.layout, run, missing))
    lines += [f"  {'network' if number == 0 else '':9} {line}" for number, line in enumerate(estimate_lines(estimates))]
    if shards:
        done = sum(_is_replayed(plan, shard) for shard in shards)
        lines.append(f"  replay    {done} of {len(shards)} shards done at these settings")
    if plan.config.prompts is not None:
        done = sum(plan.layout.prompted(shard).is_file() for shard in shards)
        progress = f"{done} of {len(shards)} shards done" if shards else "not started"
        at = f" at {len(plan.prompt_settings)} settings" if len(plan.prompt_settings) > 1 else ""
        lines.append(f"  prompts   {plan.config.prompts.source}{at}; {progress}")
    if plan.config.tracking is not None:
        lines.append(_tracking_line(plan, plan.config.tracking))
    return "\n".join(lines)


def _tracking_line(plan: Plan, tracking: TrackingConfig) -> str:
    how = tracking.prompts or f"objects found automatically, {count(len(plan.track_settings), 'setting')}"
    layout = plan.layout.tracked
    if not layout.jobs.is_file():
        return f"  tracking  {tracking.source}; {how}; not started"
    jobs = read_table(layout.jobs, ["run", "group"]).to_pylist()
    done = sum(layout.part(job["run"], job["group"]).is_file() for job in jobs)
    return f"  tracking  {tracking.source}; {how}; {done} of {len(jobs)} jobs done"


def _is_replayed(plan: Plan, shard: str) -> bool:
    path = plan.layout.selections(shard)
    return path.is_file() and read_origin(path).get("settings") == [setting.id for setting in plan.settings]


def _setting_lines(plan: Plan, swept: list[str]) -> list[str]:
    """The first settings, each with its values of the swept parameters."""
    lines = []
    for setting in plan.settings[:_SETTINGS_SHOWN]:
        values = setting.parameters()
        lines.append(
            f"    {setting.label}: " + (", ".join(f"{name} {values[name]}" for name in swept) or "as in the config")
        )
    if (n_more := len(plan.settings) - _SETTINGS_SHOWN) > 0:
        lines.append(f"    and {n_more} more")
    return lines


def _run_line(run: PassRun, states: list[str]) -> str:
    n_prompts = run.pass_.n_points * 4**run.pass_.layer
    done, narrow = states.count("done"), states.count("narrow")
    progress = f"{done} of {len(states)} shards done, {narrow} to widen" if states else "not started"
    return (
        f"    {run.folder}: {n_prompts} prompts per image, floor pred_iou "
        f"{run.recording.pred_iou_thresh:g}, stability {run.recording.stability_score_thresh:g}; {progress}"
    )


def _state(plan: Plan, run: PassRun, shard: str) -> str:
    path = plan.layout.candidates(run, shard)
    if not path.is_file():
        return "missing"
    return "done" if read_origin(path).get("recording") == plan.recording(run, shard).as_dict() else "narrow"
