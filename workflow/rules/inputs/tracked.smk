"""Inputs and params of the tracking job's rules; empty if the config has no section tracking."""

import orjson

from maskgrid.plan.layout import TRACKED_DOCUMENTS
from maskgrid.plan.remote import is_url

TRACKING = PLAN.config.tracking.model_dump() if PLAN.config.tracking else {}
# The file of prompts; none if objects are found automatically. The demo's is drawn with its clips.
TRACKED_PROMPTS = TRACKING.get("prompts") if TRACKING.get("prompts") != "demo" else None


# The optional packages that are there now and that a frame of a video lacked once.
TRACKED_EXTRAS = extras_param(PLAN.layout.tracked.files)


@cache
@one_line
def video_listing():
    """Digest of the files at the source: a new, changed or missing video reruns the rule videos."""
    if not workflow.is_main_process:
        return "not listed"
    from maskgrid.tracked.videos.stage import source_digest

    return source_digest(PLAN)


def video_planning(wildcards):
    """The config's parameters of videos, prompts and jobs that do not affect masks, as JSON."""
    from maskgrid.tracked.parameters import planning_parameters

    return orjson.dumps(planning_parameters(PLAN)).decode()


def video_files():
    """The files of videos and prompts, if they are single files or URLs."""
    files = [TRACKING.get("source"), TRACKING.get("prompts")]
    there = (
        path
        for path in files
        if path and (is_url(path) or PLAN.located(path).is_file())
    )
    return named(*there)


@cache
@one_line
def track_jobs():
    """The jobs of all videos, once the checkpoint `videos` has run."""
    from maskgrid.tracked.jobs import read_jobs

    return read_jobs(PLAN.layout.tracked.jobs)


def track_digest(wildcards):
    """Digest of a job's videos and prompts: the job depends on nothing else about them."""
    after("videos")
    return next(
        job.digest
        for job in track_jobs()
        if (job.run, job.group) == (wildcards.run, wildcards.group)
    )


def tracking_parameters(wildcards):
    """The parameters that affect a run's masks, as JSON; without prompts, also how objects are found."""
    from maskgrid.tracked.parameters import mask_parameters, setting_name

    values = mask_parameters(PLAN, setting_name(wildcards.run))
    return orjson.dumps(values).decode()


def track_parts(wildcards):
    """The masklets of all groups of a run."""
    after("videos")
    return final(
        str(PLAN.layout.tracked.part(job.run, job.group))
        for job in track_jobs()
        if job.run == wildcards.run
    )


def tracked_runs():
    """The names of all runs."""
    after("videos")
    return sorted({job.run for job in track_jobs()})


def masklet_files(wildcards):
    """The masklets of all runs."""
    return final(str(PLAN.layout.tracked.masklets(run)) for run in tracked_runs())


def track_exports(wildcards):
    """The masklets of all runs in the forms that the config asks for."""
    forms = [form for form in TRACKING["exports"] if form not in TRACKED_DOCUMENTS]
    return final(
        str(PLAN.layout.tracked.export(form, run))
        for run in tracked_runs()
        for form in forms
    )


# The true objects that masklets are measured against; none for the demo, which writes them with its clips.
TRUE_OBJECTS = (
    TRACKING.get("ground_truth") if TRACKING.get("ground_truth") != "demo" else None
)


def true_objects_source():
    """The true objects, as an input, if they are one file."""
    if TRUE_OBJECTS is None:
        return []
    is_file = is_url(TRUE_OBJECTS) or PLAN.located(TRUE_OBJECTS).is_file()
    return named(TRUE_OBJECTS) if is_file else []


@cache
@one_line
def true_objects_content():
    """Digest of the true objects: changed ones are read again."""
    if not workflow.is_main_process:
        return "not read"
    from maskgrid.tracked.accuracy.truth import truth_state

    return truth_state(PLAN)


@cache
@one_line
def _videos_fingerprint():
    from maskgrid.io.tables import read_origin

    return read_origin(PLAN.layout.tracked.videos)["fingerprint"]


def videos_fingerprint(wildcards):
    """Hash of all videos, without their places: the same videos elsewhere rerun nothing."""
    after("videos")
    return _videos_fingerprint()


def measuring_parameters(wildcards):
    """How masklets are measured against the true objects, as JSON."""
    from maskgrid.tracked.accuracy.notes import how_measured

    return orjson.dumps(how_measured(PLAN.tracking)).decode()


def run_accuracies(wildcards):
    """The accuracies of all runs, if there is ground truth."""
    if TRACKING.get("ground_truth") is None:
        return []
    return final(str(PLAN.layout.tracked.run_accuracy(run)) for run in tracked_runs())


def tracked_accuracies():
    """The tables of accuracy over all videos, if there is ground truth."""
    layout = PLAN.layout.tracked
    tables = (layout.accuracy, layout.accuracy_videos, layout.accuracy_settings)
    return final(map(str, tables)) if TRACKING.get("ground_truth") else []


def tracked_documents():
    """Files over all videos, besides the tables and the page."""
    exports = TRACKING.get("exports", [])
    forms = [form for form in exports if form in TRACKED_DOCUMENTS]
    player = [PLAN.layout.tracked.player] if "player" in exports else []
    return final(map(str, [*map(PLAN.layout.tracked.document, forms), *player]))


def tracked_results():
    """The tracking job's results, if the config asks for it."""
    # Documents too: Snakemake reruns no finished job for outputs that nobody asks for.
    return (
        [
            *final([str(PLAN.layout.tracked.page)]),
            *tracked_documents(),
            *tracked_accuracies(),
        ]
        if TRACKING
        else []
    )
