"""Write COCO files: one entry a line, images and annotations numbered from 1."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from maskgrid.io.json_lines import dumps, write_document

# COCO's limits between small, medium and large masks, in pixels.
SMALL_PX, MEDIUM_PX = 32**2, 96**2

CATEGORY_ID = 1
CATEGORY = {"id": CATEGORY_ID, "name": "object", "supercategory": "object"}


def image_entry(image_id: int, row: dict[str, Any]) -> dict[str, Any]:
    """The entry of ``images`` for a row of ``images.parquet``; its size is as displayed, like the masks'."""
    return {
        "id": image_id,
        "file_name": row["image_key"],
        "width": row["width"],
        "height": row["height"],
        "sha256": row["sha256"],
        "exif_orientation": row["exif_orientation"],
    }


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """How many images and annotations a COCO file has."""

    n_images: int
    n_annotations: int


def write_coco(
    path: Path, head: Mapping[str, Any], images: pa.Table, entries: Iterable[tuple[str, int, bytes]]
) -> MergeCounts:
    """Write a COCO file, one entry a line, with only a few images' annotations in memory.

    Args:
        path: the output file; replaced atomically once complete.
        head: the keys before ``images`` and ``annotations``.
        images: from :func:`maskgrid.dataset.tables.good_images`.
        entries: for each image, in any order: its key, the number of its annotations, and the annotations as JSON, one
            a line, each without its opening brace and ``id``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the result: the system's temporary folder may be in memory.
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        spans = _spool(entries, spool)
        lists = {"images": _image_lines(images), "annotations": _numbered(images, spans, spool)}
        write_document(path, head, lists)
    return MergeCounts(images.num_rows, sum(span.n_annotations for span in spans.values()))


def _image_lines(images: pa.Table) -> Iterator[bytes]:
    image_id = 0
    for batch in images.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            image_id += 1
            yield dumps(image_entry(image_id, row))


@dataclass(frozen=True, slots=True)
class _Span:
    """Where an image's annotations are in the spool, in bytes, and how many there are."""

    offset: int
    length: int
    n_annotations: int


def _spool(entries: Iterable[tuple[str, int, bytes]], spool: IO[bytes]) -> dict[str, _Span]:
    """Write the images' annotations one after another, and return where they are."""
    spans: dict[str, _Span] = {}
    offset = 0
    for image_key, n_annotations, block in entries:
        if not n_annotations:
            continue
        spool.write(block)
        spans[image_key] = _Span(offset, len(block), n_annotations)
        offset += len(block)
    return spans


def _numbered(images: pa.Table, spans: dict[str, _Span], spool: IO[bytes]) -> Iterator[bytes]:
    """The spooled annotations with their ids, image by image in the order of keys."""
    n_before = 0
    for key in images["image_key"].to_pylist():
        if (span := spans.get(key)) is not None:
            spool.seek(span.offset)
            lines = spool.read(span.length).split(b"\n")
            yield b",\n".join([b'{"id":%d,%b' % numbered for numbered in enumerate(lines, n_before + 1)])
            n_before += len(lines)
