"""The index of a dataset: a row for every input, the bad ones too.

The folder ``dataset`` holds four tables (columns in :mod:`maskgrid.dataset_tables`):

- ``images.parquet``: a row for every input, sorted by image key. Its bytes depend on the images, the pixel
  limit and the shard size, and not on where the files lie.
- ``shards.parquet``: a row for every shard.
- ``files.parquet``: the rows of ``images.parquet`` with the files' places and times, sorted by shard. Jobs
  find their images in it, and the next run of the index finds what it need not read again.
- ``archives.parquet``: a row for every tar archive (:mod:`maskgrid.archives`).
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from maskgrid.dataset_tables import ARCHIVES_SCHEMA, FILES_SCHEMA, IMAGES_SCHEMA, SHARDS_SCHEMA, place_of
from maskgrid.errors import UserError
from maskgrid.images import ImageStatus
from maskgrid.inputs import EarlierRows, InputRow, input_row
from maskgrid.journal import Journal
from maskgrid.shards import Shard, assign_shards
from maskgrid.sources import SourceItem
from maskgrid.spans import Span
from maskgrid.tables import read_table, write_table

IMAGES_FILE = "images.parquet"
SHARDS_FILE = "shards.parquet"
FILES_FILE = "files.parquet"
ARCHIVES_FILE = "archives.parquet"

# Threads, because decoding and hashing leave Python's lock alone; few, because each may hold an image of
# max_pixels.
_MAX_WORKERS = 4
# Readers skip the groups whose statistics exclude what they look for, so a group is the least that one reads.
_ROWS_IN_GROUP = 8192
# Images that a killed process does again at most.
_BATCH = 256


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """A good image of the dataset.

    Attributes:
        image_key: path relative to the dataset's root.
        image_id: dense from 1 over the dataset's good images. It moves when an input is added; the key does not.
        path: where the file lies; absolute.
        sha256: of the file's bytes when it was indexed, hexadecimal.
        width: pixels, as displayed.
        height: pixels, as displayed.
        span: the part of the file that the image is; None for all of it.
    """

    image_key: str
    image_id: int
    path: Path
    sha256: str
    width: int
    height: int
    span: Span | None = None


def index_images(
    items: Sequence[SourceItem],
    max_pixels: int,
    previous: pa.Table | None = None,
    progress: bool = False,
    journal: Journal | None = None,
) -> pa.Table:
    """Look at every input: hash it, and decode it to the end, since a header tells nothing of a cut file.

    Args:
        items: the inputs, sorted by key, each key once (:func:`maskgrid.sources.list_inputs`,
            :func:`maskgrid.archives.expand_archives`).
        max_pixels: a larger image gets the status ``too_large``.
        previous: the table of an earlier run (:func:`read_previous`); a file of the same key, size and time
            is not read again.
        progress: show a bar, where the error stream is a terminal.
        journal: where what is found is kept, batch by batch, for the process that goes on after this one is killed.

    Returns:
        A table of ``FILES_SCHEMA`` with a row for each item, in their order; its column ``shard`` is null.
    """
    starts = range(0, len(items), _BATCH)
    kept = [journal.read(number, 1) if journal else None for number in range(len(starts))]
    # A killed process knows more than the index before it, and like that index it may tell of older files.
    there = [table for table in (previous, *(tables[0] for tables in kept if tables)) if table is not None]
    earlier = EarlierRows.of(pa.concat_tables(there).combine_chunks()) if there else None
    chunks: list[pa.Table] = []
    n_good = 0
    with (
        ThreadPoolExecutor(min(_MAX_WORKERS, os.cpu_count() or 1)) as pool,
        tqdm(total=len(items), desc="index", unit="image", disable=None if progress else True) as bar,
    ):
        for number, start in enumerate(starts):
            batch = items[start : start + _BATCH]
            rows = list(pool.map(lambda item: input_row(item, max_pixels, earlier), batch))
            chunks.append(_chunk(rows, n_good))
            if journal and kept[number] != [chunks[-1]]:
                journal.write(number, chunks[-1:])
            n_good += sum(row.status == ImageStatus.OK for row in rows)
            bar.update(len(batch))
    return pa.concat_tables([FILES_SCHEMA.empty_table(), *chunks])


def write_index(index: pa.Table, shard_size: int, folder: Path, archives: pa.Table | None = None) -> list[Shard]:
    """Assign the good images to shards, and write the tables of the dataset.

    Args:
        index: what :func:`index_images` returned.
        shard_size: images in a shard at most.
        folder: the folder ``dataset``; made where it is missing.
        archives: the archives that the images come from.

    Returns:
        The shards, sorted by name; none where no image is good.

    Raises:
        OSError: when the folder cannot be written.
    """
    good = index.filter(pc.equal(index["status"], ImageStatus.OK.value))
    contents = dict(zip(good["image_key"].to_pylist(), good["sha256"].to_pylist(), strict=True))
    shards = assign_shards(contents, shard_size)
    shard_of = {key: shard.name for shard in shards for key in shard.keys}
    names = pa.array([shard_of.get(key) for key in index["image_key"].to_pylist()], pa.string())
    index = index.set_column(index.schema.get_field_index("shard"), FILES_SCHEMA.field("shard"), names)
    origin = {"shard_size": shard_size, "fingerprint": _digest(index)}
    write_table(folder / IMAGES_FILE, index.select(IMAGES_SCHEMA.names), origin)
    write_table(folder / SHARDS_FILE, _shards_table(shards), origin)
    write_table(folder / ARCHIVES_FILE, ARCHIVES_SCHEMA.empty_table() if archives is None else archives, origin)
    by_shard = index.sort_by([("shard", "ascending"), ("image_key", "ascending")])
    write_table(folder / FILES_FILE, by_shard, origin, rows_in_group=_ROWS_IN_GROUP)
    return shards


def read_images(folder: Path) -> pa.Table:
    """Read ``images.parquet`` of the folder ``dataset``: every input, sorted by image key.

    Raises:
        UserError: when there is no index, or one that another version has written.
    """
    return read_table(folder / IMAGES_FILE, schema=IMAGES_SCHEMA)


def read_shards(folder: Path) -> pa.Table:
    """Read ``shards.parquet`` of the folder ``dataset``, sorted by name.

    Raises:
        UserError: as :func:`read_images`.
    """
    return read_table(folder / SHARDS_FILE, schema=SHARDS_SCHEMA)


def read_shard(folder: Path, shard: str) -> list[IndexedImage]:
    """Give the images of one shard, sorted by key, without reading the rest of the index.

    Raises:
        UserError: as :func:`read_images`, and when the index has no such shard.
    """
    table = read_table(folder / FILES_FILE, filters=[("shard", "=", shard)], schema=FILES_SCHEMA)
    if not len(table):
        raise UserError(f"{folder / FILES_FILE} has no shard '{shard}'. Run 'maskgrid index' again.")
    return [_indexed(row) for row in table.to_pylist()]


def read_previous(folder: Path) -> pa.Table | None:
    """Read what an earlier run of the index left in the folder ``dataset``; ``None`` if it is of no use."""
    try:
        return read_table(folder / FILES_FILE, schema=FILES_SCHEMA)
    except UserError:
        return None


def _indexed(row: dict[str, Any]) -> IndexedImage:
    path, span = place_of(row)
    fields = {name: row[name] for name in ("image_key", "image_id", "sha256", "width", "height")}
    return IndexedImage(**fields, path=path, span=span)


def _shards_table(shards: Sequence[Shard]) -> pa.Table:
    rows = [{"shard": s.name, "n_images": len(s.keys), "digest": s.digest, "first_key": s.keys[0]} for s in shards]
    return pa.Table.from_pylist(rows, SHARDS_SCHEMA)


def _chunk(rows: Sequence[InputRow], n_good: int) -> pa.Table:
    """The rows as a table, good images numbered on from ``n_good``."""
    numbers = count(n_good + 1)
    numbered = [{**asdict(row), "image_id": next(numbers) if row.status == ImageStatus.OK else None} for row in rows]
    return pa.Table.from_pylist(numbered, FILES_SCHEMA)


def _digest(index: pa.Table) -> str:
    """A hash of the inputs' keys, contents and statuses."""
    columns = (index[name].to_pylist() for name in ("image_key", "sha256", "status"))
    return hashlib.sha256(orjson.dumps(list(zip(*columns, strict=True)))).hexdigest()
