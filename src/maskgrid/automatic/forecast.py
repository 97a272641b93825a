"""What a run of the automatic job will do: which shards, how many images go through the network, how long it takes.

Times come from small files that ``generate`` leaves in ``benchmarks/generate``, beside Snakemake's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from maskgrid.automatic.notes import candidates_origin, pass_origin
from maskgrid.dataset.changes import SourceChanges
from maskgrid.dataset.earlier import earlier_outputs, recording_for
from maskgrid.dataset.tables import read_shard
from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.fingerprint import package_versions
from maskgrid.io.journal import journal_folder
from maskgrid.io.tables import read_origin
from maskgrid.network.checkpoints import Checkpoint, checkpoint_id, describe_checkpoint
from maskgrid.plan.layout import Layout
from maskgrid.plan.notes import Origin
from maskgrid.plan.passes import PassRun, Recording
from maskgrid.plan.plan import Plan

_BENCHMARKS = "benchmarks"
_DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class Measured:
    """How long the network took for a shard's images.

    Attributes:
        n_images: images that went through the network.
        seconds: the time for these, loading the network included.
        device: cpu, cuda or mps.
        bytes_per_image: bytes of candidates per image.
        candidates_per_image: number of candidates per image.
    """

    n_images: int
    seconds: float
    device: str
    bytes_per_image: float
    candidates_per_image: float

    @property
    def seconds_per_image(self) -> float:
        """Seconds for one image."""
        return self.seconds / self.n_images


@dataclass(frozen=True, slots=True)
class PassForecast:
    """What is left to do of one pass of the network.

    Attributes:
        run: the pass.
        n_shards: number of shards in the index.
        n_done: shards with candidates that answer the sweep.
        n_jobs: jobs that will run, for shards of the present index.
        n_images: images that the network will see.
        n_bytes_to_download: of a checkpoint that is not here yet.
        measured: how long earlier shards took, on any device.
    """

    run: PassRun
    n_shards: int
    n_done: int
    n_jobs: int
    n_images: int
    n_bytes_to_download: int
    measured: tuple[Measured, ...]

    @property
    def seconds_per_image(self) -> float | None:
        """The median of the measured shards; None without any."""
        return median(one.seconds_per_image for one in self.measured) if self.measured else None

    @property
    def seconds(self) -> float | None:
        """Seconds on one device."""
        each = self.seconds_per_image
        return None if each is None else self.n_images * each

    @property
    def n_bytes(self) -> float | None:
        """Bytes of candidates."""
        if not self.measured:
            return None
        if self.run.recording.is_everything:
            return self.n_images * (self.all_bytes_per_image or 0.0)
        return self.n_images * median(one.bytes_per_image for one in self.measured)

    @property
    def all_bytes_per_image(self) -> float | None:
        """Bytes of everything that the network proposes for an image; None if no candidate was measured."""
        sizes = [one.bytes_per_image / one.candidates_per_image for one in self.measured if one.candidates_per_image]
        return self.run.pass_.n_proposals * len(self.run.recording.mask_thresholds) * median(sizes) if sizes else None

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of the measured shards."""
        return tuple(sorted({one.device for one in self.measured}))


def record_time(layout: Layout, run: PassRun, shard: str, measured: Measured) -> None:
    """Note how long the network took, for later forecasts."""
    values = {name: getattr(measured, name) for name in Measured.__slots__}
    write_bytes(_folder(layout, run) / f"{shard}.network.json", orjson.dumps(values) + b"\n")


def forecast(plan: Plan, changes: SourceChanges | None) -> list[PassForecast]:
    """Forecast every pass of the sweep, without running anything.

    Args:
        plan: the plan.
        changes: how the source differs from its index.

    Raises:
        UserError: a table of the index is damaged.
    """
    digests = plan.shard_digests() if plan.layout.shards.is_file() else {}
    gone = frozenset({*changes.changed, *changes.gone}) if changes else frozenset[str]()
    n_coming = len({*changes.new, *changes.changed, *changes.readable}) if changes else 0
    needed = {shard: not _is_answered(plan, shard, digest) for shard, digest in digests.items()}
    found = []
    for run in plan.runs:
        checkpoint, n_bytes = describe_checkpoint(run.checkpoint, plan.config.model.config)
        states = {shard: _PassState.of(plan, run, checkpoint, shard, digest) for shard, digest in digests.items()}
        working = [shard for shard, state in states.items() if state.works(needed[shard])]
        n_images = sum(len(states[shard].left - gone) for shard in working)
        found.append(
            PassForecast(
                run=run,
                n_shards=len(digests),
                n_done=sum(state.kind == "done" for state in states.values()),
                n_jobs=len(working),
                n_images=n_images + (n_coming if digests else 0),
                n_bytes_to_download=n_bytes if n_images or n_coming or not digests else 0,
                measured=tuple(_measured(plan.layout, run)),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class _PassState:
    """A pass's candidates for a shard.

    Attributes:
        kind: done, missing, or changed: made from other images, weights or thresholds than now.
        left: keys of the images that the network would have to see.
    """

    kind: str
    left: frozenset[str]

    def works(self, is_needed: bool) -> bool:
        """Return whether the job will run; candidates that were deleted are made again only if something needs them."""
        return self.kind == "changed" or (self.kind == "missing" and is_needed)

    @classmethod
    def of(cls, plan: Plan, run: PassRun, checkpoint: Checkpoint, shard: str, digest: str) -> "_PassState":
        path = plan.layout.candidates(run, shard)
        recording = recording_for(plan, run, shard)
        expected = {**pass_origin(plan.config.model, checkpoint, run), "recording": recording.as_dict()}
        kind = "missing"
        if path.is_file():
            origin = _origin(path)
            is_same = all(origin.get(name) == value for name, value in expected.items())
            kind = "done" if is_same and origin.get("images") == digest else "changed"
        if kind == "done":
            return cls(kind, frozenset())
        # Read for unfinished shards alone: a dataset may have millions of images.
        members = {image.image_key: image.content for image in read_shard(plan.layout.images.parent, shard)}
        known = {
            key
            for _, keys in earlier_outputs(path, {**expected, "packages": package_versions()}, members)
            for key in keys
        }
        known |= _in_journal(path, pass_origin(plan.config.model, checkpoint, run), recording, digest, sorted(members))
        return cls(kind, frozenset(members.keys() - known))


def _in_journal(path: Path, of_pass: Origin, recording: Recording, digest: str, keys: list[str]) -> set[str]:
    """Which of a shard's images, sorted by key, an unfinished job has finished."""
    folder = journal_folder(path)
    try:
        owner = (folder / "fingerprint").read_text()
    except OSError:
        return set()
    origins = (candidates_origin(of_pass, recording, digest, device) for device in _DEVICES)
    if owner not in {origin["fingerprint"] for origin in origins}:
        return set()
    if all((folder / f"finished.{number}").is_file() for number in range(2)):
        return set(keys)
    numbers = (int(part.name.split(".")[0]) for part in folder.glob("*.1.arrow"))
    return {keys[number] for number in numbers if number < len(keys)}


def _is_answered(plan: Plan, shard: str, digest: str) -> bool:
    """Return whether nothing needs the shard's candidates: its selections are current, or deleted and not missed."""
    origin = _origin(plan.layout.selections(shard))
    settings = [setting.id for setting in plan.settings]
    if origin:
        return origin.get("settings") == settings and origin.get("images") == digest
    return _is_gathered(plan, settings)


def _is_gathered(plan: Plan, settings: list[str]) -> bool:
    """Return whether everything that selections are read for has been made from these settings and images."""
    outputs = [plan.layout.annotations(setting.label) for setting in plan.exported()]
    outputs.append(plan.layout.statistics("summary"))
    if not all(path.is_file() for path in outputs):
        return False
    try:
        gathered = orjson.loads(plan.layout.gathered.read_bytes())
        images = plan.images_fingerprint()
    except (OSError, orjson.JSONDecodeError, UserError, KeyError):
        return False
    return bool(gathered.get("settings") == settings and gathered.get("images") == images)


def _measured(layout: Layout, run: PassRun) -> Iterator[Measured]:
    for path in sorted(_folder(layout, run).glob("*.network.json")):
        try:
            one = Measured(**orjson.loads(path.read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError):
            continue
        if one.n_images:
            yield one


def _folder(layout: Layout, run: PassRun) -> Path:
    # Beside the results folder, or inside one with another name.
    root = layout.root.parent if layout.root.name == "results" else layout.root
    return root / _BENCHMARKS / "generate" / checkpoint_id(run.checkpoint) / run.pass_.name


def _origin(path: Path) -> dict[str, Any]:
    """A table's origin; empty if it is missing or damaged."""
    try:
        return read_origin(path)
    except UserError:
        return {}
