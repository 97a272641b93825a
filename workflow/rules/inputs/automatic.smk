"""Inputs and params of the automatic job's rules."""

import orjson

from maskgrid.config.sweep import find
from maskgrid.dataset.earlier import recording_for


@one_line
def recording_json(wildcards):
    """What to record for a shard, as JSON; the existing recording if it is enough for the sweep."""
    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return orjson.dumps(recording_for(PLAN, run, wildcards.shard).as_dict()).decode()


def checkpoint_file(wildcards):
    """The user's own weights and their YAML, if the checkpoint is one and they are missing."""
    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return missing(own_files(run.checkpoint, PLAN.config.model.config))


def pass_weights(wildcards):
    """The content of the pass's weights, if they are the user's own."""
    return weights_of(PLAN.run(wildcards.checkpoint, wildcards.pass_name).checkpoint)


PASS_WEIGHTS = (
    {"weights": pass_weights}
    if any(own_files(run.checkpoint, None) for run in PLAN.runs)
    else {}
)


def tile_jobs(wildcards):
    """What says that the tiles of a shard's large images are done, where several jobs share them."""
    if PLAN.config.dataset.tiles_per_job is None:
        return []
    after("index")
    from maskgrid.automatic.generate.tile_jobs import tile_job_files

    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return final(str(path) for path in tile_job_files(PLAN, run, wildcards.shard))


# The regions that filters name: files as inputs, and the content of files and folders for params.
REGION_FILES = named(*PLAN.regions())


@cache
def region_content():
    """Sizes and times of the regions' pictures, and the content of their COCO files."""
    if not workflow.is_main_process:
        return "not read"
    from maskgrid.dataset.annotations.region_masks import region_states

    return region_states(PLAN)


REGIONS = {"regions": lambda wildcards: region_content()} if PLAN.regions() else {}


# The objects that give masks their categories; the demo's come with its images.
with one_line_errors():
    CATEGORIES_FROM = PLAN.categories_file()
CATEGORIES_FILE = [] if CATEGORIES_FROM is None else named(CATEGORIES_FROM)


@cache
def categories_state():
    """The section, and the content of its file and of the pictures that it names, as text."""
    content = content_of(CATEGORIES_FROM)
    if workflow.is_main_process and CATEGORIES_FROM and not is_url(CATEGORIES_FROM):
        from maskgrid.dataset.annotations.mask_pictures import states_of

        content += f" {states_of(PLAN.located(CATEGORIES_FROM))}"
    return f"{PLAN.config.categories.model_dump_json()} {content}"


CATEGORIES = (
    {"categories": lambda wildcards: categories_state()}
    if PLAN.config.categories
    else {}
)


def candidate_files_of(shard):
    """The candidates of all passes over a shard."""
    return final(str(PLAN.layout.candidates(run, shard)) for run in PLAN.runs)


def candidate_files(wildcards):
    """The same for a job's shard."""
    after("index")
    return candidate_files_of(wildcards.shard)


def selection_files(wildcards):
    """The selections of all shards."""
    return final(str(PLAN.layout.selections(shard)) for shard in shards())


def gathered_file(wildcards):
    """The one file that stands for the selections of all shards.

    A function, so that it waits for the index. Snakemake judges each job once before the checkpoint and once after it;
    without waiting, it would keep the first verdict for everything downstream of a merge.
    """
    after("index")
    return final([str(PLAN.layout.gathered)])


def deleted_files(wildcards):
    """Candidates and selections that a missing COCO file needs but that were deleted after an earlier run.

    A merge lists none of its shards as inputs, so the rule all asks for them. Usually this looks at no shard.
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
    return final(str(path) for path in wanted if not path.is_file())
