"""The plan of a run: its settings, the passes they need, what is done and what is missing."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson

from maskgrid.config.models import Config
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.settings import PromptSetting, Setting, TrackSetting
from maskgrid.config.spaces import generator_space, prompt_space, track_space
from maskgrid.config.sweep import called, expand, find
from maskgrid.config.tracking import TrackingConfig
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin, read_table
from maskgrid.network.checkpoints import Checkpoint, network_choices, require_own_file, resolve_checkpoint
from maskgrid.plan.layout import GROUND_TRUTH, Layout
from maskgrid.plan.passes import PassRun, Recording, pass_runs
from maskgrid.plan.remote import RemoteFile, fetched_path, is_url, remote_files

Section = TypeVar("Section")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a config asks for.

    Attributes:
        config: the validated config.
        base_dir: the folder that relative paths of the config start from.
        layout: the results folder.
        settings: the baseline, then the sweep's settings.
        runs: the passes of the network that they need.
        prompt_settings: the same for the prompted job; empty without a section ``prompts``.
        track_settings: the same for the tracking job; with prompts, only the baseline.
        remote: the files that the config names by URL.
    """

    config: Config
    base_dir: Path
    layout: Layout
    settings: tuple[Setting, ...]
    runs: tuple[PassRun, ...]
    prompt_settings: tuple[PromptSetting, ...] = ()
    track_settings: tuple[TrackSetting, ...] = ()
    remote: tuple[RemoteFile, ...] = ()

    @property
    def baseline(self) -> Setting:
        """The setting that differences are measured against."""
        return find(self.settings, self.config.baseline, "baseline")

    @property
    def has_tiles(self) -> bool:
        """Whether a pass looks in tiles, for which images larger than ``max_pixels`` are read in windows."""
        return any(run.pass_.tile_px is not None for run in self.runs)

    @property
    def prompts(self) -> PromptConfig:
        """The config's section ``prompts``; a ``UserError`` if there is none."""
        return _required(self.config.prompts, "prompts")

    @property
    def tracking(self) -> TrackingConfig:
        """The config's section ``tracking``; a ``UserError`` if there is none."""
        return _required(self.config.tracking, "tracking")

    def checkpoint(self, name: str | None = None) -> Checkpoint:
        """Find and verify the weights of a checkpoint, by default ``model.checkpoint``.

        Raises:
            UserError: as :func:`maskgrid.network.checkpoints.resolve_checkpoint`.
        """
        model = self.config.model
        return resolve_checkpoint(name or model.checkpoint, model.config, allow_unverified=model.allow_unverified)

    def require_checkpoints(self) -> None:
        """Check before any work that a network is named, and the user's own weights: can these files be weights?

        Raises:
            UserError: the config names no network for the user's own images; or as
                :func:`maskgrid.network.checkpoints.require_own_file`.
        """
        model = self.config.model
        if self.config.uses_toy_by_accident():
            raise UserError(f"model.checkpoint: name a network for your images: {network_choices()}")
        for name in dict.fromkeys([model.checkpoint, *(setting.checkpoint for setting in self.settings)]):
            require_own_file(name, model.config, model.allow_unverified)

    def located(self, source: str) -> Path:
        """The path of a file that the config names: a URL's in the folder of fetched files, others as written."""
        if is_url(source):
            return fetched_path(source, self.layout.fetched)
        return self.base_dir / Path(source).expanduser()

    def source_files(self) -> list[str]:
        """The source's own file (a list, table or COCO file), or all files of a URL; empty for folders and globs."""
        source = self.config.dataset.source
        if is_url(source):
            return [str(self.layout.fetched / file.path) for file in self.remote if file.key == "dataset.source"]
        path = Path(source).expanduser()
        return [str(path)] if (self.base_dir / path).is_file() else []

    def ground_truth(self) -> Path | None:
        """The COCO file with the objects that masks are measured against, or None.

        The demo writes its own with its images; a COCO source may turn out to have no annotations.
        """
        file = self.ground_truth_file()
        if file is not None:
            return self.located(file)
        is_demo = (self.config.dataset.ground_truth, self.config.dataset.source) == ("auto", "demo")
        return self.layout.root / "demo" / GROUND_TRUTH if is_demo else None

    def ground_truth_file(self) -> str | None:
        """The same file as the config names it; None for the demo's own as well."""
        given, source = self.config.dataset.ground_truth, self.config.dataset.source
        if given != "auto":
            return given
        return source if source.lower().endswith(".json") else None

    def categories_file(self) -> str | None:
        """The objects that give masks their categories, as the config names the file; None for the demo's own, or none.

        Raises:
            UserError: the config has no such objects.
        """
        config = self.config.categories
        if config is None:
            return None
        if config.source == "ground_truth":
            if self.ground_truth() is None:
                raise UserError("categories.from: ground_truth, but there is none; set dataset.ground_truth")
            return self.ground_truth_file()
        if self.config.prompts is None:
            raise UserError(
                "categories.from: prompts, but the config has no section prompts; add at least prompts.source"
            )
        source = self.config.prompts.source
        return None if source == "demo" else source

    def regions(self) -> list[str]:
        """The regions that settings name under ``filters``, as the config writes them."""
        return list(dict.fromkeys(one.filters.region for one in self.settings if one.filters.region is not None))

    def exported(self) -> list[Setting]:
        """The settings that ``annotations`` lists, each with the listed name first."""
        if "all" in self.config.annotations:
            return list(self.settings)
        chosen = [
            called(self.settings, label, f"annotations[{number}]")
            for number, label in enumerate(self.config.annotations)
        ]
        return list(dict.fromkeys(chosen))

    def run(self, checkpoint: str, pass_name: str) -> PassRun:
        """Find a pass by the folder names of its checkpoint and of itself.

        Raises:
            UserError: the sweep has no such pass.
        """
        for run in self.runs:
            if run.folder == f"{checkpoint}/{pass_name}":
                return run
        raise UserError(f"no setting of the sweep needs pass {pass_name} of checkpoint {checkpoint}; see maskgrid plan")

    def shards(self) -> list[str]:
        """The names of the shards; empty before the index is written."""
        if not self.layout.shards.is_file():
            return []
        names: list[str] = read_table(self.layout.shards, ["shard"])["shard"].to_pylist()
        return names

    def shard_digests(self) -> dict[str, str]:
        """Map each shard's name to the digest of its images."""
        table = read_table(self.layout.shards, ["shard", "digest"])
        return dict(zip(table["shard"].to_pylist(), table["digest"].to_pylist(), strict=True))

    def images_fingerprint(self) -> str:
        """Hash of all inputs, their contents and statuses; results over the whole dataset depend on it."""
        return str(read_origin(self.layout.images)["fingerprint"])

    def settings_digest(self) -> str:
        """Hash of all settings and their names; tables over all settings depend on it."""
        listed = [[setting.id, *(setting.names or [setting.label])] for setting in self.settings]
        return hashlib.sha256(orjson.dumps(listed)).hexdigest()[:16]

    def recording(self, run: PassRun, shard: str) -> Recording:
        """What ``generate`` must record for a shard: the existing recording if it is enough, else the union.

        So a threshold that moves within the recorded range reruns nothing, and one outside widens the recording.
        """
        path = self.layout.candidates(run, shard)
        if not path.is_file():
            return run.recording
        try:
            recorded = Recording.from_dict(read_origin(path)["recording"])
        except (UserError, KeyError):
            return run.recording
        return recorded if recorded.covers(run.recording) else recorded.union(run.recording)


def _required(section: Section | None, name: str) -> Section:
    if section is None:
        raise UserError(f"{name}: the config has no such section; add at least {name}.source")
    return section


def make_plan(config: Config, base_dir: Path, results: Path) -> Plan:
    """Expand the config, and check everything that can be checked before any work.

    Raises:
        UserError: anything wrong in the sweep, the baseline, the annotations or the URLs.
    """
    settings = tuple(expand(generator_space(config), base_dir))
    prompted = tuple(expand(prompt_space(config.prompts), base_dir)) if config.prompts else ()
    tracked = tuple(expand(track_space(config, config.tracking), base_dir)) if config.tracking else ()
    runs = tuple(pass_runs(settings, config.record)) if config.is_automatic else ()
    remote = tuple(remote_files(config))
    plan = Plan(config, base_dir, Layout(results), settings, runs, prompted, tracked, remote)
    _ = plan.baseline, plan.exported()
    return plan
