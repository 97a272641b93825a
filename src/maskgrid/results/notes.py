"""What the accuracies and the report are made from: ``verify`` asks for it too, and must not wait for torch."""

import re
import tarfile
from pathlib import Path
from typing import Any

import orjson

from maskgrid.automatic.notes import statistics_origin
from maskgrid.dataset.annotations.mask_pictures import contents_of
from maskgrid.io.checks import info_of
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint
from maskgrid.io.tables import read_origin
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan

_COMMENT = "maskgrid fingerprint "
_IN_TEXT = re.compile(rb"fingerprint:? ([0-9a-f]{64})")


def tar_headers(fingerprint: str | None) -> dict[str, str]:
    """The global header of an archive that says which masks it has, as git does with commits."""
    return {"comment": f"{_COMMENT}{fingerprint}"} if fingerprint else {}


def fingerprint_in_tar(path: Path) -> str | None:
    """The fingerprint in an archive's global header; empty for one of ours without, None for others."""
    with tarfile.open(path, "r:") as archive:
        first = archive.next()
        comment = archive.pax_headers.get("comment", "")
    if comment.startswith(_COMMENT):
        return comment.removeprefix(_COMMENT)
    return "" if first is not None and re.fullmatch(r"sa_\d+\.json", first.name) else None


def fingerprint_in_text(path: Path) -> str | None:
    """The fingerprint in the dataset card or in its metadata; None if it has none."""
    found = _IN_TEXT.search(path.read_bytes())
    return found[1].decode() if found else None


def accuracy_origin(plan: Plan) -> Origin:
    """The origin of the accuracies: the fingerprints of the statistics and of the true objects.

    Raises:
        UserError: a table is missing or truncated.
    """
    content = {
        "statistics": statistics_origin(plan)["fingerprint"],
        "objects": read_origin(plan.layout.ground_truth("objects"))["fingerprint"],
    }
    return {**content, "fingerprint": fingerprint(content)}


def truth_origin(plan: Plan, path: Path) -> Origin:
    """The origin of the tables of true objects: the contents of the annotations and the index of the images.

    Raises:
        UserError: the annotations cannot be read, or there is no index.
    """
    try:
        annotations, *pictures = contents_of(path)
    except OSError as error:
        raise UserError(f"dataset.ground_truth: {path} cannot be read: {error.strerror}") from None
    content = {"annotations_sha256": annotations, "images": read_origin(plan.layout.images)["fingerprint"]}
    if pictures:
        content["pictures_sha256"] = pictures[0]
    return {**content, "fingerprint": fingerprint(content)}


def tuning_origin(plan: Plan) -> Origin:
    """The origin of what ``tune`` found: masks, objects, the section ``tune``, and what was recorded to search in.

    Raises:
        UserError: a table is missing or truncated.
    """
    content = {
        "statistics": statistics_origin(plan)["fingerprint"],
        "tune": plan.config.tune and plan.config.tune.model_dump(mode="json"),
        "recordings": _recordings(plan),
    }
    if plan.ground_truth() is not None:
        content["objects"] = read_origin(plan.layout.ground_truth("objects"))["fingerprint"]
    return {"tune": content["tune"], "fingerprint": fingerprint(content)}


def report_fingerprint(plan: Plan) -> str:
    """Fingerprint of the report's pages and pictures, from the existing tables.

    Raises:
        UserError: a table is missing or truncated.
    """
    tables = ["summary", *(["accuracy_summary"] if plan.ground_truth() else [])]
    statistics = [read_origin(plan.layout.statistics(table)).get("fingerprint") for table in tables]
    content = {"statistics": statistics, "recordings": _recordings(plan)}  # the explorer replays what was recorded
    if plan.config.tune is not None:
        content["tuning"] = [read_origin(plan.layout.tuning("outcome")).get("fingerprint")]
    if plan.config.explorer != "all":
        content["explorer"] = plan.config.explorer
    if exports := _exports(plan):
        content["exports"] = exports
    return fingerprint(content)


def _exports(plan: Plan) -> list[Any]:
    """What the exports that the report names are made from, besides the masks of settings."""
    of_settings, of_prompts = plan.config.setting_forms(), plan.config.prompted_forms()
    if not of_settings and not of_prompts:
        return []
    masks = plan.layout.prompted_annotations
    prompted = (info_of(masks) or {}).get("fingerprint") if of_prompts and masks.is_file() else None
    options = {form: one.model_dump(mode="json") for form, one in plan.config.options_by_form().items()}
    options = {form: options[form] for form in sorted({*of_settings, *of_prompts})}
    return [[setting.label for setting in plan.exported()], options, of_prompts, prompted]


def _recordings(plan: Plan) -> list[str]:
    """What each pass recorded, as JSON, each kind once."""
    found = set()
    for run in plan.runs:
        for shard in plan.shards():
            recorded = read_origin(plan.layout.candidates(run, shard)).get("recording")
            found.add(orjson.dumps([*run.folder.split("/"), recorded], option=orjson.OPT_SORT_KEYS))
    return [one.decode() for one in sorted(found)]
