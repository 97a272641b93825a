"""What outputs are made from: the origin that each carries, and its fingerprint.

An origin holds everything that decides an output's content, and nothing else: no file locations, no times, and for
tables of the whole dataset nothing about how images are spread over shards.
"""

from collections.abc import Mapping

import orjson

from maskgrid.config.models import ModelConfig
from maskgrid.config.settings import Setting
from maskgrid.dataset.annotations.categories import categories_content
from maskgrid.dataset.annotations.region_masks import region_contents
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint, package_versions
from maskgrid.io.tables import read_origin
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.plan.notes import Origin, network_origin
from maskgrid.plan.passes import PassRun, Recording, setting_runs
from maskgrid.plan.plan import Plan


def pass_origin(model: ModelConfig, checkpoint: Checkpoint, run: PassRun) -> Origin:
    """The part of the candidates' origin that the config decides."""
    # Below float32, mode fast once computed all in that dtype; those candidates must not count as current.
    is_mixed = model.mode == "fast" and model.dtype != "float32"
    mode = f"{model.mode} in {model.dtype} and float32" if is_mixed else model.mode
    return {**network_origin(model, checkpoint), "pass": run.pass_.name, "mode": mode}


def candidates_origin(of_pass: Origin, recording: Recording, images_digest: str, device_type: str) -> Origin:
    """The origin of a shard's candidates.

    Args:
        of_pass: from :func:`pass_origin`.
        recording: what is recorded.
        images_digest: the digest of the shard's images.
        device_type: cpu, cuda or mps; their arithmetic differs in the last bits.
    """
    origin = {
        **of_pass,
        "device": device_type,
        "packages": package_versions(),
        "recording": recording.as_dict(),
        "images": images_digest,
    }
    return {**origin, "fingerprint": fingerprint(origin)}


def selections_origin(plan: Plan, shard: str, regions: Mapping[str, str] | None = None) -> Origin:
    """The origin of a shard's selections; it does not depend on how much more than needed is recorded.

    Args:
        plan: the plan of the run.
        shard: the shard.
        regions: from :func:`maskgrid.dataset.annotations.region_masks.region_contents`, for callers with many shards.

    Raises:
        UserError: candidates are missing or cut off, or were made from other images than the index has.
    """
    settings = [setting.id for setting in plan.settings]
    images = plan.shard_digests()[shard]
    passes = {}
    for run in plan.runs:
        path = plan.layout.candidates(run, shard)
        origin = read_origin(path)
        if origin.get("images") != images:
            raise UserError(f"{path}: has other images than the index; run maskgrid generate for this shard again")
        passes[run.folder] = _without(origin, "recording", "images", "members", "fingerprint", "schema_version")
    content: Origin = {"settings": settings, "images": images, "passes": passes}
    regions = region_contents(plan) if regions is None else regions
    if regions:
        content["regions"] = dict(regions)
    return {**content, "fingerprint": fingerprint(content)}


def dataset_origin(plan: Plan) -> Origin:
    """The origin of all shards' selections; it does not depend on how images are spread over shards.

    Raises:
        UserError: the index or a shard's selections are missing, cut off, or from different runs.
    """
    passes: dict[str, set[bytes]] = {}
    regions: dict[str, set[str]] = {}
    for shard, digest in plan.shard_digests().items():
        path = plan.layout.selections(shard)
        origin = read_origin(path)
        if origin.get("images") != digest:
            raise UserError(f"{path}: has other images than the index; run maskgrid replay for this shard again")
        for name, network in origin["passes"].items():
            passes.setdefault(name, set()).add(orjson.dumps(network, option=orjson.OPT_SORT_KEYS))
        for name, content in origin.get("regions", {}).items():
            regions.setdefault(name, set()).add(content)
    made_from: Origin = {
        "images": read_origin(plan.layout.images)["fingerprint"],
        "passes": {name: [orjson.loads(network) for network in sorted(kinds)] for name, kinds in passes.items()},
    }
    return {**made_from, "regions": {name: sorted(found) for name, found in regions.items()}} if regions else made_from


def annotated_origin(plan: Plan) -> Origin:
    """The origin of all COCO files: that of the selections, and the objects that give masks their categories.

    Raises:
        UserError: as in :func:`dataset_origin`, or the objects cannot be read.
    """
    categories = categories_content(plan)
    return dataset_origin(plan) | ({} if categories is None else {"categories": categories})


def gathered_origin(plan: Plan) -> Origin:
    """The origin of all shards' selections, with the settings that they answer.

    Raises:
        UserError: as in :func:`dataset_origin`.
    """
    content = {"settings": [setting.id for setting in plan.settings], **dataset_origin(plan)}
    return {**content, "fingerprint": fingerprint(content)}


def statistics_origin(plan: Plan) -> Origin:
    """The origin of the statistics.

    Raises:
        UserError: as in :func:`dataset_origin`.
    """
    settings = [[setting.id, *setting.names] for setting in plan.settings]
    content = {"settings": settings, "baseline": plan.baseline.id, **dataset_origin(plan)}
    return {"baseline": plan.baseline.id, "fingerprint": fingerprint(content)}


def annotations_fingerprint(setting: Setting, dataset: Origin) -> str:
    """Fingerprint of a setting's annotations; ``dataset`` is from :func:`annotated_origin`, which is slow to read."""
    content: Origin = {
        "setting": [setting.id, *setting.names],
        "output_mode": setting.generator.output_mode,
        "images": dataset["images"],
        # This setting's own only: other passes come and go without changing its annotations.
        "passes": {run.folder: dataset["passes"].get(run.folder) for run in setting_runs(setting)},
    }
    if setting.filters.region is not None:
        content["region"] = dataset["regions"].get(setting.filters.region)
    if "categories" in dataset:
        content["categories"] = dataset["categories"]
    return fingerprint(content)


def _without(origin: Origin, *names: str) -> Origin:
    return {name: value for name, value in origin.items() if name not in names}
