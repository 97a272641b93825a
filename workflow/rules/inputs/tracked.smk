"""Inputs and params of the tracking job's rules; empty if the config has no section tracking."""

import orjson

from maskgrid.plan.layout import TRACKED_DOCUMENTS
from maskgrid.plan.remote import is_url

TRACKING = PLAN.config.tracking.model_dump() if PLAN.config.tracking else {}
# The file of prompts; none if objects are found automatically. The demo's is drawn with its clips.
TRACKED_PROMPTS = TRACKING.get("prompts") if TRACKING.get("prompts") != "demo" else None


@cache
@one_line
def video_listing():
    """Digest of the files at the source: a new, changed or missing video reruns the rule videos."""
    if not workflow.is_main_process:
        return "not listed"
    from maskgrid.tracked.videos import source_digest

    return source_digest(PLAN)


def video_planning(wildcards):
    """The config's parameters of videos, prompts and jobs that do not affect masks, as JSON."""
    from maskgrid.tracked.parameters import planning_parameters

    return orjson.dumps(planning_parameters(PLAN)).decode()


def video_files():
    """The files of videos and prompts, if they are single files or URLs."""
    files = [TRACKING.get("source"), TRACKING.get("prompts")]
    return [
        named(path)
        for path in files
        if path and (is_url(path) or PLAN.located(path).is_file())
    ]


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
        [*final([str(PLAN.layout.tracked.page)]), *tracked_documents()]
        if TRACKING
        else []
    )
