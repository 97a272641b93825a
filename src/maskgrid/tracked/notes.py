"""Origins and fingerprints of the outputs of tracking."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest, fingerprint, package_versions
from maskgrid.io.tables import read_origin
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.plan.layout import TrackedLayout
from maskgrid.plan.notes import Origin, network_origin
from maskgrid.plan.plan import Plan
from maskgrid.tracked.jobs import Job
from maskgrid.tracked.parameters import mask_parameters, options_of, reading_of
from maskgrid.tracked.prompts.checked import VideoPrompt, passes_of, prompt_contents
from maskgrid.tracked.videos.index import Video


def job_origin(plan: Plan, checkpoint: Checkpoint, job: Job, video: Video, prompts: Sequence[VideoPrompt]) -> Origin:
    """The part of a job's origin that config, video and prompts determine; the same on all machines."""
    reading = reading_of(plan)
    objects = {
        str(object_id): digest(prompt_contents([row for row in prompts if row.object_id == object_id]))
        for object_id in job.object_ids
    }
    return {
        **network_origin(plan.config.model, checkpoint),
        "video": {"video_key": video.video_key, "sha256": video.sha256, "size_hw": list(video.size_hw)},
        "frames": {"start": reading.start, "stop": reading.stop, "stride": reading.stride},
        "options": mask_parameters(plan, job.setting),
        "passes": list(map(str, passes_of(prompts, video, reading, options_of(plan.tracking)))),
        "objects": objects,
    }


def part_origin(origin: Origin, device_type: str) -> Origin:
    """Complete the origin of a job's masklets.

    Args:
        origin: from :func:`job_origin`.
        device_type: cpu, cuda or mps; their arithmetic differs in the last bits.
    """
    content = {**origin, "device": device_type, "packages": {**package_versions(), "av": version("av")}}
    return {**content, "fingerprint": fingerprint(content)}


def masklets_origin(paths: list[Path]) -> Origin:
    """Join the origins of a run's groups; the result does not depend on how objects are grouped.

    Raises:
        UserError: a group is missing or truncated, or the groups do not belong together.
    """
    origins = [_part_origin(path) for path in paths]
    content = {name: value for name, value in origins[0].items() if name not in ("fingerprint", "schema_version")}
    content["objects"] = {}
    for path, origin in zip(paths, origins, strict=True):
        if any(origin[name] != content[name] for name in content if name not in ("objects", "status", "message")):
            raise UserError(f"{path}: does not belong to {paths[0].name}; run maskgrid track for this group again")
        content["objects"] |= origin["objects"]
        if origin["status"] != "ok" and content["status"] == "ok":
            content |= {"status": origin["status"], "message": origin["message"]}
    return {**content, "fingerprint": fingerprint(content)}


def _part_origin(path: Path) -> Origin:
    origin = read_origin(path)
    if "objects" not in origin:
        raise UserError(f"{path}: was not written by maskgrid track; delete it and run again")
    return origin


def merged_origin(layout: TrackedLayout, runs: Iterable[str], with_truth: bool = False) -> Origin:
    """Return the origin of the merged outputs.

    Args:
        layout: the paths.
        runs: the names of all runs.
        with_truth: whether masklets are measured against true objects.

    Raises:
        UserError: a table is missing or truncated.
    """
    runs = [*runs]
    content = {
        "videos": read_origin(layout.videos)["fingerprint"],
        "prompts": read_origin(layout.prompts)["fingerprint"],
        "runs": {run: read_origin(layout.masklets(run))["fingerprint"] for run in runs},
    }
    if with_truth:
        content["truth"] = read_origin(layout.ground_truth("videos"))["fingerprint"]
        content["accuracy"] = {run: read_origin(layout.run_accuracy(run))["fingerprint"] for run in runs}
    return {**content, "fingerprint": fingerprint(content)}
