"""What all rules share: the plan, and functions that look up in it what a job needs."""

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import update_config

from maskgrid.cli.workflow_config import refuse_unreadable, typed
from maskgrid.config.files import parse_config, save_config
from maskgrid.config.places import placed
from maskgrid.io.errors import UserError, disk_failure
from maskgrid.io.events import listened
from maskgrid.io.fingerprint import sha256_of
from maskgrid.network.checkpoints import own_content, own_files
from maskgrid.plan.plan import make_plan
from maskgrid.plan.remote import is_url

IS_MODULE = not workflow.modifier.is_main_snakefile()
# Paths in rules begin with <results>, <logs> or <benchmarks>: another run in the same folder has others, by
# --config 'pathvars={results: other, logs: other/logs, benchmarks: other/benchmarks}'. As a module with a prefix, this
# workflow has them below that prefix.
CONFIG_FILE = str(
    workflow.modifier.path_modifier.replace_prefix(
        f"{workflow.pathvars.get('results')}/config.json"
    )
)
RESULTS = Path(CONFIG_FILE).parent
SOURCE_FOLDER = str(
    Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1] / "src"
)
# A conda environment has all packages but this one; without conda, jobs use the Python that runs Snakemake.
if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    if not Path(SOURCE_FOLDER).is_dir():
        raise WorkflowError(
            "--software-deployment-method conda needs a checkout of maskgrid (-s CHECKOUT/Snakefile), because its "
            "environments have all packages but maskgrid itself. Without the option, jobs use the installed maskgrid."
        )
    MASKGRID = f"PYTHONPATH={shlex.quote(SOURCE_FOLDER)} python -m maskgrid"
else:
    MASKGRID = f"{shlex.quote(sys.executable)} -m maskgrid"


def command(wildcards, threads):
    """The command that calls maskgrid in a job.

    A function with ``threads``, because Snakemake never reruns a job for such a param: another Python, or an
    environment that has moved, must not repeat the network's work.
    """
    return MASKGRID


OPTIONS = f"--config {shlex.quote(CONFIG_FILE)} --results {shlex.quote(str(RESULTS))}"
# The params of every rule that calls maskgrid.
CALL = {"maskgrid": command, "options": OPTIONS}

# Jobs write to results/ directly, not to where a storage plugin would keep its copy of each file.
if workflow.storage_settings.default_storage_provider not in (None, "none"):
    raise WorkflowError(
        "Results must be in a folder: this workflow cannot write them to --default-storage-provider "
        f"{workflow.storage_settings.default_storage_provider}. Remove the option; see docs/cluster.md."
    )


# The user's config files, for messages; the one that maskgrid run writes for changes on its command line is none.
CONFIG_FILES = [
    Path(os.path.relpath(path))
    for path in workflow.overwrite_configfiles or workflow.configfiles
    if Path(path).is_file() and ".snakemake" not in Path(path).parts
]


@contextmanager
def one_line_errors():
    """End with a user's mistake in one line. Around a WorkflowError, Snakemake prints the lines that it came from."""
    try:
        with placed(CONFIG_FILES):
            yield
    except UserError as error:
        raise SystemExit(f"maskgrid: {error}") from None


def one_line(function):
    """The same for a function that Snakemake calls."""

    @wraps(function)
    def called(*arguments, **named):
        with one_line_errors():
            return function(*arguments, **named)

    return called


def final(paths):
    """Mark paths of the plan and of the config as they are on the disk: a module's prefix must not be put before them."""
    return [local(path) for path in paths] if IS_MODULE else list(paths)


with one_line_errors():
    # As a module of another workflow, this one gets its own config; config files and options belong to the other.
    if not IS_MODULE:
        for path in [*workflow.overwrite_configfiles, *workflow.configfiles]:
            if workflow.is_main_process and Path(path).is_file():
                refuse_unreadable(Path(path))
        settings = workflow.config_settings
        update_config(config, typed(settings.config, settings.config_args or ()))
    config.pop("pathvars", None)  # Snakemake's own
    PLAN = make_plan(parse_config(config), Path(), RESULTS)
    if workflow.is_main_process:
        PLAN.require_checkpoints()

# Adding a value to a sweep, or naming a setting, changes the tables.
SETTINGS_DIGEST = PLAN.settings_digest()


def missing(paths):
    """Those of the user's files that are not there, as inputs: Snakemake then ends the run before any job begins.

    Files that are there are no inputs. Their content is in the rule's params, and their times must not count, but
    Snakemake fails a job whose output is older than an input, even an ancient one: older than a file from the future,
    as cameras and archives from other time zones have them.
    """
    return [path for path in final(paths) if not Path(path).exists()]


def named(*paths):
    """Files that the config names, as inputs: those by URL, which the rule fetch makes, and those that are missing."""
    urls = [str(PLAN.located(path)) for path in paths if is_url(path)]
    return [
        *final(urls),
        *missing(str(PLAN.located(path)) for path in paths if not is_url(path)),
    ]


@cache
def content_of(path):
    """The hash of a file that the config names, for params; the main process alone decides what runs."""
    if not workflow.is_main_process or path is None or is_url(path):
        return "not read"
    located = PLAN.located(path)
    return sha256_of(located) if located.is_file() else "not there"


# The user's own weights and their YAML, if the config names some.
CHECKPOINT_FILES = own_files(PLAN.config.model.checkpoint, PLAN.config.model.config)


@cache
def weights_of(checkpoint):
    """The content of the user's own weights and their config, for params; None for named checkpoints."""
    if not workflow.is_main_process:
        return "not read"
    return own_content(checkpoint, PLAN.config.model.config)


# A param of prompts and videos, for the user's own weights alone: named ones never change.
WEIGHTS = (
    {"weights": lambda wildcards: weights_of(PLAN.config.model.checkpoint)}
    if CHECKPOINT_FILES
    else {}
)


@one_line
def extras_param(files):
    """A param of the installed extras among those that an image of an index, or a frame, has lacked; empty for none.

    Looked up while the workflow is parsed: Snakemake records for a job what was there before it.
    """
    if not workflow.is_main_process or not files.is_file():
        return {}
    from maskgrid.dataset.extras import extras_that_decide

    extras = extras_that_decide(files)
    return {"extras": extras} if extras else {}


def write_config():
    """Write the merged config for the jobs."""
    try:
        save_config(PLAN.config, Path(CONFIG_FILE))
    except OSError as error:
        raise WorkflowError(
            disk_failure(error) or f"{CONFIG_FILE}: cannot be written: {error.strerror}"
        ) from None


wildcard_constraints:
    checkpoint=r"[^/]+",
    pass_name=r"(crop|tile)\d[^/]*",
    shard=r"[a-z0-9]+(-[0-9a-z]+)?",


def after(checkpoint):
    """Make Snakemake evaluate the caller only after this checkpoint has run.

    A job's own process sees only its rule, where Snakemake considers no checkpoint finished; but the job was submitted
    only after the checkpoint.
    """
    if workflow.is_main_process:
        getattr(checkpoints, checkpoint).get()


@one_line
def shards():
    """The names of the shards, once the checkpoint `index` has run."""
    after("index")
    return PLAN.shards()


@cache
@one_line
def shard_digests():
    """The digest of each shard, by name."""
    return PLAN.shard_digests()


def shard_digest(wildcards):
    """Digest of a shard's images: its jobs depend on nothing else about the dataset."""
    after("index")
    return shard_digests()[wildcards.shard]


@cache
@one_line
def _images_fingerprint():
    return PLAN.images_fingerprint()


def images_fingerprint(wildcards):
    """Hash of all inputs: an index that finds nothing new reruns nothing."""
    after("index")
    return _images_fingerprint()


# What is said at the end of a run, of the jobs that ran.
LAST_WORDS = [
    Path(workflow.pathvars.get("logs"), name) for name in ("tidy.log", "accept.log")
]


def print_end():
    """Print the table of settings and where everything is, and then what must be known; maskgrid run does it itself."""
    if listened():
        return
    if PLAN.layout.statistics("summary").is_file():
        subprocess.run(
            [sys.executable, "-m", "maskgrid", "summary", *shlex.split(OPTIONS)],
            check=False,
        )
    for path in LAST_WORDS:
        if path.is_file():
            print(path.read_text(errors="replace"), end="", file=sys.stderr)
