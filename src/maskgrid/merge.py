"""The merge: one COCO file for a setting, from the selections of all shards.

Images are spread over shards by a hash, so that the shards' keys interleave. Shard by shard, each image's
annotations go to a spool file; then they are copied to the final file in the order of keys. What stays in
memory is a few images, a shard's selections, and where each image's annotations lie, however many masks there are.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid import coco
from maskgrid.files import atomic_write
from maskgrid.json_lists import write_head, write_list
from maskgrid.kept import kept_masks
from maskgrid.layout import Layout
from maskgrid.settings import Setting
from maskgrid.tables import read_table

_IMAGE_COLUMNS = ["image_key", "status", "width", "height", "exif_orientation", "sha256", "shard"]


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What a COCO file holds."""

    n_images: int
    n_annotations: int


@dataclass(frozen=True, slots=True)
class _Span:
    """Where an image's annotations lie in the spool, and how many they are."""

    offset: int
    length: int
    n_annotations: int


def merge_annotations(
    setting: Setting, layout: Layout, checkpoint_id: str, path: Path, fingerprint: str | None = None
) -> MergeCounts:
    """Write the masks of a setting as COCO JSON, an annotation a line.

    Images are those with status ``ok``, with or without masks, sorted by key; ids of images and annotations
    count from 1 in this order. The file does not depend on how images are spread over shards.

    Args:
        setting: whose masks.
        layout: the results folder, with images, selections and candidates.
        checkpoint_id: the folder of the setting's checkpoint.
        path: where to; replaced in one step when the file is complete.
        fingerprint: of what the masks are made from, to stand in the file.

    Raises:
        maskgrid.errors.UserError: a table is missing or cut off, or tables are of different runs.
        ValueError: a score is no number.
    """
    images = good_images(layout)
    shards = sorted(pc.unique(images["shard"]).to_pylist())
    known = image_ids(images)
    sizes_hw = {key: size_hw for key, (_, size_hw) in known.items()}
    form = setting.generator.output_mode
    entries = (
        entry
        for shard in shards
        for part in kept_masks(setting, layout, checkpoint_id, shard, sizes_hw)
        for entry in zip(
            part.image_keys,
            part.n_masks.tolist(),
            coco.annotation_lines(part, [known[key][0] for key in part.image_keys], form),
            strict=True,
        )
    )
    head = {"info": coco.info(setting, checkpoint_id, fingerprint), "licenses": [], "categories": [coco.CATEGORY]}
    with _arrow_in_system_memory():
        return write_coco(path, head, images, entries)


@contextmanager
def _arrow_in_system_memory() -> Iterator[None]:
    """Arrow's own allocator keeps what columns leave behind, several times what is ever held at once."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def write_coco(
    path: Path, head: Mapping[str, Any], images: pa.Table, entries: Iterable[tuple[str, int, bytes]]
) -> MergeCounts:
    """Write a COCO file, an entry a line, holding the annotations of a few images at a time.

    Args:
        path: where to; replaced in one step when the file is complete.
        head: what comes before ``images`` and ``annotations``.
        images: of :func:`good_images`.
        entries: image keys, in any order and each once, with the number of the image's annotations and themselves as
            JSON, one on a line, each without what comes first: the brace and its ``id``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the result and not in the system's folder for temporary files, which may be memory.
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        spans = _spool(entries, spool)
        with atomic_write(path) as stream:
            write_head(stream, head)
            write_list(stream, b"images", _image_lines(images))
            stream.write(b",\n")
            write_list(stream, b"annotations", _numbered(images, spans, spool))
            stream.write(b"\n}\n")
    return MergeCounts(images.num_rows, sum(span.n_annotations for span in spans.values()))


def good_images(layout: Layout) -> pa.Table:
    """The images that can be used, by key."""
    images = read_table(layout.images, _IMAGE_COLUMNS)
    return images.filter(pc.equal(images["status"], "ok")).sort_by("image_key")


def image_ids(images: pa.Table) -> dict[str, tuple[int, tuple[int, int]]]:
    """The id in a COCO file of each image of :func:`good_images`, with its height and width."""
    columns = (images[name].to_pylist() for name in ("image_key", "height", "width"))
    return {
        key: (image_id, (height, width)) for image_id, (key, height, width) in enumerate(zip(*columns, strict=True), 1)
    }


def _spool(entries: Iterable[tuple[str, int, bytes]], spool: IO[bytes]) -> dict[str, _Span]:
    """Write the images' annotations one after another, and note where."""
    spans: dict[str, _Span] = {}
    offset = 0
    for image_key, n_annotations, block in entries:
        if not n_annotations:
            continue
        spool.write(block)
        spans[image_key] = _Span(offset, len(block), n_annotations)
        offset += len(block)
    return spans


def _image_lines(images: pa.Table) -> Iterator[bytes]:
    image_id = 0
    for batch in images.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            image_id += 1
            yield coco.dumps(coco.image_entry(image_id, row))


def _numbered(images: pa.Table, spans: dict[str, _Span], spool: IO[bytes]) -> Iterator[bytes]:
    """The spooled annotations of each image in the order of keys, with their ids."""
    n_before = 0
    for key in images["image_key"].to_pylist():
        if (span := spans.get(key)) is not None:
            spool.seek(span.offset)
            lines = spool.read(span.length).split(b"\n")
            yield b",\n".join([b'{"id":%d,%b' % numbered for numbered in enumerate(lines, n_before + 1)])
            n_before += len(lines)
