"""What all rules share: the plan, and functions that look up in it what a job needs."""

import shlex
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import update_config

from maskgrid.cli.workflow_config import refuse_repeated_keys, typed
from maskgrid.config.files import parse_config, save_config
from maskgrid.io.errors import UserError, disk_failure
from maskgrid.network.checkpoints import own_files
from maskgrid.plan.plan import make_plan

# Paths in rules begin with <results>, <logs> or <benchmarks>: another run in the same folder has others, by
# --config 'pathvars={results: other, logs: other/logs, benchmarks: other/benchmarks}'.
RESULTS = workflow.pathvars.get("results")
CONFIG_FILE = f"{RESULTS}/config.json"
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


OPTIONS = shlex.join(["--config", CONFIG_FILE, "--results", RESULTS])
# The params of every rule that calls maskgrid.
CALL = {"maskgrid": command, "options": OPTIONS}

# Jobs write to results/ directly, not to where a storage plugin would keep its copy of each file.
if workflow.storage_settings.default_storage_provider not in (None, "none"):
    raise WorkflowError(
        "Results must be in a folder: this workflow cannot write them to --default-storage-provider "
        f"{workflow.storage_settings.default_storage_provider}. Remove the option; see docs/cluster.md."
    )


@contextmanager
def one_line_errors():
    """Raise a user's mistakes as errors that Snakemake prints in one line, without a traceback."""
    try:
        yield
    except UserError as error:
        raise WorkflowError(str(error)) from None


with one_line_errors():
    # As a module of another workflow, this one gets its own config; config files and options belong to the other.
    if workflow.modifier.is_main_snakefile():
        for path in [*workflow.overwrite_configfiles, *workflow.configfiles]:
            if workflow.is_main_process and Path(path).is_file():
                refuse_repeated_keys(Path(path))
        update_config(config, typed(workflow.config_settings.config))
    config.pop("pathvars", None)  # Snakemake's own
    PLAN = make_plan(parse_config(config, "config"), Path(), Path(RESULTS))

# Adding a value to a sweep, or naming a setting, changes the tables.
SETTINGS_DIGEST = PLAN.settings_digest()

# The user's own checkpoint file, if the config names one: a changed file reruns prompts and videos.
CHECKPOINT_FILES = own_files(PLAN.config.model.checkpoint)


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
    pass_name=r"crop\d[^/]*",
    shard=r"[a-z0-9]+(-[0-9a-z]+)?",


def after(checkpoint):
    """Make Snakemake evaluate the caller only after this checkpoint has run.

    A job's own process sees only its rule, where Snakemake considers no checkpoint finished; but the job was submitted
    only after the checkpoint.
    """
    if workflow.is_main_process:
        getattr(checkpoints, checkpoint).get()


def shards():
    """The names of the shards, once the checkpoint `index` has run."""
    after("index")
    return PLAN.shards()


@cache
def shard_digests():
    """The digest of each shard, by name."""
    return PLAN.shard_digests()


def shard_digest(wildcards):
    """Digest of a shard's images: its jobs depend on nothing else about the dataset."""
    after("index")
    return shard_digests()[wildcards.shard]


@cache
def _images_fingerprint():
    return PLAN.images_fingerprint()


def images_fingerprint(wildcards):
    """Hash of all inputs: an index that finds nothing new reruns nothing."""
    after("index")
    return _images_fingerprint()
