"""The index of a dataset: a row for every input, good or bad.

The folder ``dataset`` holds four tables (columns in :mod:`maskgrid.dataset.tables`):

- ``images.parquet``: a row for every input, sorted by image key. Its bytes depend on the images, the pixel limit and
  the shard size, not on where the files are.
- ``shards.parquet``: a row for every shard.
- ``files.parquet``: the rows of ``images.parquet`` with the files' paths and times, sorted by shard. Jobs find their
  images here, and the next run of the index skips files that have not changed.
- ``archives.parquet``: a row for every tar archive (:mod:`maskgrid.dataset.sources.archives`).
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.config.pixels import PLAIN, PixelsConfig
from maskgrid.dataset.demo.images import CLIPS, DEMO_VERSION, write_demo
from maskgrid.dataset.extras import extras_before, extras_entry, images_by_extra
from maskgrid.dataset.inputs import EarlierRows, InputRow, input_row, shown_alike
from maskgrid.dataset.on_map import with_georeferences
from maskgrid.dataset.pixels.images import ImageStatus
from maskgrid.dataset.pixels.shared_stretch import share_stretch
from maskgrid.dataset.pixels.stacks import expand_pages
from maskgrid.dataset.shards import Shard, assign_shards
from maskgrid.dataset.sources.archives import expand_archives, read_known
from maskgrid.dataset.sources.list_files import LIST_READERS
from maskgrid.dataset.sources.listing import SourceItem, list_inputs, listing_digest
from maskgrid.dataset.tables import (
    ARCHIVES_FILE,
    ARCHIVES_SCHEMA,
    FILES_FILE,
    IMAGES_FILE,
    ROWS_SCHEMA,
    SHARDS_FILE,
    SHARDS_SCHEMA,
    contents,
    of_images,
    read_previous,
    without_empty,
)
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint
from maskgrid.io.journal import Journal, forget_journal
from maskgrid.io.progress import counted
from maskgrid.io.tables import read_origin, write_table
from maskgrid.io.wording import named_reasons, tally
from maskgrid.plan.plan import Plan
from maskgrid.plan.remote import is_url

# Threads, because decoding and hashing release Python's lock; few, because each may hold an image of max_pixels.
_MAX_WORKERS = 4
# Readers skip row groups whose statistics rule out a match, so they read at least one group.
_ROWS_IN_GROUP = 8192
# A killed process loses the work on this many images at most.
_BATCH = 256

log = logging.getLogger(__name__)

DEMO = "demo"


def index_images(
    items: Sequence[SourceItem],
    max_pixels: int,
    previous: pa.Table | None = None,
    progress: bool = False,
    journal: Journal | None = None,
    pixels: PixelsConfig = PLAIN,
    in_windows: bool = False,
) -> pa.Table:
    """Examine every input: hash it and decode it to the end.

    Args:
        items: the inputs, sorted by key, each key once (:func:`maskgrid.dataset.sources.listing.list_inputs`,
            :func:`maskgrid.dataset.sources.archives.expand_archives`).
        max_pixels: a larger image gets the status ``too_large``.
        previous: the table of an earlier run (:func:`read_previous`); a file with the same key, size and time is not
            read again.
        progress: show a progress bar if stderr is a terminal.
        journal: saves the rows of each batch, so that a run after a kill continues there.
        pixels: how images are shown.
        in_windows: whether a larger image is good too, if it can be read in windows.

    Returns:
        A table of ``ROWS_SCHEMA`` with a row for each item, in the same order; its column ``shard`` is null.
    """
    starts = range(0, len(items), _BATCH)
    kept = [journal.read(number, 1) if journal else None for number in range(len(starts))]
    # The journal is newer than the previous index, but its files too may have changed since.
    there = [table for table in (previous, *(tables[0] for tables in kept if tables)) if table is not None]
    earlier = EarlierRows.of(pa.concat_tables(there).combine_chunks()) if there else None
    chunks: list[pa.Table] = []
    n_good = 0
    with (
        ThreadPoolExecutor(min(_MAX_WORKERS, os.cpu_count() or 1)) as pool,
        counted(len(items), "index", "images") if progress else nullcontext(lambda _: None) as advance,
    ):
        for number, start in enumerate(starts):
            batch = items[start : start + _BATCH]
            rows = list(pool.map(lambda item: input_row(item, max_pixels, earlier, pixels, in_windows), batch))
            chunks.append(_chunk(rows, n_good))
            if journal and kept[number] != [chunks[-1]]:
                journal.write(number, chunks[-1:])
            n_good += sum(row.status == ImageStatus.OK for row in rows)
            advance(len(batch))
    return pa.concat_tables([ROWS_SCHEMA.empty_table(), *chunks])


def write_index(
    index: pa.Table,
    shard_size: int,
    folder: Path,
    archives: pa.Table | None = None,
    max_pixels: int | None = None,
    pixels: PixelsConfig = PLAIN,
    extras: Mapping[str, Any] | None = None,
) -> list[Shard]:
    """Assign the good images to shards and write the dataset's tables.

    Args:
        index: the table from :func:`index_images`.
        shard_size: maximum number of images in a shard.
        folder: the folder ``dataset``; created if missing.
        archives: the archives that contain the images.
        max_pixels: the limit that the images were examined with.
        pixels: how they are shown.
        extras: what optional packages they lack (:func:`maskgrid.dataset.extras.extras_entry`).

    Returns:
        The shards, sorted by name; empty if no image is good.

    Raises:
        OSError: the folder cannot be written.
    """
    good = index.filter(pc.equal(index["status"], ImageStatus.OK.value))
    keys, hashes = good["image_key"].to_pylist(), map(str, contents(good))
    shards = assign_shards(dict(zip(keys, hashes, strict=True)), shard_size)
    shard_of = {key: shard.name for shard in shards for key in shard.keys}
    names = pa.array([shard_of.get(key) for key in index["image_key"].to_pylist()], pa.string())
    index = index.set_column(index.schema.get_field_index("shard"), ROWS_SCHEMA.field("shard"), names)
    origin = {"shard_size": shard_size, "fingerprint": _digest(index)}
    index = without_empty(index)
    write_table(folder / IMAGES_FILE, of_images(index), origin)
    write_table(folder / SHARDS_FILE, _shards_table(shards), origin)
    write_table(folder / ARCHIVES_FILE, ARCHIVES_SCHEMA.empty_table() if archives is None else archives, origin)
    by_shard = index.sort_by([("shard", "ascending"), ("image_key", "ascending")])
    # Here alone: this table's bytes depend on the machine in any case.
    examined = {} if max_pixels is None else {"max_pixels": max_pixels, "pixels": pixels.model_dump(mode="json")}
    write_table(folder / FILES_FILE, by_shard, {**origin, **examined, **(extras or {})}, rows_in_group=_ROWS_IN_GROUP)
    return shards


def _shards_table(shards: Sequence[Shard]) -> pa.Table:
    rows = [{"shard": s.name, "n_images": len(s.keys), "digest": s.digest, "first_key": s.keys[0]} for s in shards]
    return pa.Table.from_pylist(rows, SHARDS_SCHEMA)


def _chunk(rows: Sequence[InputRow], n_good: int) -> pa.Table:
    """Convert rows to a table; the image ids of good images continue after ``n_good``."""
    numbers = count(n_good + 1)
    numbered = [{**asdict(row), "image_id": next(numbers) if row.status == ImageStatus.OK else None} for row in rows]
    return pa.Table.from_pylist(numbered, ROWS_SCHEMA)


def _digest(index: pa.Table) -> str:
    """Hash the inputs' keys, contents and statuses."""
    columns = index["image_key"].to_pylist(), contents(index), index["status"].to_pylist()
    return hashlib.sha256(orjson.dumps(list(zip(*columns, strict=True)))).hexdigest()


def index_dataset(plan: Plan) -> None:
    """Write the tables of the folder ``dataset``; after a kill, continue from the journal.

    Raises:
        UserError: the source is missing or empty, or none of its images can be used.
    """
    folder, dataset = plan.layout.images.parent, plan.config.dataset
    listed, previous = _listed(plan), read_previous(folder)
    items, archives = expand_archives(listed, previous, read_known(plan.layout.archives), progress=True)
    items = expand_pages(items, dataset.pixels)
    extras_lacked = extras_before(plan.layout.files)
    earlier = previous and shown_alike(previous, read_origin(plan.layout.files).get("pixels"), dataset.pixels)
    # Valid for any limit and source, because each of its rows is checked against the file's size and time.
    shown = {} if dataset.pixels == PLAIN else {"pixels": dataset.pixels.model_dump(mode="json")}
    journal = Journal(plan.layout.files, fingerprint({"journal": "index of any size", **shown}))
    index = index_images(items, dataset.max_pixels, earlier, True, journal, dataset.pixels, plan.has_tiles)
    if dataset.pixels.stretch_over == "dataset":
        index = share_stretch(index)
    if dataset.georeference:
        index = with_georeferences(index, plan.layout)
    extras = extras_entry(images_by_extra(index, plan.has_tiles), extras_lacked)
    shards = write_index(index, dataset.shard_size, folder, archives, dataset.max_pixels, dataset.pixels, extras)
    forget_journal(plan.layout.files)
    log.info("%d inputs: %s; %d shards", len(items), tally(Counter(index["status"].to_pylist())), len(shards))
    if not shards:
        raise UserError(_nothing_usable(plan.config.dataset.source, index))


def _nothing_usable(source: str, index: pa.Table) -> str:
    """Name the images with their reasons, since the workflow removes the tables of a failed job."""
    rows = index.select(["image_key", "status", "message"]).to_pylist()
    reasons = [(row["image_key"], f"{row['status']}: {row['message']}") for row in rows]
    is_list = Path(source).suffix.lower() in LIST_READERS and "missing" in {row["status"] for row in rows}
    hint = " Paths in a list start from the list's own folder." if is_list else ""
    return f"dataset.source: none of the {len(index)} images in {source} can be used.{hint}{named_reasons(reasons)}"


def source_digest(plan: Plan) -> str:
    """A digest of the source's file names, sizes and times; the index is stale when it changes.

    Raises:
        UserError: the source is missing or empty.
    """
    source = plan.config.dataset.source
    if source == DEMO:
        return DEMO_VERSION
    if is_url(source):  # its files are inputs of the index, one by one
        return source
    return listing_digest(source, plan.base_dir)


def _listed(plan: Plan) -> list[SourceItem]:
    items = list_inputs(str(_source(plan)), plan.base_dir)
    if plan.config.dataset.source != DEMO:
        return items
    return [item for item in items if not item.key.startswith(f"{CLIPS}/")]  # the demo's videos


def _source(plan: Plan) -> Path | str:
    source = plan.config.dataset.source
    if is_url(source):
        for path in plan.source_files():
            if not Path(path).is_file():
                raise UserError(
                    f"dataset.source: {source} is not fetched: there is no {path}. Run snakemake to fetch it"
                )
        return plan.located(source).absolute()
    if source != DEMO:
        return source
    folder = (plan.layout.root / "demo").resolve()
    write_demo(folder)
    return folder
