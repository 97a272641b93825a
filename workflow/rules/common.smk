"""What the rules share: the plan, and functions that look things up in it when a job needs them."""

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

CONFIG_FILE = "results/config.json"
SOURCE_FOLDER = str(
    Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1] / "src"
)
# A conda environment holds the packages but not this one; otherwise jobs run with the Python that runs Snakemake.
if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    MASKGRID = f"PYTHONPATH={shlex.quote(SOURCE_FOLDER)} python -m maskgrid"
else:
    MASKGRID = f"{shlex.quote(sys.executable)} -m maskgrid"


def command(wildcards, threads):
    """How jobs call maskgrid.

    Snakemake takes no param that asks for threads for a reason to run again: another Python, or an environment that has
    moved, must not cost the network's work.
    """
    return MASKGRID


OPTIONS = f"--config {CONFIG_FILE} --results results"
# The params of every rule that calls maskgrid.
CALL = {"maskgrid": command, "options": OPTIONS}

# Jobs write into the folder by its own name, and not where a storage plugin would keep its copy of each file.
if workflow.storage_settings.default_storage_provider not in (None, "none"):
    raise WorkflowError(
        "Results lie in a folder: this workflow cannot have them on --default-storage-provider "
        f"{workflow.storage_settings.default_storage_provider}. Leave the option out; docs/cluster.md says what does."
    )


@contextmanager
def one_line_errors():
    """Errors that the user can mend, as Snakemake says them without a traceback."""
    try:
        yield
    except UserError as error:
        raise WorkflowError(str(error)) from None


with one_line_errors():
    # As a module of another workflow, this one is handed a config that is its own; files and options are the other's.
    if workflow.modifier.is_main_snakefile():
        for path in [*workflow.overwrite_configfiles, *workflow.configfiles]:
            if workflow.is_main_process and Path(path).is_file():
                refuse_repeated_keys(Path(path))
        update_config(config, typed(workflow.config_settings.config))
    PLAN = make_plan(parse_config(config, "config"), Path(), Path("results"))

# Adding a value to a sweep, or naming a setting, changes what the tables hold.
SETTINGS_DIGEST = PLAN.settings_digest()

# The config's checkpoint, if the user has it as a file: a new one makes prompts and videos run again.
CHECKPOINT_FILES = own_files(PLAN.config.model.checkpoint)


def write_config():
    """Write the config as the jobs read it."""
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
    """Say that what follows can be known once a checkpoint has run.

    A job on another machine sees its own rule alone, in which Snakemake takes no checkpoint for finished; but what a
    job is submitted for comes after it.
    """
    if workflow.is_main_process:
        getattr(checkpoints, checkpoint).get()


def shards():
    """Names of the shards, once the checkpoint `index` has run."""
    after("index")
    return PLAN.shards()


@cache
def shard_digests():
    """The digest of each shard, by name."""
    return PLAN.shard_digests()


def shard_digest(wildcards):
    """What a shard's images are: the one thing about the dataset that its jobs depend on."""
    after("index")
    return shard_digests()[wildcards.shard]


@cache
def _images_fingerprint():
    return PLAN.images_fingerprint()


def images_fingerprint(wildcards):
    """What the inputs are: an index that has found nothing new makes nothing run again."""
    after("index")
    return _images_fingerprint()
