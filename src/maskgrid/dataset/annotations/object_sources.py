"""Read prompt sources (COCO files and tables), entry by entry."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from maskgrid.config.prompts import Use
from maskgrid.dataset.annotations.object_columns import BOX_CORNERS
from maskgrid.dataset.annotations.object_files import TableForm, read_rows
from maskgrid.dataset.annotations.object_masks import read_mask
from maskgrid.dataset.annotations.objects import BadPromptError, Prompt, PromptStatus, read_box, read_points
from maskgrid.io.errors import UserError
from maskgrid.io.listings import named_key
from maskgrid.masks.coco_reading import (
    ImageId,
    categories_by_id,
    category_name,
    image_id_of,
    images_by_id,
    listed_objects,
    read_json,
    stated_size_hw,
)
from maskgrid.masks.segmentations import whole_number

log = logging.getLogger(__name__)

_PROMPT_COLUMNS = ("point_coords", "box_xyxy", "box_xywh", "mask")
OBJECT_COLUMNS = ("object_id", "category", "point_labels", *_PROMPT_COLUMNS)
_KEY = "prompts.source"
FORM = TableForm(_KEY, ("image",), _PROMPT_COLUMNS, OBJECT_COLUMNS)


_EXAMPLES = {
    "point_coords": "[[50, 60], [70, 80]]",
    "point_labels": "[1, 0]",
    "box_xyxy": "[10, 20, 110, 220]",
    "box_xywh": "[10, 20, 100, 200]",
    "mask": "[[10, 20, 110, 20, 110, 220]]",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as the source has it, unchecked.

    Attributes:
        image_key: the image's name.
        source_id: the object's id, as text.
        category_id: the category's id; only from COCO files.
        category: the category's name.
        point_coords: a list of [x, y].
        point_labels: a list of 1 and 0.
        box: four numbers.
        box_form: ``xyxy`` or ``xywh``.
        box_use: ``box`` if the box is a prompt, ``center`` if only its centre, ``both``, or empty for neither.
        mask: a run-length code, polygons or a path.
        mask_use: whether the mask is a prompt, or only a reference to compare the result with.
        is_crowd: COCO's ``iscrowd``.
        size_hw: the image's height and width according to the source.
        broken: why the entry as a whole cannot be read.
    """

    image_key: str
    source_id: str
    category_id: int | None = None
    category: str | None = None
    point_coords: Any = None
    point_labels: Any = None
    box: Any = None
    box_form: str = "xyxy"
    box_use: str = "box"
    mask: Any = None
    mask_use: bool = True
    is_crowd: bool = False
    size_hw: tuple[int, int] | None = None
    broken: str | None = None


@dataclass(frozen=True, slots=True)
class PromptSource:
    """A file of prompts.

    Attributes:
        folder: the folder that paths in the file start from.
        categories: COCO's ``categories``, plus one for each unlisted id in the annotations; empty for a table.
        entries: the objects, in the file's order.
    """

    folder: Path
    categories: list[dict[str, Any]]
    entries: list[Entry]

    def pictures(self) -> list[str]:
        """The pictures that the file names as masks, as it writes them, sorted."""
        return sorted({entry.mask for entry in self.entries if isinstance(entry.mask, str)})


def read_source(path: Path, use: Use, key: str = _KEY) -> PromptSource:
    """Read a file of prompts.

    Args:
        path: a COCO ``.json``, or a table: ``.csv``, ``.parquet``, ``.jsonl``.
        use: which parts of a COCO file's annotations are prompts.
        key: the config's key that names the file, for messages.

    Raises:
        UserError: the file as a whole cannot be read in the format of its suffix.
    """
    try:
        if path.suffix.lower() == ".json":
            return _coco(path, use, key)
        rows = list(read_rows(path, replace(FORM, key=key)))
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read: {error.strerror}") from None
    return PromptSource(path.parent, [], [table_entry(number, row) for number, row in enumerate(rows, start=1)])


def _coco(path: Path, use: Use, key: str) -> PromptSource:
    content = read_json(path, key)
    images, annotations, categories = (
        listed_objects(path, content, name, key) for name in ("images", "annotations", "categories")
    )
    known, by_id = images_by_id(path, images, key), categories_by_id(path, categories, key)
    names = {number: category_name(category) for number, category in by_id.items()}
    entries = [_coco_entry(annotation, known, names, use) for annotation in annotations]
    listed = {number: category for number, category in by_id.items() if type(number) is int}
    found = {entry.category_id: entry.category for entry in entries if entry.category_id is not None}
    unlisted = [{"id": number, "name": found[number]} for number in sorted(found.keys() - listed.keys())]
    if unlisted:
        numbers = ", ".join(str(category["id"]) for category in unlisted[:5])
        log.warning("%s: unlisted categories are named by their ids: %s", path, numbers)
    return PromptSource(path.parent, [*listed.values(), *unlisted], entries)


def _coco_entry(
    annotation: dict[str, Any], images: Mapping[ImageId, dict[str, Any]], categories: Mapping[Any, str], use: Use
) -> Entry:
    image_id, category_id = annotation.get("image_id"), whole_number(annotation.get("category_id"))
    found = image_id_of(image_id)
    image = {} if found is None else images.get(found, {})
    name = image.get("file_name")
    broken = None if isinstance(name, str) else f"the file has no image with the id {image_id!r}"
    # Masks do not depend on the category, so an unlisted one does no harm.
    category = categories.get(category_id, str(category_id)) if _hashable(category_id) else None
    with_box = {"box": "box", "center_point": "center", "box_and_point": "both", "box_and_mask": "box"}
    box_use = "center" if use == "mask_and_point" else with_box.get(use, "")
    mask_use = "mask" in use
    return Entry(
        image_key=named_key(name) if isinstance(name, str) else "",
        source_id=str(annotation.get("id", "")),
        category_id=category_id if type(category_id) is int and broken is None else None,
        category=None if broken else category,
        box=annotation.get("bbox"),
        box_form="xywh",
        box_use=box_use,
        # A missing reference is fine; a missing mask prompt is an error, reported for the empty list.
        mask=annotation.get("segmentation") or ([] if mask_use else None),
        mask_use=mask_use,
        is_crowd=annotation.get("iscrowd") == 1,
        size_hw=stated_size_hw(image),
        broken=broken,
    )


def _hashable(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | str | float)


def table_entry(number: int, row: dict[str, Any], name_column: str = "image") -> Entry:
    """Convert a table row to an entry.

    Args:
        number: the row's number, from 1.
        row: the non-empty cells, by column.
        name_column: the column with the name of the image or video.
    """
    image, category, object_id = row.get(name_column), row.get("category"), row.get("object_id")
    broken = row.get("broken")
    try:
        # In tables of mixed prompts, rows have empty lists for the kinds they lack.
        values = {name: _from_text(name, row.get(name)) for name in (*_PROMPT_COLUMNS, "point_labels")}
        values = {name: None if value in ([], "") else value for name, value in values.items()}
    except ValueError as error:
        values, broken = {}, str(error)
    if broken is None and not isinstance(image, str):
        broken = f"the column '{name_column}' is {image!r}, and no name"
    if broken is None and values["box_xyxy"] is not None and values["box_xywh"] is not None:
        broken = "box_xyxy and box_xywh are both given"
    form = "xywh" if values.get("box_xywh") is not None else "xyxy"
    return Entry(
        image_key=named_key(image) if isinstance(image, str) else "",
        source_id=str(number if object_id is None else object_id),
        category=None if category is None else str(category),
        point_coords=values.get("point_coords"),
        point_labels=values.get("point_labels"),
        box=values.get(f"box_{form}"),
        box_form=form,
        mask=values.get("mask"),
        broken=broken,
    )


def _from_text(name: str, value: Any) -> Any:  # noqa: ANN401
    """Parse a text cell as JSON; a mask that does not look like JSON is a path."""
    if not isinstance(value, str) or (name == "mask" and not value.lstrip().startswith(("{", "["))):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        corners = f"; or use four columns: {', '.join(BOX_CORNERS)}" if name.startswith("box") else ""
        raise ValueError(
            f"the column '{name}' is no valid JSON ({value[:40]!r}); in a CSV such a cell looks like this, with its "
            f'quotes: "{_EXAMPLES[name]}"{corners}'
        ) from None


def read_prompt(entry: Entry, size_hw: tuple[int, int], normalized: bool, folder: Path) -> Prompt:
    """Read an entry's prompt and check it against the image's size.

    Raises:
        BadPromptError: part of the prompt cannot be used, or there is none.
    """
    extent = (1.0, 1.0) if normalized else (float(size_hw[1]), float(size_hw[0]))
    points = labels = box = mask = None
    if entry.point_coords is not None:
        points, labels = read_points(entry.point_coords, entry.point_labels, extent)
    elif entry.point_labels is not None:
        raise BadPromptError(PromptStatus.WRONG_LABEL, "there are labels, and no points")
    if entry.box_use and (entry.box is not None or entry.box_form == "xywh"):
        box = read_box(entry.box, entry.box_form, extent)
        if entry.box_use in ("center", "both"):
            points, labels = read_points([((box[:2] + box[2:]) / 2).tolist()], None, extent)
        box = None if entry.box_use == "center" else box
    if entry.mask_use and entry.mask is not None:
        mask = read_mask(entry.mask, size_hw, folder)
    if points is None and box is None and mask is None:
        raise BadPromptError(PromptStatus.NO_PROMPT, "there are no points, no box and no mask")
    return Prompt(points, labels, box, mask, normalized)
