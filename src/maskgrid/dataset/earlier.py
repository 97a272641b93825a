"""What earlier jobs wrote about images whose content, network and parameters are the same now.

The origin of a shard's output notes the content of each of its images, in ``members``. So when a shard changes, only
its new images go through the network; the others are taken over, from the shard's own earlier output or from those of
shards that it was split from or joined from.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.dataset.shards import ShardNames
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin, read_table
from maskgrid.plan.passes import PassRun, Recording
from maskgrid.plan.plan import Plan

log = logging.getLogger(__name__)

# Entries of an origin that differ between shards.
_OF_SHARD = frozenset({"images", "members", "fingerprint"})


def earlier_outputs(
    output: Path, origin: Mapping[str, Any], members: Mapping[str, str]
) -> Iterator[tuple[Path, list[str]]]:
    """Yield tables of earlier jobs with results that would be the same now, and the keys of these images.

    Args:
        output: the shard's output; earlier ones lie beside it.
        origin: what it will be made from.
        members: the content of each of its images, by key.
    """
    left = dict(members)
    for path in _related(output):
        keys = _same(path, origin, left)
        if keys:
            yield path, keys
            for key in keys:
                del left[key]


def recording_for(plan: Plan, run: PassRun, shard: str) -> Recording:
    """What ``generate`` must record for a shard.

    The existing recording if it is enough, else the union with it (:meth:`Plan.recording`). A shard that is new takes
    that of the shard which its images come from, if it is enough: else they could not be taken over.
    """
    path = plan.layout.candidates(run, shard)
    for earlier in _related(path) if not path.is_file() else ():
        try:
            recorded = Recording.from_dict(read_origin(earlier)["recording"])
        except (UserError, KeyError):
            continue
        if recorded.covers(run.recording):
            return recorded
    return plan.recording(run, shard)


def _related(output: Path) -> list[Path]:
    """The outputs beside this one that images of its shard may be in, nearest first."""
    try:
        names = _names(output.parent, output.parent.stat().st_mtime_ns)
    except FileNotFoundError:
        return []
    paths = (output.with_name(f"{name}.parquet") for name in names.related(output.stem))
    return [path for path in paths if path.is_file()]


@lru_cache(maxsize=64)
def _names(folder: Path, mtime_ns: int) -> ShardNames:  # noqa: ARG001 - the time tells when to list it again
    return ShardNames(path.stem for path in folder.glob("*.parquet"))


def rows_by_image(path: Path, schema: pa.Schema, keys: Collection[str]) -> dict[str, pa.Table]:
    """Read the rows of some images; an image's rows are contiguous, and an image without rows gets none.

    Returns:
        Tables that are written with the same bytes as newly made ones of the same rows.

    Raises:
        UserError: the table is damaged, or has other columns than ``schema``.
    """
    # cast() drops what Parquet adds to the fields' metadata, which would be written again.
    table = read_table(path, schema=schema).cast(schema)
    spans = _spans(table["image_key"])
    return {key: _own(table.slice(first, stop - first)) for key in keys for first, stop in [spans.get(key, (0, 0))]}


def _same(path: Path, origin: Mapping[str, Any], members: Mapping[str, str]) -> list[str]:
    try:
        earlier = read_origin(path)
    except UserError:  # damaged: the network can do it again
        return []
    if any(earlier.get(name) != value for name, value in origin.items() if name not in _OF_SHARD):
        return []
    known = earlier.get("members", {})
    return [key for key, content in members.items() if known.get(key) == content]


def _own(rows: pa.Table) -> pa.Table:
    """Rows that name no image but their own: a slice shares the dictionary of its whole table."""
    field = rows.schema.field("image_key")
    if not rows.num_rows:
        return rows.schema.empty_table()
    if not pa.types.is_dictionary(field.type):
        return rows
    keys = rows["image_key"].cast(pa.string()).combine_chunks().dictionary_encode()
    return rows.set_column(rows.schema.get_field_index("image_key"), field, keys)


def _spans(keys: pa.ChunkedArray) -> dict[str, tuple[int, int]]:
    runs = pc.run_end_encode(keys.cast(pa.string()).combine_chunks())
    ends = runs.run_ends.to_pylist()
    return dict(zip(runs.values.to_pylist(), zip([0, *ends], ends, strict=False), strict=True))
