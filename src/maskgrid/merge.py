"""The merge: one COCO file for a setting, from the selections of all shards.

Images are spread over shards by a hash, so that the shards' keys interleave. Shard by shard, each image's
annotations go to a spool file; then they are copied to the final file in the order of keys. What stays in
memory is one shard and where each image's annotations lie, however many masks there are.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid import coco
from maskgrid.files import atomic_write
from maskgrid.kept import KeptMasks, kept_masks
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
    """Where an image's annotations lie in the spool."""

    offset: int
    length: int


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
        ValueError: a mask is not of its image's size.
    """
    images = _good_images(layout)
    shards = sorted(pc.unique(images["shard"]).to_pylist())
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the result and not in the system's folder for temporary files, which may be memory.
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        masks = (part for shard in shards for part in kept_masks(setting, layout, checkpoint_id, shard))
        spans = _spool(masks, images, setting.generator.output_mode, spool)
        with atomic_write(path) as stream:
            head: dict[str, Any] = {
                "info": coco.info(setting, checkpoint_id, fingerprint),
                "licenses": [],
                "categories": [coco.CATEGORY],
            }
            stream.write(b"{\n")
            for name, content in head.items():
                stream.write(b'"%s": %s,\n' % (name.encode(), coco.dumps(content)))
            _write_list(stream, b"images", _image_lines(images))
            stream.write(b",\n")
            n_annotations = _write_list(stream, b"annotations", _annotation_lines(images, spans, spool))
            stream.write(b"\n}\n")
    return MergeCounts(images.num_rows, n_annotations)


def _good_images(layout: Layout) -> pa.Table:
    return read_table(layout.images, _IMAGE_COLUMNS, [("status", "=", "ok")]).sort_by("image_key")


def _spool(masks: Iterable[KeptMasks], images: pa.Table, output_mode: str, spool: IO[bytes]) -> dict[str, _Span]:
    """Write the images' annotations one after another, and note where."""
    known = {
        key: (image_id, (height, width))
        for image_id, (key, height, width) in enumerate(
            zip(*(images[name].to_pylist() for name in ("image_key", "height", "width")), strict=True),
            start=1,
        )
    }
    spans: dict[str, _Span] = {}
    offset = 0
    for part in masks:
        if part.image_key not in known:  # a shard's files may be older than the index, and know images gone since
            continue
        image_id, size_hw = known[part.image_key]
        entries = coco.annotation_entries(part, image_id, size_hw, output_mode)
        block = b"\n".join(map(coco.dumps, entries))
        spool.write(block)
        spans[part.image_key] = _Span(offset, len(block))
        offset += len(block)
    return spans


def _image_lines(images: pa.Table) -> Iterator[bytes]:
    image_id = 0
    for batch in images.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            image_id += 1
            yield coco.dumps(coco.image_entry(image_id, row))


def _annotation_lines(images: pa.Table, spans: dict[str, _Span], spool: IO[bytes]) -> Iterator[bytes]:
    """The spooled annotations in the order of keys, with their ids."""
    annotation_id = 0
    for key in images["image_key"].to_pylist():
        span = spans.get(key)
        if span is None:
            continue
        spool.seek(span.offset)
        for line in spool.read(span.length).split(b"\n"):
            annotation_id += 1
            yield b'{"id":%d,%s' % (annotation_id, line[1:])


def _write_list(stream: IO[bytes], name: bytes, lines: Iterable[bytes]) -> int:
    """Write a JSON list, an entry a line; returns how many there were."""
    n_lines = 0
    stream.write(b'"%s": [' % name)
    for line in lines:
        stream.write(b",\n" if n_lines else b"\n")
        stream.write(line)
        n_lines += 1
    stream.write(b"\n]")
    return n_lines
