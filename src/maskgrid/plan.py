"""The plan of a run: which settings, which passes answer them, what is there and what is missing."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import orjson

from maskgrid.config import Config
from maskgrid.demo import GROUND_TRUTH
from maskgrid.effects import swept_parameters
from maskgrid.errors import UserError
from maskgrid.estimates import estimate, estimate_lines
from maskgrid.layout import Layout
from maskgrid.passes import PassRun, Recording, pass_runs
from maskgrid.prompt_settings import PromptSetting
from maskgrid.remote import RemoteFile, fetched_path, is_url, remote_files
from maskgrid.settings import Setting
from maskgrid.sweep import called, expand, expand_prompts, find
from maskgrid.tables import read_origin, read_table
from maskgrid.tracking_config import TrackingConfig
from maskgrid.tracking_settings import track_settings
from maskgrid.weights import checkpoint_id

# A plan is read on a screen; statistics/settings.parquet lists all settings.
_SETTINGS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """What a config asks for.

    Attributes:
        config: the validated config.
        base_dir: the folder that relative paths of the config start from.
        layout: the results folder.
        settings: baseline first, then the sweep's.
        runs: the passes of the network that answer them.
        prompt_settings: the settings of the prompted job, baseline first; none where the config has no such job.
        remote: the files that the config names by URL.
    """

    config: Config
    base_dir: Path
    layout: Layout
    settings: tuple[Setting, ...]
    runs: tuple[PassRun, ...]
    prompt_settings: tuple[PromptSetting, ...] = ()
    remote: tuple[RemoteFile, ...] = ()

    @property
    def baseline(self) -> Setting:
        """The setting that differences are measured against."""
        return find(self.settings, self.config.baseline, "baseline")

    def located(self, source: str) -> Path:
        """Where a file that the config names lies: one by URL among the fetched files, another where it says."""
        if is_url(source):
            return fetched_path(source, self.layout.fetched)
        return self.base_dir / Path(source).expanduser()

    def source_files(self) -> list[str]:
        """The source itself, where it is one file: a list, a table, a COCO document; all of it, where it is by URL."""
        source = self.config.dataset.source
        if is_url(source):
            return [str(self.layout.fetched / file.path) for file in self.remote if file.key == "dataset.source"]
        path = Path(source).expanduser()
        return [str(path)] if (self.base_dir / path).is_file() else []

    def ground_truth(self) -> Path | None:
        """The COCO file of the objects that masks are measured against, where the config has one.

        The demo's is written with its images; a COCO source may turn out to have no annotations.
        """
        given, source = self.config.dataset.ground_truth, self.config.dataset.source
        if given is None:
            return None
        if given != "auto":
            return self.located(given)
        if source == "demo":
            return self.layout.root / "demo" / GROUND_TRUTH
        path = Path(source).expanduser()
        return self.base_dir / path if path.suffix.lower() == ".json" else None

    def exported(self) -> list[Setting]:
        """The settings that ``annotations`` names, under these names."""
        if "all" in self.config.annotations:
            return list(self.settings)
        chosen = [
            called(self.settings, label, f"annotations[{number}]")
            for number, label in enumerate(self.config.annotations)
        ]
        return list(dict.fromkeys(chosen))

    def run(self, checkpoint: str, pass_name: str) -> PassRun:
        """The pass with this folder name, of the checkpoint with this folder name.

        Raises:
            UserError: the sweep has no such pass.
        """
        for run in self.runs:
            if checkpoint_id(run.checkpoint) == checkpoint and run.pass_.name == pass_name:
                return run
        raise UserError(f"no setting of the sweep needs pass {pass_name} of checkpoint {checkpoint}; see maskgrid plan")

    def shards(self) -> list[str]:
        """Names of the shards, once the index is there; empty before."""
        if not self.layout.shards.is_file():
            return []
        names: list[str] = read_table(self.layout.shards, ["shard"])["shard"].to_pylist()
        return names

    def shard_digests(self) -> dict[str, str]:
        """The digest of each shard's members, by the shard's name."""
        table = read_table(self.layout.shards, ["shard", "digest"])
        return dict(zip(table["shard"].to_pylist(), table["digest"].to_pylist(), strict=True))

    def images_fingerprint(self) -> str:
        """A hash of all inputs with their contents and statuses: what results of the whole dataset depend on."""
        return str(read_origin(self.layout.images)["fingerprint"])

    def settings_digest(self) -> str:
        """A hash of all settings with their names: what tables of all settings depend on."""
        listed = [[setting.id, *setting.names] for setting in self.settings]
        return hashlib.sha256(orjson.dumps(listed)).hexdigest()[:16]

    def recording(self, run: PassRun, shard: str) -> Recording:
        """What ``generate`` must record for a shard: what is recorded already, where that covers the need.

        A threshold that moves within the recorded floor so changes nothing, and one that leaves it widens the record
        instead of replacing it.
        """
        path = self.layout.candidates(checkpoint_id(run.checkpoint), run.pass_.name, shard)
        if not path.is_file():
            return run.recording
        try:
            recorded = Recording.from_dict(read_origin(path)["recording"])
        except (UserError, KeyError):
            return run.recording
        return recorded if recorded.covers(run.recording) else recorded.union(run.recording)


def make_plan(config: Config, base_dir: Path, results: Path) -> Plan:
    """Expand the config and check all that can be checked before any work.

    Raises:
        UserError: anything wrong in the sweep, the baseline, the annotations or the URLs.
    """
    settings = tuple(expand(config, base_dir))
    prompted = tuple(expand_prompts(config.prompts, base_dir)) if config.prompts else ()
    runs, remote = tuple(pass_runs(settings, config.record)), tuple(remote_files(config))
    plan = Plan(config, base_dir, Layout(results), settings, runs, prompted, remote)
    _ = plan.baseline, plan.exported(), track_settings(config)
    return plan


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
    n_settings = len(track_settings(plan.config))
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
        f"    {checkpoint_id(run.checkpoint)}/{run.pass_.name}: {n_prompts} prompts an image, floor pred_iou "
        f"{run.recording.pred_iou_thresh:g}, stability {run.recording.stability_score_thresh:g}; {progress}"
    )


def _state(plan: Plan, run: PassRun, shard: str) -> str:
    path = plan.layout.candidates(checkpoint_id(run.checkpoint), run.pass_.name, shard)
    if not path.is_file():
        return "missing"
    return "there" if read_origin(path).get("recording") == plan.recording(run, shard).as_dict() else "narrower"
