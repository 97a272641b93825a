"""The commands ``export`` and ``card``."""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from maskgrid.config.exports import OPTIONS, Options, PolygonsOptions
from maskgrid.config.sweep import called
from maskgrid.io.files import write_bytes
from maskgrid.io.folders import atomic_folder
from maskgrid.io.tables import read_table
from maskgrid.io.wording import parameter
from maskgrid.plan.plan import Plan
from maskgrid.results.exports.card import card
from maskgrid.results.exports.croissant import croissant
from maskgrid.results.exports.cutouts import write_cutouts
from maskgrid.results.exports.facts import read_facts, source_name
from maskgrid.results.exports.geojson import write_geojson
from maskgrid.results.exports.geopackage import write_geopackage
from maskgrid.results.exports.label_studio import write_label_studio
from maskgrid.results.exports.labelme import write_labelme
from maskgrid.results.exports.labels import write_labels
from maskgrid.results.exports.masks_parquet import write_masks_parquet
from maskgrid.results.exports.note import write_note
from maskgrid.results.exports.panoptic import write_panoptic
from maskgrid.results.exports.polygons import fidelity_text, write_polygons
from maskgrid.results.exports.sa1b import write_sa1b
from maskgrid.results.exports.source import MaskFile
from maskgrid.results.exports.webdataset import write_webdataset
from maskgrid.results.exports.yolo import write_yolo

log = logging.getLogger(__name__)

# The forms that are folders. Each function takes its own options.
FOLDER_WRITERS: Mapping[str, Callable[[MaskFile, Path, Any], dict[str, Any]]] = {
    "labels": write_labels,
    "panoptic": write_panoptic,
    "yolo": write_yolo,
    "geojson": write_geojson,
    "geopackage": write_geopackage,
    "labelme": write_labelme,
    "label_studio": write_label_studio,
    "cutouts": write_cutouts,
    "webdataset": write_webdataset,
    "masks_parquet": write_masks_parquet,
}


def export_setting(plan: Plan, label: str, form: str, options: Options | None = None) -> str:
    """Write a setting's masks in another form, from its COCO file; return a line about it for people.

    Args:
        plan: the plan of the run.
        label: the setting's name or id.
        form: one of ``exports`` in the config, but ``card``.
        options: of the form; None for those of the config, or the form's defaults.

    Raises:
        maskgrid.io.errors.UserError: there is no such setting, or its annotations have not been written.
    """
    setting = called(plan.settings, label, "--setting")
    source, path = plan.layout.annotations(setting.label), plan.layout.export(form, setting.label)
    return _export(plan, source, path, form, options or _options(plan, form))


def export_prompted(plan: Plan, form: str, options: Options | None = None) -> str:
    """The same for the masks of prompts; ``sa1b`` has fields that they lack.

    Raises:
        maskgrid.io.errors.UserError: the annotations have not been written.
    """
    source, path = plan.layout.prompted_annotations, plan.layout.prompted_export(form)
    return _export(plan, source, path, form, options or _options(plan, form))


def _options(plan: Plan, form: str) -> Options:
    return plan.config.options_by_form().get(form) or OPTIONS[form]()


def _export(plan: Plan, source: Path, path: Path, form: str, options: Options) -> str:
    n_images = read_table(plan.layout.images, ["status"])["status"].to_pylist().count("ok")
    if form == "sa1b":
        return f"{path}: {write_sa1b(source, path, n_images)} masks in {n_images} files"
    if isinstance(options, PolygonsOptions):
        return f"{path}: {fidelity_text(write_polygons(source, path, n_images, options.tolerance_px))}"
    masks = MaskFile(source, plan.layout.files, n_images, plan.config.dataset.max_pixels)
    if source == plan.layout.prompted_annotations:
        masks = MaskFile(source, plan.layout.files, n_images, plan.config.dataset.max_pixels, "masks of prompts")
    _ = masks.head  # an error before the old export is touched
    with atomic_folder(path) as folder:
        about = FOLDER_WRITERS[form](masks, folder, options)
        write_note(folder, masks.fingerprint, options.model_dump(mode="json"), about)
    return f"{path}: {', '.join(f'{name} {parameter(value)}' for name, value in about.items())}"


def write_card(plan: Plan) -> None:
    """Write the dataset card ``README.md`` and ``croissant.json``.

    Raises:
        maskgrid.io.errors.UserError: a table is missing or truncated.
    """
    facts = read_facts(plan)
    root = plan.layout.root
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", f"sam2-masks-{source_name(plan)}").strip("-")
    description = (
        f"Class-agnostic masks of {facts.n_images} images by SAM 2's automatic mask generator, and statistics of mask "
        f"counts over {facts.n_settings} settings of its parameters. Made by maskgrid {facts.version}; fingerprint "
        f"{facts.fingerprint}. The licence of the images is unknown to the program that wrote this."
    )
    metadata = croissant(name, description, root, [root / path for path in facts.files])
    write_bytes(plan.layout.card, card(facts).encode())
    write_bytes(plan.layout.croissant, orjson.dumps(metadata, option=orjson.OPT_INDENT_2) + b"\n")
    log.info("%s and %s", plan.layout.card, plan.layout.croissant.name)
