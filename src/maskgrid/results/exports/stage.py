"""The commands ``export`` and ``card``."""

import logging
import re

import orjson

from maskgrid.config.sweep import called
from maskgrid.io.files import write_bytes
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import Plan
from maskgrid.results.exports.card import card
from maskgrid.results.exports.croissant import croissant
from maskgrid.results.exports.facts import read_facts, source_name
from maskgrid.results.exports.polygons import fidelity_text, write_polygons
from maskgrid.results.exports.sa1b import write_sa1b

log = logging.getLogger(__name__)


def export_setting(plan: Plan, label: str, form: str, tolerance_px: float = 0.0) -> str:
    """Write a setting's masks in another form, from its COCO file; return a line about it for people.

    Args:
        plan: the plan of the run.
        label: the setting's name or id.
        form: ``sa1b`` or ``polygons``.
        tolerance_px: for polygons, see :func:`write_polygons`.

    Raises:
        maskgrid.io.errors.UserError: there is no such setting, or its annotations have not been written.
    """
    setting = called(plan.settings, label, "--setting")
    source, path = plan.layout.annotations(setting.label), plan.layout.export(form, setting.label)
    n_images = read_table(plan.layout.images, ["status"])["status"].to_pylist().count("ok")
    if form == "sa1b":
        return f"{path}: {write_sa1b(source, path, n_images)} masks in {n_images} files"
    return f"{path}: {fidelity_text(write_polygons(source, path, n_images, tolerance_px))}"


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
