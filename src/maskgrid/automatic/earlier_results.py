"""Results of earlier jobs for images whose content, pass, network and recording are the same now.

A job's outputs note the content of each of their images (``members`` in the origin). So when a shard changes, only its
new images go through the network; the others are taken over, from the shard's own earlier outputs or from those of
shards that it was split from or joined from.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.automatic.tables import CANDIDATES, PASS_IMAGES
from maskgrid.dataset.shards import related
from maskgrid.dataset.tables import IndexedImage
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin, read_table
from maskgrid.plan.layout import Layout
from maskgrid.plan.notes import Origin
from maskgrid.plan.passes import PassRun

log = logging.getLogger(__name__)

# Entries of an origin that differ between shards.
_OF_SHARD = frozenset({"images", "members", "fingerprint"})


@dataclass(frozen=True, slots=True)
class EarlierResults:
    """Tables of earlier jobs, and which of their images can be taken over.

    Attributes:
        tables: for each image key the tables of candidates and of images with its rows.
    """

    tables: Mapping[str, tuple[pa.Table, pa.Table]]

    @classmethod
    def read(cls, layout: Layout, run: PassRun, shard: str, origin: Origin, images: Sequence[IndexedImage]) -> Self:
        """Find what earlier jobs of a pass know about a shard's images.

        Args:
            layout: the results folder.
            run: the pass.
            shard: the shard's name.
            origin: what its candidates will be made from.
            images: its images.
        """
        wanted = {image.image_key: image.sha256 for image in images}
        tables: dict[str, tuple[pa.Table, pa.Table]] = {}
        for path in _related_outputs(layout, run, shard):
            if wanted.keys() <= tables.keys():
                break
            keys = [key for key in _known(path, origin, wanted) if key not in tables]
            try:
                found = _rows(path, layout.pass_images(run, path.stem), keys) if keys else {}
            except UserError as error:  # damaged: the network can do it again
                log.warning("%s", error)
                continue
            tables |= found
        return cls(tables)

    def take(self, image_key: str) -> list[pa.Table] | None:
        """The rows of an image as the network's own would be: of candidates, and of images; None if it is unknown."""
        if image_key not in self.tables:
            return None
        candidates, images = self.tables[image_key]
        if not candidates.num_rows:
            return [CANDIDATES.empty_table(), images]
        # A slice shares the dictionary of its whole table, and so would be written with names that it does not use.
        keys = candidates["image_key"].cast(pa.string()).combine_chunks().dictionary_encode()
        place = candidates.schema.get_field_index("image_key")
        return [candidates.set_column(place, CANDIDATES.field("image_key"), keys), images]


def _related_outputs(layout: Layout, run: PassRun, shard: str) -> list[Path]:
    folder = layout.candidates(run, shard).parent
    names = [path.stem for path in folder.glob("*.parquet") if not path.name.startswith(".") and "." not in path.stem]
    return [layout.candidates(run, name) for name in related(shard, names)]


def _known(path: Path, origin: Origin, wanted: Mapping[str, str]) -> list[str]:
    """The wanted images that a table has results for which would be the same now."""
    try:
        earlier: dict[str, Any] = read_origin(path)
    except UserError:
        return []
    if any(earlier.get(name) != value for name, value in origin.items() if name not in _OF_SHARD):
        return []
    members = earlier.get("members", {})
    return [key for key, sha256 in wanted.items() if members.get(key) == sha256]


def _rows(path: Path, images_path: Path, keys: Sequence[str]) -> dict[str, tuple[pa.Table, pa.Table]]:
    """Rows of some images, without those that had failed."""
    if read_origin(path)["fingerprint"] != read_origin(images_path).get("fingerprint"):
        return {}
    # cast() drops what Parquet adds to the fields' metadata, which would be written again.
    images = read_table(images_path, schema=PASS_IMAGES).cast(PASS_IMAGES)
    candidates = read_table(path, schema=CANDIDATES).cast(CANDIDATES)
    runs = _spans(candidates["image_key"])
    found = {}
    for number, (key, status) in enumerate(
        zip(images["image_key"].to_pylist(), images["status"].to_pylist(), strict=True)
    ):
        if key in keys and status == "ok":
            start, stop = runs.get(key, (0, 0))
            found[key] = candidates.slice(start, stop - start), images.slice(number, 1)
    return found


def _spans(keys: pa.ChunkedArray) -> dict[str, tuple[int, int]]:
    """The range of rows of each image; an image's rows are contiguous."""
    encoded = pc.run_end_encode(keys.cast(pa.string()).combine_chunks())
    ends, values = encoded.run_ends.to_pylist(), encoded.values.to_pylist()
    return dict(zip(values, zip([0, *ends], ends, strict=False), strict=True))
