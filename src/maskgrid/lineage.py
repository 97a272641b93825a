"""What outputs are made from: the notes that they carry, and the fingerprints over them.

A note tells everything that decides about an output's content, and nothing else: not where files lie, not when it was
made, and for tables of the whole dataset not how images are spread over shards.
"""

from typing import Any

import orjson

from maskgrid.errors import UserError
from maskgrid.fingerprint import fingerprint, package_versions
from maskgrid.passes import PassRun, Recording, passes_of
from maskgrid.plan import Plan
from maskgrid.settings import Setting
from maskgrid.tables import read_origin
from maskgrid.weights import checkpoint_id, resolve_checkpoint

Note = dict[str, Any]


def candidates_note(plan: Plan, run: PassRun, recording: Recording, images_digest: str, device_type: str) -> Note:
    """What the candidates of a shard are made from.

    Args:
        plan: the plan.
        run: the pass.
        recording: what is recorded.
        images_digest: of the shard's members.
        device_type: cpu, cuda or mps; their arithmetic differs in the last bits.
    """
    note = {
        **network_note(plan, run),
        "device": device_type,
        "packages": package_versions(),
        "recording": recording.as_dict(),
        "images": images_digest,
    }
    return {**note, "fingerprint": fingerprint(note)}


def network_note(plan: Plan, run: PassRun) -> Note:
    """What the config says about the network of a pass; what it does not say differs between machines."""
    model = plan.config.model
    checkpoint = resolve_checkpoint(run.checkpoint, model.config, allow_unverified=model.allow_unverified)
    return {
        "checkpoint": checkpoint_id(run.checkpoint),
        "checkpoint_sha256": checkpoint.sha256,
        "pass": run.pass_.name,
        "dtype": model.dtype,
        # Below float32 mode fast once had sam2's own decoder.
        "mode": model.mode if model.dtype == "float32" or model.mode == "exact" else f"{model.mode} in {model.dtype}",
        "apply_postprocessing": model.apply_postprocessing,
    }


def selections_note(plan: Plan, shard: str) -> Note:
    """What the selections of a shard are made from: its candidates, however much more of them is recorded.

    Raises:
        UserError: candidates are missing or cut off, or of other images than the index has.
    """
    settings = [setting.id for setting in plan.settings]
    images = plan.shard_digests()[shard]
    passes = {}
    for run in plan.runs:
        folder = checkpoint_id(run.checkpoint)
        path = plan.layout.candidates(folder, run.pass_.name, shard)
        note = read_origin(path)
        if note.get("images") != images:
            raise UserError(f"{path}: is of other images than the index; run maskgrid generate for this shard again")
        passes[f"{folder}/{run.pass_.name}"] = _without(note, "recording", "images", "fingerprint", "schema_version")
    content = {"settings": settings, "images": images, "passes": passes}
    return {**content, "fingerprint": fingerprint(content)}


def dataset_note(plan: Plan) -> Note:
    """What the selections of all shards are made from, the same however images are spread over them.

    Raises:
        UserError: the index or a shard's selections are missing or cut off, or do not belong together.
    """
    passes: dict[str, set[bytes]] = {}
    for shard, digest in plan.shard_digests().items():
        path = plan.layout.selections(shard)
        note = read_origin(path)
        if note.get("images") != digest:
            raise UserError(f"{path}: is of other images than the index; run maskgrid replay for this shard again")
        for name, network in note["passes"].items():
            passes.setdefault(name, set()).add(orjson.dumps(network, option=orjson.OPT_SORT_KEYS))
    return {
        "images": read_origin(plan.layout.images)["fingerprint"],
        "passes": {name: [orjson.loads(network) for network in sorted(kinds)] for name, kinds in passes.items()},
    }


def gathered_note(plan: Plan) -> Note:
    """What the selections of all shards are made from, with the settings that they answer.

    Raises:
        UserError: as :func:`dataset_note`.
    """
    content = {"settings": [setting.id for setting in plan.settings], **dataset_note(plan)}
    return {**content, "fingerprint": fingerprint(content)}


def statistics_note(plan: Plan) -> Note:
    """What the statistics are made from.

    Raises:
        UserError: as :func:`dataset_note`.
    """
    settings = [[setting.id, *setting.names] for setting in plan.settings]
    content = {"settings": settings, "baseline": plan.baseline.id, **dataset_note(plan)}
    return {"baseline": plan.baseline.id, "fingerprint": fingerprint(content)}


def accuracy_note(plan: Plan) -> Note:
    """What the accuracies are made from.

    Raises:
        UserError: as :func:`dataset_note`.
    """
    content = {
        "statistics": statistics_note(plan)["fingerprint"],
        "objects": read_origin(plan.layout.ground_truth("objects"))["fingerprint"],
    }
    return {**content, "fingerprint": fingerprint(content)}


def annotations_fingerprint(plan: Plan, setting: Setting, note: Note) -> str:
    """Of what the annotations of a setting are made from; ``note`` is that of the dataset, which takes reading."""
    folder = checkpoint_id(setting.checkpoint)
    # Passes of other settings come and go without a change to this one.
    passes = {name: note["passes"].get(name) for name in (f"{folder}/{p.name}" for p in passes_of(setting.generator))}
    form = setting.generator.output_mode
    content = {"setting": [setting.id, *setting.names], "output_mode": form, "images": note["images"], "passes": passes}
    return fingerprint(content)


def report_fingerprint(plan: Plan) -> str:
    """Of what the pages and pictures of the report are made from: the tables that lie there.

    Raises:
        UserError: a table is missing or cut off.
    """
    recordings = set()
    for run in plan.runs:  # what the explorer replays
        folder, name = checkpoint_id(run.checkpoint), run.pass_.name
        for shard in plan.shards():
            recorded = read_origin(plan.layout.candidates(folder, name, shard)).get("recording")
            recordings.add(orjson.dumps([folder, name, recorded], option=orjson.OPT_SORT_KEYS))
    tables = ["summary", *(["accuracy_summary"] if plan.ground_truth() else [])]
    statistics = [read_origin(plan.layout.statistics(table)).get("fingerprint") for table in tables]
    return fingerprint({"statistics": statistics, "recordings": [one.decode() for one in sorted(recordings)]})


def _without(note: Note, *names: str) -> Note:
    return {name: value for name, value in note.items() if name not in names}
