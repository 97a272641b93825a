"""The columns ``crs`` and ``transform`` of an index: where on the map each GeoTIFF lies."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.dataset.georeference import MissingMapsError
from maskgrid.dataset.pixels.images import BadImageError, read_image_georeference
from maskgrid.dataset.tables import ON_MAP, place_of
from maskgrid.io.errors import UserError
from maskgrid.io.tables import open_file, read_table
from maskgrid.plan.layout import Layout

_TIFF = "TIFF"
_NEEDED = ["image_key", "format", "sha256", "path", "member_offset", "size_bytes"]
_NAMES = [field.name for field in ON_MAP]

Place = tuple[str, list[float]] | tuple[None, None]


def is_on_map(path: Path) -> bool:
    """Whether a table of the index has the columns."""
    with open_file(path) as file:
        return {*_NAMES} <= {*file.schema_arrow.names}


def with_georeferences(index: pa.Table, layout: Layout) -> pa.Table:
    """Append the columns to the rows of an index; files that an earlier one has are not read again.

    Raises:
        UserError: an image has a reference system that only a further package can name.
    """
    known = _known(layout)
    places = [_placed(row, known) for row in index.select(_NEEDED).to_pylist()]
    for number, field in enumerate(ON_MAP):
        index = index.append_column(field, pa.array([place[number] for place in places], field.type))
    return index


def _known(layout: Layout) -> dict[str, Place]:
    """What an earlier index says, by the files' hashes."""
    try:
        rows = read_table(layout.files, ["sha256", *_NAMES], [("format", "=", _TIFF)]).to_pylist()
    except UserError:  # there is none, or it has no such columns
        return {}
    return {row["sha256"]: (row["crs"], row["transform"]) for row in rows}


def _placed(row: dict[str, Any], known: dict[str, Place]) -> Place:
    if row["format"] != _TIFF:
        return None, None
    if row["sha256"] in known:
        return known[row["sha256"]]
    path, span = place_of(row)
    try:
        found = read_image_georeference(path, None, span)
    except BadImageError:  # it has gone since it was examined; those who read it next say so
        return None, None
    except MissingMapsError as error:
        raise UserError(f"dataset.georeference: {row['image_key']}: {error}") from None
    return (None, None) if found is None else (found.crs, list(found.transform))
