"""Pictures and masks side by side in tar archives, for training: https://github.com/webdataset/webdataset."""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from maskgrid.config.exports import WebdatasetOptions
from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.io.json_lines import dumps
from maskgrid.masks.coco_reading import Entry, compressed
from maskgrid.results.exports.archives import new_archive
from maskgrid.results.exports.source import MaskFile, Picture, suffix_of

log = logging.getLogger(__name__)

Sample = tuple[Entry, list[Entry], Picture]


def write_webdataset(masks: MaskFile, folder: Path, options: WebdatasetOptions) -> dict[str, Any]:
    """Write ``000000.tar``, ``000001.tar``, ...: for each image ``{image id}.jpg`` and ``{image id}.json``.

    A picture is the file as it is, if it is an upright JPEG or PNG; else a PNG of what the masks lie on. The JSON is as
    in SA-1B: ``image`` and ``annotations``. If the picture is gone, ``image`` has ``status`` and ``message``.

    Returns:
        Number of archives, images, masks and pictures that are gone.
    """
    samples, n_files, n_images, n_masks, n_gone = masks.with_pictures(), 0, 0, 0, 0
    while batch := next(samples, None):
        with new_archive(folder / f"{n_files:06}.tar") as add:
            for image, entries, picture in _first(batch, samples, options.images_per_file):
                key, problem = f"{image['id']:012}", {}
                try:
                    content, suffix = picture.content(suffix_of(image))
                    add(f"{key}{suffix}", content)
                except BadImageError as error:
                    log.warning("%s: %s; only its masks are there", image["file_name"], error.message)
                    problem = {"status": error.status.value, "message": error.message}
                add(f"{key}.json", dumps(_record(image, entries, problem)) + b"\n")
                n_images, n_masks, n_gone = n_images + 1, n_masks + len(entries), n_gone + bool(problem)
        n_files += 1
    return {"n_archives": n_files, "n_images": n_images, "n_masks": n_masks, "n_pictures_gone": n_gone}


def _first(first: Sample, rest: Iterator[Sample], n: int) -> Iterator[Sample]:
    yield first
    yield from islice(rest, n - 1)


def _record(image: Entry, entries: list[Entry], problem: dict[str, str]) -> dict[str, Any]:
    about = {"image_id": image["id"], **{name: image[name] for name in ("width", "height", "file_name")}, **problem}
    return {
        "image": about,
        "annotations": [{**entry, "segmentation": compressed(entry["segmentation"])} for entry in entries],
    }
