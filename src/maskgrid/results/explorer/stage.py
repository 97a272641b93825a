"""The explorer's data of one shard: a script and a thumbnail for each image."""

import logging
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from maskgrid.automatic.candidates import PassResult, read_results
from maskgrid.dataset.annotations.region_masks import read_regions
from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.dataset.pixels.pictures import read_picture
from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.folders import atomic_folder
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_table
from maskgrid.masks.pictures import Pixels
from maskgrid.plan.plan import Plan
from maskgrid.results.accuracy.stage import read_objects
from maskgrid.results.explorer.image import ImageData, ImageSource, file_name, thumbnail
from maskgrid.results.explorer.notes import explorer_origin
from maskgrid.results.exports.note import write_note
from maskgrid.results.report.samples import known_files

log = logging.getLogger(__name__)

Row = dict[str, Any]


def write_explorer(plan: Plan, shard: str) -> None:
    """Write the explorer's data of a shard's images, one image in memory at a time.

    Raises:
        UserError: a table of an earlier stage is missing or cut off, or tables are from different runs.
    """
    fingerprint = explorer_origin(plan, shard)["fingerprint"]
    about: dict[str, list[int | str]] = {}
    with atomic_folder(plan.layout.explorer_data(shard)) as folder:
        for source in _sources(plan, shard):
            name = file_name(source.key)
            for path, content in (
                (folder / f"{name}.js", ImageData.of(source).script(fingerprint)),
                (folder / f"{name}.jpg", thumbnail(source)),
            ):
                write_bytes(path, content)
                about[path.name] = [len(content), sha256(content).hexdigest()]
        write_note(folder, fingerprint, {}, {"files": about})


def _sources(plan: Plan, shard: str) -> Iterator[ImageSource]:
    keys = read_table(plan.layout.images, ["image_key"], [("shard", "=", shard)])["image_key"].to_pylist()
    files = known_files(plan, keys)
    regions = read_regions(plan, [row for row in files.values() if row["status"] == "ok"]) if plan.regions() else {}
    truth = read_objects(plan, keys) if plan.ground_truth() is not None else {}
    for results in shown(_by_image(plan, shard), len(keys), f"explorer {shard}", "images"):
        passes = {name: one.candidates for name, one in results.items() if one.candidates is not None}
        if not passes:  # the network failed: the list of images says why
            continue
        key = next(iter(results.values())).image_key
        yield ImageSource(
            key,
            next(iter(passes.values())).size_hw,
            pixels_of(plan, key, files.get(key)),
            passes,
            regions.get(key, {}),
            truth.get(key),
        )


def _by_image(plan: Plan, shard: str) -> Iterator[dict[str, PassResult]]:
    """The results of all passes, image by image, by the folder of their pass."""
    names = [run.folder for run in plan.runs]
    paths = [(plan.layout.candidates(run, shard), plan.layout.pass_images(run, shard), run.pass_) for run in plan.runs]
    for results in zip(*(read_results(*each) for each in paths), strict=True):
        if len({one.image_key for one in results}) > 1:
            raise UserError(f"shard {shard}: its passes have other images than each other; run maskgrid generate again")
        yield dict(zip(names, results, strict=True))


def pixels_of(plan: Plan, key: str, row: Row | None) -> Pixels | None:
    """The image's picture: uint8 (H, W, 3); None, with a warning, if the file is gone or has changed."""
    if row is None:
        return None
    try:
        return read_picture(row, plan.config.dataset.max_pixels)
    except BadImageError as error:
        log.warning("%s: %s; it is drawn without its pixels", key, error.message)
        return None
