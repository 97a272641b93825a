"""What the rules share: the plan, and functions that look things up in it when a job needs them."""

import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import orjson
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import update_config

from maskgrid.cli.cluster_jobs import refuse_second_writers
from maskgrid.config.files import parse_config, refuse_repeated_keys, save_config, typed
from maskgrid.io.errors import UserError, disk_failure
from maskgrid.plan.plan import make_plan
from maskgrid.plan.text import plan_text
from maskgrid.plan.remote import is_url
from maskgrid.config.sweep import find
from maskgrid.network.checkpoints import own_files

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

# Jobs write into the folder by its own name, and not where a storage plugin would keep its copy of each file.
if workflow.storage_settings.default_storage_provider not in (None, "none"):
    raise WorkflowError(
        "Results lie in a folder: this workflow cannot have them on --default-storage-provider "
        f"{workflow.storage_settings.default_storage_provider}. Leave the option out; docs/cluster.md says what does."
    )

try:
    # As a module of another workflow, this one is handed a config that is its own; files and options are the other's.
    if workflow.modifier.is_main_snakefile():
        for path in [*workflow.overwrite_configfiles, *workflow.configfiles]:
            if workflow.is_main_process and Path(path).is_file():
                refuse_repeated_keys(Path(path))
        update_config(config, typed(workflow.config_settings.config))
    PLAN = make_plan(parse_config(config, "config"), Path(), Path("results"))
except UserError as error:
    raise WorkflowError(str(error)) from None

# Adding a value to a sweep, or naming a setting, changes what the tables hold.
SETTINGS_DIGEST = PLAN.settings_digest()


wildcard_constraints:
    checkpoint=r"[^/]+",
    pass_name=r"crop\d[^/]*",
    shard=r"[a-z0-9]+(-[0-9a-z]+)?",


@cache
def listing():
    """A digest of what lies at the source: a new, changed or missing file makes the index run again.

    Jobs on other machines run one rule each and must not list the dataset for it.
    """
    if not workflow.is_main_process:
        return "not listed"
    from maskgrid.dataset.index import source_digest

    try:
        return source_digest(PLAN)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def after(checkpoint):
    """Say that what follows can be known once a checkpoint has run.

    A job on another machine sees its own rule alone, in which Snakemake takes no checkpoint for finished; but what a
    job is submitted for comes after it.
    """
    if workflow.is_main_process:
        getattr(checkpoints, checkpoint).get()


def stored(file):
    """A file that the config names by URL, as the storage plugin that takes such URLs knows it."""
    try:
        return storage(file.url)
    except WorkflowError as error:
        scheme = file.url.partition("://")[0]
        raise WorkflowError(
            f"{file.key}: {file.url} is fetched by a storage plugin of Snakemake: "
            f"pip install snakemake-storage-plugin-{scheme}, or what its catalog names for such URLs. {error}"
        ) from None


# A plugin that is missing is said before any work.
STORED = {file.path: stored(file) for file in PLAN.remote if workflow.is_main_process}


def remote_file(wildcards):
    """What the rule fetch fetches; it runs in the main process alone."""
    return STORED[wildcards.path]


def index_files():
    """All that `index` writes: as long as one is missing the checkpoint is not passed, and none else asks for each."""
    layout = PLAN.layout
    return [
        str(path)
        for path in (layout.files, layout.images, layout.shards, layout.archives)
    ]


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


def recording_json(wildcards):
    """What to record for a shard; as it is recorded already, where that is enough for the sweep."""
    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return orjson.dumps(PLAN.recording(run, wildcards.shard).as_dict()).decode()


def checkpoint_file(wildcards):
    """A checkpoint that the user has as a file: a new one makes its passes run again."""
    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return own_files(run.checkpoint)


def candidate_files_of(shard):
    """The candidates of all passes over a shard."""
    return [str(PLAN.layout.candidates(run, shard)) for run in PLAN.runs]


def candidate_files(wildcards):
    """The same, of a job's shard."""
    after("index")
    return candidate_files_of(wildcards.shard)


def selection_files(wildcards):
    """The selections of all shards."""
    return [str(PLAN.layout.selections(shard)) for shard in shards()]


def gathered_file(wildcards):
    """The selections of all shards, as one file.

    A function that waits for the index: else Snakemake, which judges each job once before the checkpoint and once
    after it, would keep for what follows a merge the verdict of before.
    """
    after("index")
    return str(PLAN.layout.gathered)


def deleted_files(wildcards):
    """Candidates and selections that a COCO file is to be made from, and that were deleted when all was finished.

    A merge names none of its shards, so the target of everything asks for them. Usually nothing is looked at.
    """
    is_merged = all(Path(path).is_file() for path in annotation_files())
    if is_merged or not PLAN.layout.gathered.is_file():
        return []
    wanted = [
        path
        for shard in shards()
        for path in (
            *map(Path, candidate_files_of(shard)),
            PLAN.layout.selections(shard),
        )
    ]
    return [str(path) for path in wanted if not path.is_file()]


def count_files(wildcards):
    """The counts of all shards."""
    return [str(PLAN.layout.shard_counts(shard)) for shard in shards()]


def check_queue():
    """Jobs of a driver that was killed go on; a second run beside them is refused."""
    try:
        refuse_second_writers(Path())
    except UserError as error:
        raise WorkflowError(str(error)) from None


def write_config():
    """The config as the jobs read it."""
    try:
        save_config(PLAN.config, Path(CONFIG_FILE))
    except OSError as error:
        raise WorkflowError(
            disk_failure(error) or f"{CONFIG_FILE}: cannot be written: {error.strerror}"
        ) from None


def print_summary():
    """The table of settings, as the last thing that a run says, where the run was for it."""
    if not PLAN.layout.statistics("summary").is_file():
        return
    subprocess.run(
        [sys.executable, "-m", "maskgrid", "summary", *OPTIONS.split()], check=False
    )


def annotation_files():
    """A COCO file for each setting that the config names under annotations."""
    return [str(PLAN.layout.annotations(setting.label)) for setting in PLAN.exported()]


def export_files():
    """Other forms of the annotations, as the config names them."""
    return [
        str(PLAN.layout.export(form, setting.label))
        for form in PLAN.config.exports
        if form != "card"
        for setting in PLAN.exported()
    ]


def card_files():
    """The dataset card and its metadata, where the config wants them."""
    if "card" not in PLAN.config.exports:
        return []
    return [str(PLAN.layout.card), str(PLAN.layout.croissant)]


def overlay_files():
    """A contact sheet for each setting that is exported."""
    return [
        f"results/report/overlays/{setting.label}.jpg" for setting in PLAN.exported()
    ]


def ground_truth_source():
    """The annotations to measure against; the demo's come with its images."""
    path = PLAN.ground_truth()
    return (
        [str(path)] if path is not None and PLAN.config.dataset.source != "demo" else []
    )


def accuracy_files(wildcards):
    """The accuracies of all shards."""
    return [str(PLAN.layout.shard_accuracy(shard)) for shard in shards()]


def accuracy_results():
    """Tables of accuracy, where there is something to measure against."""
    if PLAN.ground_truth() is None:
        return []
    return [
        str(PLAN.layout.statistics("accuracy")),
        str(PLAN.layout.statistics("accuracy_summary")),
    ]


# The prompted job, where the config has a section prompts.
PROMPTS = PLAN.config.prompts.model_dump() if PLAN.config.prompts else {}
PREDICTION = {
    name: value
    for name, value in PROMPTS.items()
    if name not in ("source", "use", "normalized", "sweep")
}
PROMPT_SETTINGS = [[setting.id, setting.label] for setting in PLAN.prompt_settings]


def prompt_source():
    """The file of prompts; the demo's comes with its images."""
    source = PROMPTS.get("source", "demo")
    return [str(PLAN.located(source))] if source.lower() != "demo" else []


@cache
def prompt_pictures():
    """A digest of the pictures that the file of prompts names: a new or changed one makes it be read again."""
    if not workflow.is_main_process or is_url(PROMPTS.get("source")):
        return "not listed"
    from maskgrid.prompted.notes import pictures_digest

    return "".join(pictures_digest(Path(path)) for path in prompt_source())


def prompt_checkpoint():
    """A checkpoint that the user has as a file: a new one makes the jobs run again."""
    return own_files(PLAN.config.model.checkpoint)


def prompted_files(wildcards):
    """The given objects' masks of all shards."""
    return [str(PLAN.layout.prompted(shard)) for shard in shards()]


def prompted_results():
    """What the prompted job gives, where the config asks for one."""
    if not PROMPTS:
        return []
    return [
        str(PLAN.layout.prompted_annotations),
        str(PLAN.layout.prompted_statistics),
        str(PLAN.layout.prompted_settings),
        str(PLAN.layout.prompted_worst),
    ]


# The tracking job, where the config has a section tracking.
TRACKING = PLAN.config.tracking.model_dump() if PLAN.config.tracking else {}


@cache
def video_listing():
    """A digest of what lies at the source of videos: a new, changed or missing one makes their index run again."""
    if not workflow.is_main_process:
        return "not listed"
    from maskgrid.tracked.videos import source_digest

    try:
        return source_digest(PLAN)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def video_planning(wildcards):
    """What the config says about videos, prompts and jobs, but not about masks."""
    names = (
        "source",
        "prompts",
        "use",
        "prompt_frames",
        "normalized",
        "start",
        "stop",
        "stride",
        "objects_per_job",
        "non_overlap_masks",
        "sweep",
    )
    return orjson.dumps({name: TRACKING.get(name) for name in names}).decode()


def video_files():
    """The source of videos and that of prompts, where they are files of the user's own."""
    files = [TRACKING.get("source"), TRACKING.get("prompts")]
    return [
        str(PLAN.located(path))
        for path in files
        if path and (is_url(path) or PLAN.located(path).is_file())
    ]


@cache
def track_jobs():
    """The jobs of all videos, once the checkpoint `videos` has run."""
    from maskgrid.tracked.jobs import read_jobs

    return read_jobs(PLAN.layout.tracked.jobs)


def track_digest(wildcards):
    """What a job works on: the one thing about videos and prompts that it depends on."""
    after("videos")
    return next(
        job.digest
        for job in track_jobs()
        if (job.run, job.group) == (wildcards.run, wildcards.group)
    )


def tracking_parameters(wildcards):
    """What decides about masks, of the section tracking; for objects that are found, also how."""
    from maskgrid.tracked.parameters import mask_parameters, setting_name

    values = mask_parameters(PLAN.config, setting_name(wildcards.run))
    return orjson.dumps(values).decode()


def track_parts(wildcards):
    """The masklets of all groups of a run."""
    after("videos")
    return [
        str(PLAN.layout.tracked.part(job.run, job.group))
        for job in track_jobs()
        if job.run == wildcards.run
    ]


def tracked_runs():
    """The names of all runs."""
    after("videos")
    return sorted({job.run for job in track_jobs()})


def masklet_files(wildcards):
    """The masklets of all runs."""
    return [str(PLAN.layout.tracked.masklets(run)) for run in tracked_runs()]


def track_exports(wildcards):
    """The masklets of all runs in the forms that the config asks for."""
    forms = [form for form in TRACKING["exports"] if form != "youtube_vis"]
    return [
        str(PLAN.layout.tracked.export(form, run))
        for run in tracked_runs()
        for form in forms
    ]


def tracked_documents():
    """Files of all videos together, beside the tables and the page."""
    is_asked_for = "youtube_vis" in TRACKING.get("exports", [])
    return [str(PLAN.layout.tracked.youtube_vis)] if is_asked_for else []


def tracked_results():
    """What the tracking job gives, where the config asks for one."""
    return [str(PLAN.layout.tracked.page)] if TRACKING else []
