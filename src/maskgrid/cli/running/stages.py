"""What a run has done so far, by stage, from the events of Snakemake and of its jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# What each rule of the workflow does, in the order in which people read it; None where nobody needs to know.
WORDS: dict[str, str | None] = {
    "fetch": "fetching files",
    "index": "checking the images",
    "truth": "reading the annotated objects",
    "tiles": "running the network on tiles",
    "generate": "running the network",
    "replay": "selecting masks at all settings",
    "gather": None,
    "evaluate": "measuring masks against the objects",
    "merge": "writing COCO",
    "statistics": "counting masks",
    "accuracy": "writing the accuracies",
    "tune": "searching for the best setting",
    "report": "drawing report and explorer",
    "explorer": "drawing images for the explorer",
    "export_sa1b": "writing SA-1B's JSON",
    "export_polygons": "writing polygons",
    "export": "writing masks in other forms",
    "card": "writing the dataset card",
    "prompts": "checking the prompts",
    "prompt": "segmenting the prompts",
    "prompt_merge": "writing their COCO and statistics",
    "export_prompted": "writing their masks in other forms",
    "export_prompted_polygons": "writing their masks as polygons",
    "videos": "checking the videos",
    "track": "following the objects",
    "masklets": "joining their masklets",
    "track_overlay": "drawing pictures of them",
    "track_sa_v": "writing SA-V",
    "track_png": "writing PNG masks",
    "track_palette": "writing palette PNGs",
    "track_mots": "writing MOTS's text",
    "track_mp4": "writing films of them",
    "track_player": "drawing frames for the player",
    "track_truth": "reading the true objects",
    "track_evaluate": "measuring masklets against them",
    "track_merge": "writing statistics and the page",
    "provenance": None,
    "tidy": None,
    "accept": None,
    "all": None,
    "prompted": None,
    "tracked": None,
}
# The rules of subcommands that serve several, by what their loops say.
_RULES_OF = {
    "export": {
        "polygons": ("export_polygons", "export_prompted_polygons"),
        "SA-1B": ("export_sa1b",),
        "masks of prompts": ("export_prompted",),
    }
}
_TOLD_UNITS = frozenset({"images", "frames", "videos"})


@dataclass(slots=True)
class Stage:
    """The jobs of one rule.

    Attributes:
        rule: the rule's name.
        n_expected: number of jobs that are known to come; more may turn up.
        n_items_expected: the same for their items, such as images; 0 if unknown.
        n_begun: number of jobs that have begun.
        n_ended: number of jobs that have ended.
        n_failed: number of these that failed.
        began_s: when the first job began.
        ended_s: when the last job ended.
        first_count_s: when the first item was about to begin; jobs load the network before.
        last_count_s: when the last item was done.
        counts: the items done and in all in each job's current loop.
        unit: what the items are.
        told: whether its line has been printed.
    """

    rule: str
    n_expected: int = 0
    n_items_expected: int = 0
    n_begun: int = 0
    n_ended: int = 0
    n_failed: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0
    first_count_s: float = 0.0
    last_count_s: float = 0.0
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    unit: str = ""
    told: bool = False

    @property
    def is_running(self) -> bool:
        """Whether a job runs."""
        return self.n_begun > self.n_ended

    @property
    def is_done(self) -> bool:
        """Whether all jobs that are known have ended well."""
        n_good = self.n_ended - self.n_failed
        return not self.is_running and 0 < max(self.n_begun - self.n_failed, self.n_expected) <= n_good

    @property
    def n_done(self) -> int:
        """Items done."""
        return sum(done for done, _ in self.counts.values())

    @property
    def n_items(self) -> int:
        """Items in all, as far as they are known."""
        return max(sum(total for _, total in self.counts.values()), self.n_items_expected)


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that failed.

    Attributes:
        rule: its rule.
        which: the values of the rule's wildcards, in words.
        log: its log file, or an empty string.
    """

    rule: str
    which: str
    log: str


@dataclass(slots=True)
class RunState:
    """The stages of a run, its failures and Snakemake's own errors."""

    stages: dict[str, Stage] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)  # the exception's name, the text
    planned: dict[str, int] = field(default_factory=dict)
    rule_of: dict[int, str] = field(default_factory=dict)

    def stage(self, rule: str) -> Stage:
        """The stage of a rule; begins a new one."""
        return self.stages.setdefault(rule, Stage(rule))

    def take(self, event: Mapping[str, Any], now_s: float) -> str | None:
        """Take in an event; return the rule whose stage it ends, if it does."""
        kind = event.get("event")
        if kind == "jobs" and not self.planned:
            self._plan(event["stats"])
        elif kind == "job":
            self._begin(event["rule_name"], event["jobid"], now_s)
        elif kind == "progress":
            self._count(event, now_s)
        elif kind == "job_error":
            log = (event.get("log") or [""])[0]
            self.failures.append(Failure(event["rule_name"], " ".join((event.get("wildcards") or {}).values()), log))
            self.stage(event["rule_name"]).n_failed += 1
            self._end(event["jobid"], now_s)
        elif kind == "error":
            self.errors.append((event["exception"], event["text"]))
        elif kind == "job_finished":
            return self._end(event["jobid"], now_s)
        return None

    def _plan(self, stats: Mapping[str, int]) -> None:
        self.planned = {rule: n for rule, n in stats.items() if rule != "total"}
        for rule, n_jobs in self.planned.items():
            self.stage(rule).n_expected = n_jobs

    def _begin(self, rule: str, job: int, now_s: float) -> None:
        stage = self.stage(rule)
        if not stage.n_begun:
            stage.began_s = now_s
        stage.n_begun += 1
        self.rule_of[job] = rule

    def _end(self, job: int, now_s: float) -> str | None:
        rule = self.rule_of.get(job)
        if rule is None:
            return None
        stage = self.stage(rule)
        stage.n_ended, stage.ended_s = stage.n_ended + 1, now_s
        return rule if stage.is_done else None

    def _count(self, event: Mapping[str, Any], now_s: float) -> None:
        stage = self._stage_of(event["command"], event["what"])
        if stage is not None:
            stage.first_count_s, stage.last_count_s = stage.first_count_s or now_s, now_s
            stage.counts[event["job"]] = (event["done"], event["total"])
            stage.unit = event["unit"]

    def _stage_of(self, command: str, what: str) -> Stage | None:
        """The running stage that a subcommand's loop belongs to."""
        rules = _RULES_OF.get(command, {}).get(what) or (command.replace("-", "_"),)
        running = (stage for stage in self.stages.values() if stage.is_running)
        return next((stage for stage in running if stage.rule in rules), None)


def stage_line(stage: Stage) -> str:
    """A finished stage as a line: what it did, how much, how long."""
    n_items = min(stage.n_done, stage.n_items) if stage.counts else 0
    much = f"{n_items:,} {stage.unit}" if n_items and stage.unit in _TOLD_UNITS else ""
    return f"  {stage.rule:<16}{WORDS.get(stage.rule) or '':<38}{much:>16}{duration(stage.ended_s - stage.began_s):>10}"


def duration(seconds: float) -> str:
    """``2.1 s``, ``3:05``, ``1:02:00``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
