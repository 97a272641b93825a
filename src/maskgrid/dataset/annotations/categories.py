"""Categories for masks: those of known objects that the masks match."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.config.categories import CategoriesConfig
from maskgrid.dataset.annotations.mask_pictures import contents_of
from maskgrid.dataset.annotations.names import NamedImages
from maskgrid.dataset.annotations.object_masks import read_mask
from maskgrid.dataset.annotations.object_sources import Entry, read_source
from maskgrid.dataset.annotations.objects import BadPromptError, read_box, require_size
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.masks.coco import CATEGORY, CATEGORY_ID
from maskgrid.plan.layout import GROUND_TRUTH
from maskgrid.plan.plan import Plan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NamedObjects:
    """The objects of an image, g of them.

    Attributes:
        category_ids: int64 (g,).
        counts: masks as COCO's compressed run-length codes; boxes, drawn, where an object has no mask.
    """

    category_ids: NDArray[np.int64]
    counts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Categories:
    """The categories of masks, and the objects to compare masks with.

    Attributes:
        config: when a mask takes a category.
        listed: COCO's ``categories``: those of the objects, and one for masks that match none.
        other_id: the id of that one.
        objects: by image key.
    """

    config: CategoriesConfig
    listed: list[dict[str, Any]]
    other_id: int
    objects: Mapping[str, NamedObjects]

    def of_masks(self, image_key: str, counts: Sequence[bytes], size_hw: tuple[int, int]) -> NDArray[np.int64]:
        """The categories' ids of an image's masks: int64 (n,)."""
        ids = np.full(len(counts), self.other_id, np.int64)
        objects = self.objects.get(image_key)
        if objects is None or not len(counts):
            return ids
        iou = rle.pairwise_iou(counts, objects.counts, size_hw)
        best = iou.argmax(axis=1)
        is_match = (iou.max(axis=1) >= self.config.min_iou) & (iou.max(axis=1) > 0)
        ids[is_match] = objects.category_ids[best[is_match]]
        if self.config.min_containment is not None:
            inside = rle.containment(counts, objects.counts, size_hw)
            # Of objects that hold equally much of a mask the smallest: a wheel on a car in a street is the car's.
            smallest_first = np.argsort(rle.areas_px(objects.counts, size_hw), kind="stable")
            whole = smallest_first[inside[:, smallest_first].argmax(axis=1)]
            most = inside.max(axis=1)
            is_part = ~is_match & (most >= self.config.min_containment) & (most > 0)
            ids[is_part] = objects.category_ids[whole[is_part]]
        return ids


def categories_content(plan: Plan) -> list[Any] | None:
    """What decides about categories: the section, and the content of its objects; None without the section.

    Raises:
        UserError: the objects cannot be read.
    """
    config = plan.config.categories
    if config is None:
        return None
    path = _located(plan)
    try:
        content = contents_of(path)
    except OSError as error:
        raise UserError(f"categories.from: {path} cannot be read: {error.strerror}") from None
    return [config.model_dump(), *content]


def read_categories(plan: Plan, rows: Iterable[Mapping[str, Any]]) -> Categories | None:
    """Read the objects of the images that are usable; None without a section ``categories``.

    Args:
        plan: the plan of the run.
        rows: of ``files.parquet``: ``image_key``, ``path``, ``height``, ``width``.

    Raises:
        UserError: the objects cannot be read, or none has a category.
    """
    config = plan.config.categories
    if config is None:
        return None
    path = _located(plan)
    source = read_source(path, "box", "categories.from")
    listed = {int(one["id"]): dict(one) for one in source.categories}
    ids = {str(one.get("name")): number for number, one in listed.items()}
    for name in sorted({entry.category for entry in source.entries if entry.category is not None} - ids.keys()):
        ids[name] = max(listed, default=0) + 1
        listed[ids[name]] = {"id": ids[name], "name": name, "supercategory": name}
    if not listed:
        raise UserError(f"categories.from: no object of {path} has a category")
    other_id = CATEGORY_ID if CATEGORY_ID not in listed else max(listed) + 1
    name = str(CATEGORY["name"]) if CATEGORY["name"] not in ids else "no category"
    objects = _objects(source.entries, list(rows), path.parent, ids)
    log.info("%s: %d categories for the masks of %d images", path, len(listed), len(objects))
    return Categories(config, [*listed.values(), {**CATEGORY, "id": other_id, "name": name}], other_id, objects)


def _located(plan: Plan) -> Path:
    file = plan.categories_file()
    return plan.layout.root / "demo" / GROUND_TRUTH if file is None else plan.located(file)


def _objects(
    entries: Sequence[Entry], rows: list[Mapping[str, Any]], folder: Path, ids: Mapping[str, int]
) -> dict[str, NamedObjects]:
    sizes = {str(row["image_key"]): (int(row["height"]), int(row["width"])) for row in rows}
    names = NamedImages.of(rows, folder)
    found: dict[str, list[tuple[int, bytes]]] = {}
    n_unusable = 0
    if broken := [entry.broken for entry in entries if entry.broken is not None]:
        log.warning("categories: %d objects cannot be read; the first: %s", len(broken), broken[0])
    for entry in entries:
        key = names.key(entry.image_key) if entry.broken is None else ""
        category = ids.get(entry.category or "") if entry.category_id is None else entry.category_id
        if key not in sizes or category is None:
            continue
        try:
            found.setdefault(key, []).append((category, _counts(entry, sizes[key], folder)))
        except BadPromptError:
            n_unusable += 1
    if n_unusable:
        log.warning("categories: %d objects have neither a usable mask nor a usable box", n_unusable)
    return {
        key: NamedObjects(np.array([number for number, _ in listed], np.int64), tuple(code for _, code in listed))
        for key, listed in found.items()
        if listed
    }


def _counts(entry: Entry, size_hw: tuple[int, int], folder: Path) -> bytes:
    require_size(entry.size_hw, size_hw)
    if entry.mask is not None:
        return read_mask(entry.mask, size_hw, folder)
    x0, y0, x1, y1 = read_box(entry.box, entry.box_form, (size_hw[1], size_hw[0])).tolist()
    return rle.from_polygons([[x0, y0, x1, y0, x1, y1, x0, y1]], size_hw)
