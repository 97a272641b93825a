"""``maskgrid run``: Snakemake with sensible defaults, quiet, and alive."""

import hashlib
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import yaml

from maskgrid.cli.overrides import overridden, split_words
from maskgrid.cli.running.capacity import n_network_jobs
from maskgrid.cli.running.child import Child, Listener
from maskgrid.cli.running.display import display
from maskgrid.cli.running.ending import ending_text, failure_lines, plain_error
from maskgrid.cli.running.lock import FOLDER, ended, sole_run
from maskgrid.cli.running.stages import RunState
from maskgrid.cli.running.watch import watch
from maskgrid.cli.workflow_files import profile_folder, workflow_folder
from maskgrid.config.files import load_config, save_config
from maskgrid.config.models import Config
from maskgrid.config.places import placed
from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.wording import count
from maskgrid.plan.plan import Plan, make_plan

_RESULTS = Path("results")
_GO_ON = "all else that could be done is done; mend it and run again"
_LOCKED = "Directory cannot be locked"


@dataclass(frozen=True, slots=True)
class Request:
    """What ``maskgrid run`` was asked for.

    Attributes:
        words: targets (rules or files) and overrides of the config (``section.key=value``).
        config: the config file.
        results: the results folder.
        profile: a Snakemake profile, by name or folder.
        cores: the number of CPU cores; None for the profile's, else all.
        dry_run: only say what would run.
        verbose: let Snakemake and the jobs talk.
        options: Snakemake's own options.
    """

    words: tuple[str, ...]
    config: Path
    results: Path
    profile: str | None
    cores: int | None
    dry_run: bool
    verbose: bool
    options: tuple[str, ...]


def run(request: Request) -> int:
    """Run the workflow; returns Snakemake's exit code, or 128 and the signal that stopped it.

    Raises:
        UserError: the config or the command line is wrong, or a run works here already.
    """
    if not request.config.is_file():
        raise UserError(
            f"there is no {request.config} here: write one with maskgrid init --source FOLDER_OF_IMAGES, "
            "or name one with --config FILE"
        )
    targets, overrides = split_words(request.words)
    with placed([request.config]):
        given = load_config(request.config)
        config = overridden(given, overrides)
        plan = make_plan(config, Path(), request.results)
        plan.require_checkpoints()
    file = request.config if config is given else _write_config(config)
    with sole_run() as lock:
        command = _command(request, targets, file)
        if request.verbose:
            print(f"maskgrid runs: {shlex.join(command)}", file=sys.stderr)
            code, state, child = _run_aloud(command, lock)
        else:
            code, state, child = _run_quietly(command, lock, plan, targets)
        if code != 128 + signal.SIGKILL:
            ended(lock)
    return _conclude(request, plan, code, state, child)


def _write_config(config: Config) -> Path:
    """The config with its overrides as a file, which jobs on other machines can read too."""
    content = orjson.dumps(config.model_dump(mode="json", exclude_unset=True), option=orjson.OPT_INDENT_2)
    path = FOLDER / f"config-{hashlib.sha256(content).hexdigest()[:10]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return path


def _command(request: Request, targets: list[str], config: Path) -> list[str]:
    profile = [] if request.profile is None else [f"--profile={profile_folder(request.profile)}"]
    return [
        *(sys.executable, "-m", "snakemake"),
        *targets,
        *("--snakefile", str(workflow_folder() / "Snakefile")),
        *("--configfile", str(config)),
        *profile,
        *_cores(request),
        *_pathvars(request.results),
        *(["--dry-run"] if request.dry_run else []),
        *([] if request.verbose else ["--logger", "maskgrid"]),
        *request.options,
    ]


def _pathvars(results: Path) -> list[str]:
    """Another results folder has its own logs and benchmarks, since its jobs have the same names."""
    if results == _RESULTS:
        return []
    folders = {"results": results, "logs": results / "logs", "benchmarks": results / "benchmarks"}
    return ["--config", "pathvars=" + orjson.dumps({name: str(path) for name, path in folders.items()}).decode()]


def _cores(request: Request) -> list[str]:
    """All cores, and as many network jobs at once as the machine can hold, unless a profile says how much."""
    if request.cores is not None:
        return ["--cores", str(request.cores), "--resources", f"gpu={n_network_jobs(request.cores)}"]
    if request.profile is not None:
        values = yaml.safe_load((profile_folder(request.profile) / "config.yaml").read_text()) or {}
        if {"cores", "jobs", "executor"} & set(values):
            return []
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ["--cores", "all", "--resources", f"gpu={n_network_jobs(n_cores)}"]


def _run_aloud(command: list[str], lock: int) -> tuple[int, RunState, Child]:
    child = Child(command, None, lock)
    with child.signals():
        child.wait()
    return child.exit_code() or 0, RunState(), child


def _run_quietly(command: list[str], lock: int, plan: Plan, targets: Sequence[str]) -> tuple[int, RunState, Child]:
    listener, screen = Listener(), display()
    try:
        screen.line(_first_line(plan, targets))
        child = Child(command, listener, lock)
        with child.signals():
            code, state = watch(child, listener, plan, screen)
        return code, state, child
    finally:
        screen.close()
        listener.close()


def _first_line(plan: Plan, targets: Sequence[str]) -> str:
    config, wanted = plan.config, set(targets) or {"all"}
    has_all = bool(wanted - {"prompted", "tracked"})
    work = [count(len(plan.settings), "setting")] if config.is_automatic and has_all else []
    work += ["prompts"] if config.prompts and (has_all or "prompted" in wanted) else []
    work += ["videos"] if config.tracking and (has_all or "tracked" in wanted) else []
    is_of_videos = work == ["videos"] and config.tracking is not None
    source = config.tracking.source if is_of_videos and config.tracking else config.dataset.source
    toy = " (a toy network)" if config.has_toy_network else ""
    return f"{source} -> {plan.layout.root}/: {', '.join(work)}, {config.model.checkpoint}{toy}; Snakemake runs it"


def _conclude(request: Request, plan: Plan, code: int, state: RunState, child: Child) -> int:
    """Say how the run ended; returns the exit code."""
    if child.stopped_by is not None:
        _say(f"stopped; finished work is kept, image by image. Go on with: {_again(request)}")
        return 128 + child.stopped_by
    if request.verbose and code != 0:
        return code
    if code != 0:
        for line in _why(state, child):
            _say(line)
        if state.failures and (text := ending_text(plan, same_run=_same_run(request))):
            if not _failed_last(state):
                _say("what follows is there, but some of it may be an earlier run's; maskgrid verify names it")
            print(text)
        return code
    if request.dry_run:
        print("\n".join(_dry_lines(state)))
    else:
        if not (any(stage.n_begun for stage in state.stages.values()) or request.verbose or request.options):
            _say("nothing to do: all results are there and up to date")
        if not (request.options or split_words(request.words)[0]):  # also after a change that asks for no job
            save_config(plan.config, plan.layout.config)
        print(ending_text(plan, same_run=_same_run(request)))
    return code


def _failed_last(state: RunState) -> bool:
    """Return whether only the last rule failed, which finds too many bad images after all else is done."""
    return {failure.rule for failure in state.failures} == {"accept"}


def _why(state: RunState, child: Child) -> list[str]:
    if state.failures:
        return [*failure_lines(state.failures), *([] if _failed_last(state) else [_GO_ON])]
    if any(_LOCKED in text for _, text in state.errors):
        return [
            "Snakemake works in this folder already, or was killed here; if none runs (ps), go on with: "
            "maskgrid run -- --unlock && maskgrid run"
        ]
    if state.errors:
        return [plain_error(text) for _, text in state.errors]
    # The workflow ends with a user's mistake in one line, before Snakemake has anything to say.
    if told := [line.removeprefix("maskgrid: ") for line in child.last_lines if line.startswith("maskgrid: ")]:
        return told[-1:]
    return [f"Snakemake ended without a reason; the end of what it wrote:\n{chr(10).join(child.last_lines)}"]


def _dry_lines(state: RunState) -> list[str]:
    jobs = [f"{rule} {n}" if n > 1 else rule for rule, n in state.planned.items() if rule not in ("all", "gather")]
    if not jobs:
        return ["nothing to do: all results are there and up to date"]
    later = ["Once the images are listed, a job for each pass and shard follows."] if "index" in state.planned else []
    return [f"would run: {', '.join(jobs)}", *later]


def _same_run(request: Request) -> list[str]:
    """The words that give another command the same config and results folder."""
    config = [] if request.config == Path("config.yaml") else ["--config", str(request.config)]
    results = [] if request.results == _RESULTS else ["--results", str(request.results)]
    return [*split_words(request.words)[1], *config, *results]


def _again(request: Request) -> str:
    profile = [] if request.profile is None else ["--profile", request.profile]
    cores = [] if request.cores is None else ["--cores", str(request.cores)]
    options = ["--", *request.options] if request.options else []
    targets = split_words(request.words)[0]
    return shlex.join(["maskgrid", "run", *targets, *_same_run(request), *profile, *cores, *options])


def _say(text: str) -> None:
    print(f"maskgrid: {text}", file=sys.stderr)
