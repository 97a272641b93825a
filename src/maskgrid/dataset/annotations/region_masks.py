"""The regions that ``filters.region`` names: mask pictures in a folder, or the objects of a COCO file."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from maskgrid.dataset.annotations.mask_pictures import contents_digest, pictures_in_coco, states_digest
from maskgrid.dataset.annotations.names import NamedImages
from maskgrid.dataset.annotations.object_masks import read_mask
from maskgrid.dataset.annotations.objects import BadPromptError, require_size
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest, sha256_of
from maskgrid.io.listings import IMAGE_SUFFIXES
from maskgrid.io.wording import count
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import image_id_of, images_by_id, listed_objects, read_json, stated_size_hw
from maskgrid.plan.plan import Plan
from maskgrid.plan.remote import is_url

log = logging.getLogger(__name__)

_KEY = "filters.region"
# Formats without loss first: of several pictures of one name the first counts.
_SUFFIXES = (".png", *sorted(IMAGE_SUFFIXES - {".png"}))


def read_regions(plan: Plan, rows: list[dict[str, Any]]) -> dict[str, dict[str, bytes]]:
    """The part of each region in some images, as compressed run-length codes.

    An image that a region does not name, or whose picture cannot be used, has no pixel in it: a warning says so.

    Args:
        plan: the plan of the run.
        rows: the images, with ``image_key``, ``path``, ``height`` and ``width``.

    Returns:
        By image key, the codes by the config's ``region``.

    Raises:
        UserError: a region is missing or cannot be read.
    """
    found: dict[str, dict[str, bytes]] = {str(row["image_key"]): {} for row in rows}
    for region in plan.regions():
        path = _located(plan, region)
        parts = _in_folder(path, rows) if path.is_dir() else _in_coco(path, rows)
        without: list[str] = []
        for row in rows:
            key, size_hw = str(row["image_key"]), (int(row["height"]), int(row["width"]))
            code = parts.get(key)
            if code is None:
                without.append(key)
                code = rle.from_polygons([], size_hw)
            found[key][region] = code
        if without:
            log.warning(
                "filters.region: %s has no usable region for %s of %d, such as %s: all their masks are dropped",
                path,
                count(len(without), "image"),
                len(rows),
                without[0],
            )
    return found


def region_contents(plan: Plan) -> dict[str, str]:
    """Hash the content of each region, by the config's ``region``; empty without any.

    Raises:
        UserError: a region is missing or cannot be read.
    """
    return {region: _digest(_located(plan, region), contents_digest) for region in plan.regions()}


def region_states(plan: Plan) -> dict[str, str]:
    """The same from sizes and times of pictures, without reading them; a region that is not there says so."""
    found = {}
    for region in plan.regions():
        try:
            found[region] = _digest(_located(plan, region), states_digest)
        except UserError as error:
            found[region] = str(error)
    return found


def _located(plan: Plan, region: str) -> Path:
    if is_url(region):
        raise UserError(f"{_KEY}: {region} is a URL; download it, and name the folder or file here")
    path = plan.located(region)
    if not path.is_dir() and not (path.is_file() and path.suffix.lower() == ".json"):
        raise UserError(f"{_KEY}: {path} is neither a folder of mask pictures nor a COCO .json")
    return path


def _digest(path: Path, of_pictures: Callable[[Iterable[str], Path], str]) -> str:
    try:
        if path.is_dir():
            return of_pictures([str(file.relative_to(path)) for file in _pictures(path)], path)
        listed = pictures_in_coco(path)
        return digest([sha256_of(path), *([of_pictures(listed, path.parent)] if listed else [])])
    except OSError as error:
        raise UserError(f"{_KEY}: {path} cannot be read: {error.strerror}") from None


def _pictures(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.suffix.lower() in _SUFFIXES and file.is_file())


def _in_folder(folder: Path, rows: list[dict[str, Any]]) -> dict[str, bytes]:
    """Regions from pictures with the images' names, whatever their suffix."""
    by_stem: dict[str, Path] = {}
    for file in sorted(_pictures(folder), key=lambda file: _SUFFIXES.index(file.suffix.lower())):
        by_stem.setdefault(file.relative_to(folder).with_suffix("").as_posix(), file)
    found = {}
    for row in rows:
        key = PurePosixPath(str(row["image_key"]))
        # Also a/1.jpg.png for a/1.jpg, as some tools name masks.
        picture = by_stem.get(key.with_suffix("").as_posix()) or by_stem.get(key.as_posix())
        code = None if picture is None else _usable(str(picture.relative_to(folder)), row, folder)
        if code is not None:
            found[str(row["image_key"])] = code
    return found


def _in_coco(path: Path, rows: list[dict[str, Any]]) -> dict[str, bytes]:
    """Regions from a COCO file: of each image all its objects together, boxes where they have no segmentation."""
    try:
        content = read_json(path, _KEY)
    except OSError as error:
        raise UserError(f"{_KEY}: {path} cannot be read: {error.strerror}") from None
    images = images_by_id(path, listed_objects(path, content, "images", _KEY), _KEY)
    by_key = {str(row["image_key"]): row for row in rows}
    names = NamedImages.of(rows, path.parent)
    key_of = cache(names.key)
    parts: dict[str, list[bytes]] = {}
    n_lost = 0
    for each in listed_objects(path, content, "annotations", _KEY):
        image_id = image_id_of(each.get("image_id"))
        image = images.get(image_id) if image_id is not None else None
        name = image.get("file_name") if image is not None else None
        n_lost += not isinstance(name, str)
        if image is None or not isinstance(name, str) or key_of(name) not in by_key:
            continue
        row = by_key[key_of(name)]
        code = _usable(each.get("segmentation") or _box(each.get("bbox")), row, path.parent, stated_size_hw(image))
        if code is not None:
            parts.setdefault(str(row["image_key"]), []).append(code)
    if n_lost:
        log.warning("%s: %s: %d annotations are of images that the file does not list", _KEY, path, n_lost)
    sizes: Mapping[str, tuple[int, int]] = {key: (row["height"], row["width"]) for key, row in by_key.items()}
    return {key: rle.merge(codes, sizes[key]) for key, codes in parts.items()}


def _box(box: Any) -> list[list[float]] | None:  # noqa: ANN401
    """A COCO box as a polygon; None if it is none."""
    if not isinstance(box, list) or len(box) != 4 or not all(type(number) in (int, float) for number in box):
        return None
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def _usable(
    value: Any,  # noqa: ANN401
    row: Mapping[str, Any],
    folder: Path,
    stated_hw: tuple[int, int] | None = None,
) -> bytes | None:
    size_hw = (int(row["height"]), int(row["width"]))
    try:
        require_size(stated_hw, size_hw)
        return read_mask(value, size_hw, folder)
    except BadPromptError as error:
        log.warning("filters.region: %s: %s", row["image_key"], error.message)
        return None
