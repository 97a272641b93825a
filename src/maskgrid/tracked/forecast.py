"""What a run of the tracking job will do, in a line."""

from maskgrid.io.errors import UserError
from maskgrid.io.wording import count
from maskgrid.network.checkpoints import describe_checkpoint
from maskgrid.plan.plan import Plan
from maskgrid.tracked.jobs import read_jobs
from maskgrid.tracked.verify import are_of_other_settings, changed_sources, is_current_part
from maskgrid.tracked.videos.index import read_videos


def line(plan: Plan) -> str:
    """Say what is tracked, and how many jobs are done."""
    tracking, layout = plan.tracking, plan.layout.tracked
    how = tracking.prompts or f"objects found automatically, {count(len(plan.track_settings), 'setting')}"
    return f"{tracking.source}; {how}; {_progress(plan) if layout.jobs.is_file() else 'not started'}"


def _progress(plan: Plan) -> str:
    layout = plan.layout.tracked
    try:
        jobs, videos = read_jobs(layout.jobs), {video.video_key: video for video in read_videos(layout.files)}
        if any(changed_sources(plan, list(videos.values()))):
            return "videos or prompts have changed, so they are listed again first"
    except UserError:
        return "not started"
    if are_of_other_settings(plan, jobs):
        return "the sweep has other settings now, so the jobs are listed again first"
    checkpoint, _ = describe_checkpoint(plan.config.model.checkpoint, plan.config.model.config)
    done = sum(is_current_part(plan, checkpoint, job, videos[job.video_key]) for job in jobs)
    left = len(jobs) - done
    return f"{done} of {len(jobs)} jobs done" + (f"; network needed for {count(left, 'job')}" if left else "")
