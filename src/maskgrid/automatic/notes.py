"""What outputs are made from: the notes that they carry, and the fingerprints over them.

A note tells everything that decides about an output's content, and nothing else: not where files lie, not when it was
made, and for tables of the whole dataset not how images are spread over shards.
"""

import orjson

from maskgrid.config.settings import Setting
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint, package_versions
from maskgrid.io.tables import read_origin
from maskgrid.network.checkpoints import checkpoint_id
from maskgrid.plan.notes import Note, network_note
from maskgrid.plan.passes import PassRun, Recording, passes_of
from maskgrid.plan.plan import Plan


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


def annotations_fingerprint(plan: Plan, setting: Setting, note: Note) -> str:
    """Of what the annotations of a setting are made from; ``note`` is that of the dataset, which takes reading."""
    folder = checkpoint_id(setting.checkpoint)
    # Passes of other settings come and go without a change to this one.
    passes = {name: note["passes"].get(name) for name in (f"{folder}/{p.name}" for p in passes_of(setting.generator))}
    form = setting.generator.output_mode
    content = {"setting": [setting.id, *setting.names], "output_mode": form, "images": note["images"], "passes": passes}
    return fingerprint(content)


def _without(note: Note, *names: str) -> Note:
    return {name: value for name, value in note.items() if name not in names}
