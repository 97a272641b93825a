"""What the missing passes of the network will take, from what the finished ones took.

Time is that of Snakemake's benchmark files, one a job, which lie beside the results folder; space is that of the files.
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

# A plan is read on a screen; statistics/settings.parquet lists all settings.
_SETTINGS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one pass over the shards that it misses will take.

    Attributes:
        target: the file of the first shard that is missing, which Snakemake can be asked for.
        n_images: images of the shards that are missing.
        n_measured: finished shards with a benchmark file.
        seconds_per_image: the median over these shards, with the loading of the network; None where there are none.
        bytes_per_image: the mean over all finished shards; None where there are none.
        devices: what the measured shards were made on: cpu, cuda, mps.
    """

    target: Path
    n_images: int
    n_measured: int
    seconds_per_image: float | None
    bytes_per_image: float | None
    devices: tuple[str, ...]

    @property
    def hours(self) -> float | None:
        """Hours of one device."""
        return None if self.seconds_per_image is None else self.n_images * self.seconds_per_image / 3600

    @property
    def n_bytes(self) -> float | None:
        """Bytes on the disk."""
        return None if self.bytes_per_image is None else self.n_images * self.bytes_per_image


def estimate(layout: Layout, run: PassRun, missing: Sequence[str]) -> Estimate:
    """Extrapolate from the finished shards of a pass to the missing ones.

    A shard that was resumed has the time of its last job alone; the median over shards does not follow a few of these.

    Args:
        layout: the results folder, with an index.
        run: the pass.
        missing: names of the shards that it has to run over; at least one.
    """
    sizes = _images_by_shard(layout)
    seconds, n_bytes, n_images, devices = [], 0, 0, set[str]()
    for shard in sizes.keys() - set(missing):
        paths = [where(run, shard) for where in (layout.candidates, layout.pass_images)]
        taken = _seconds(layout.root.parent / _BENCHMARKS / "generate" / run.folder / f"{shard}.tsv")
        try:
            n_bytes += sum(path.stat().st_size for path in paths)
            n_images += sizes[shard]
            if taken is not None:
                seconds.append(taken / sizes[shard])
                devices.add(str(read_origin(paths[0]).get("device", "an unknown device")))
        except (FileNotFoundError, UserError):  # removed meanwhile, or cut
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
    """Estimates in words, a line for each pass that is not complete."""
    lines = [_line(each) for each in estimates]
    hours = [each.hours for each in estimates]
    known = [hour for hour in hours if hour is not None]
    if len(known) > 1:
        complete = "" if len(known) == len(hours) else " and what is not measured"
        lines.append(f"all together {_hours(sum(known))}{complete}")
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
    """The wall time of a job, of its benchmark file; None where there is none that can be read."""
    try:
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        return float(rows[-1]["s"])
    except (OSError, IndexError, KeyError, ValueError, TypeError):
        return None


def plan_text(plan: Plan) -> str:
    """The plan in words, for people: what there is to do before it is done."""
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
        if missing := [shard for shard, state in states.items() if state != "there"]:
            estimates.append(estimate(plan.layout, run, missing))
    lines += [f"  {'network' if number == 0 else '':9} {line}" for number, line in enumerate(estimate_lines(estimates))]
    if shards:
        done = sum(_is_replayed(plan, shard) for shard in shards)
        lines.append(f"  replay    {done} of {len(shards)} shards hold these settings")
    if plan.config.prompts is not None:
        there = sum(plan.layout.prompted(shard).is_file() for shard in shards)
        progress = f"{there} of {len(shards)} shards there" if shards else "nothing there yet"
        at = f" at {len(plan.prompt_settings)} settings" if len(plan.prompt_settings) > 1 else ""
        lines.append(f"  prompts   {plan.config.prompts.source}{at}; {progress}")
    if plan.config.tracking is not None:
        lines.append(_tracking_line(plan, plan.config.tracking))
    return "\n".join(lines)


def _tracking_line(plan: Plan, tracking: TrackingConfig) -> str:
    n_settings = len(plan.track_settings)
    how = tracking.prompts or f"objects found automatically, {n_settings} setting{'s' if n_settings > 1 else ''}"
    layout = plan.layout.tracked
    if not layout.jobs.is_file():
        return f"  tracking  {tracking.source}; {how}; nothing there yet"
    jobs = read_table(layout.jobs, ["run", "group"]).to_pylist()
    there = sum(layout.part(job["run"], job["group"]).is_file() for job in jobs)
    return f"  tracking  {tracking.source}; {how}; {there} of {len(jobs)} jobs there"


def _is_replayed(plan: Plan, shard: str) -> bool:
    path = plan.layout.selections(shard)
    return path.is_file() and read_origin(path).get("settings") == [setting.id for setting in plan.settings]


def _setting_lines(plan: Plan, swept: list[str]) -> list[str]:
    """The first settings by name and by what they differ in."""
    lines = []
    for setting in plan.settings[:_SETTINGS_SHOWN]:
        values = setting.parameters()
        lines.append(
            f"    {setting.label}: " + (", ".join(f"{name} {values[name]}" for name in swept) or "all as given")
        )
    if (n_more := len(plan.settings) - _SETTINGS_SHOWN) > 0:
        lines.append(f"    and {n_more} more")
    return lines


def _run_line(run: PassRun, states: list[str]) -> str:
    n_prompts = run.pass_.n_points * 4**run.pass_.layer
    there, stale = states.count("there"), states.count("narrower")
    progress = f"{there} of {len(states)} shards there, {stale} to widen" if states else "nothing there yet"
    return (
        f"    {run.folder}: {n_prompts} prompts an image, floor pred_iou "
        f"{run.recording.pred_iou_thresh:g}, stability {run.recording.stability_score_thresh:g}; {progress}"
    )


def _state(plan: Plan, run: PassRun, shard: str) -> str:
    path = plan.layout.candidates(run, shard)
    if not path.is_file():
        return "missing"
    return "there" if read_origin(path).get("recording") == plan.recording(run, shard).as_dict() else "narrower"
