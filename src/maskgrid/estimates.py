"""What the missing passes of the network will take, from what the finished ones took.

Time is that of Snakemake's benchmark files, one a job, which lie beside the results folder; space is that of the files.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from maskgrid.errors import UserError
from maskgrid.layout import Layout
from maskgrid.passes import PassRun
from maskgrid.tables import read_origin, read_table
from maskgrid.weights import checkpoint_id
from maskgrid.wording import count

_BENCHMARKS = "benchmarks"


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
    folder = checkpoint_id(run.checkpoint)
    sizes = _images_by_shard(layout)
    seconds, n_bytes, n_images, devices = [], 0, 0, set[str]()
    for shard in sizes.keys() - set(missing):
        paths = [where(folder, run.pass_.name, shard) for where in (layout.candidates, layout.pass_images)]
        taken = _seconds(layout.root.parent / _BENCHMARKS / "generate" / folder / run.pass_.name / f"{shard}.tsv")
        try:
            n_bytes += sum(path.stat().st_size for path in paths)
            n_images += sizes[shard]
            if taken is not None:
                seconds.append(taken / sizes[shard])
                devices.add(str(read_origin(paths[0]).get("device", "an unknown device")))
        except (FileNotFoundError, UserError):  # removed meanwhile, or cut
            continue
    return Estimate(
        target=layout.candidates(folder, run.pass_.name, missing[0]),
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
