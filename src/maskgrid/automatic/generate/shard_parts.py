"""What a pass finds in the images of a shard, image by image, and in tiles a few at a time."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.automatic.candidates import Candidates, PassResult, image_table, rows_table
from maskgrid.automatic.generate.tile_jobs import parts_of_image
from maskgrid.automatic.tables import CANDIDATES
from maskgrid.dataset.extras import refuse_missing_extra
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus
from maskgrid.dataset.pixels.windows import Picture
from maskgrid.dataset.tables import IndexedImage
from maskgrid.io.errors import ImageTooLargeError
from maskgrid.io.journal import Journal
from maskgrid.io.tables import write_batches, write_table
from maskgrid.plan.notes import Origin

log = logging.getLogger(__name__)

Propose = Callable[[Picture, range | None], Candidates]

# Run-length codes of a shard's candidates that are in memory at once; a table with more has row groups of so many rows.
_HELD_BYTES, _ROWS_IN_GROUP = 256 << 20, 8192


@dataclass(frozen=True, slots=True)
class ImageTables:
    """What a pass found in an image.

    Attributes:
        rows: makes the tables of its candidates, in order, one by one.
        image: its row of ``tables.PASS_IMAGES``.
        n_rows: candidates.
        code_bytes: length of their run-length codes together.
    """

    rows: Callable[[], Iterator[pa.Table]]
    image: pa.Table
    n_rows: int
    code_bytes: int

    @classmethod
    def of(cls, tables: Sequence[pa.Table]) -> "ImageTables":
        """Take the tables of an image that is held in memory: its candidates, and its row."""
        rows, image = tables
        return cls(lambda: iter([rows]), image, len(rows), _code_bytes(rows))


@dataclass(frozen=True, slots=True)
class ShardWork:
    """How to find what is in each image of a shard.

    Attributes:
        images: the shard's images.
        read: opens an image's picture.
        tile_px: for a pass over tiles, their size and overlap; None for another pass.
        journal: keeps what is finished.
        earlier: tables of images that earlier jobs have finished, by key.
        begin: loads the network.
        skipped: called with the number of tiles that were finished before.
    """

    images: Sequence[IndexedImage]
    read: Callable[[IndexedImage], Picture]
    tile_px: tuple[int, int] | None
    journal: Journal
    earlier: Mapping[str, Sequence[pa.Table]]
    begin: Callable[[], Propose]
    skipped: Callable[[int], object]

    def parts(self) -> Iterator[ImageTables]:
        """What is in every image: from the journal, earlier results, or the network."""
        propose: Propose | None = None
        tiled = {image.image_key: tiles for number, image in enumerate(self.images) if (tiles := self._done(number))}
        to_read = [image for image in self.images if image.image_key not in {*self.earlier, *tiled}]
        # One image is read while the network runs; the journal's next part is always the current image's.
        with ThreadPoolExecutor(1, "maskgrid-read") as reader:
            ahead = _Ahead(to_read, self.read, reader)
            n_before = 0
            for number, image in enumerate(self.images):
                tables = self.journal.read(number, 2)
                if tables is not None:
                    n_before += 1
                    yield ImageTables.of(tables)
                    continue
                if image.image_key in tiled:  # by jobs that shared them: the image need not be read again
                    yield self._tiles(self.journal.inner(number), image.image_key, tiled[image.image_key], _no_network)
                    continue
                tables = list(self.earlier.get(image.image_key, ()))
                if not tables:
                    if propose is None:
                        self._say_finished(n_before)
                        propose = self.begin()
                    found = self._found(number, image, ahead.take(image.image_key), propose)
                    if isinstance(found, ImageTables):
                        yield found
                        continue
                    tables = [_rows_of(found), image_table(found)]
                # Also what is taken over: a process killed while it replaces the earlier outputs leaves no others.
                self.journal.write(number, tables)
                yield ImageTables.of(tables)
            if propose is None:
                self._say_finished(n_before)

    def _done(self, number: int) -> list[range]:
        """The tiles of an image, if all of them are in the journal; else none."""
        image = self.images[number]
        tiles = parts_of_image((image.height, image.width), self.tile_px)
        if not tiles or image.image_key in self.earlier:
            return []
        journal = self.journal.inner(number)
        return tiles if all(journal.read(part, 2) is not None for part in range(len(tiles))) else []

    def _say_finished(self, n_images: int) -> None:
        if n_images:
            log.info("%d of %d images were finished before", n_images, len(self.images))

    def _found(
        self, number: int, image: IndexedImage, opened: Future[Picture], propose: Propose
    ) -> PassResult | ImageTables:
        """What is in an image; tables of many tiles stay in the journal's own journal for them."""
        key = image.image_key
        try:
            with closing(opened.result()) as picture:
                tiles = parts_of_image((image.height, image.width), self.tile_px)
                if tiles:
                    return self._tiles(self.journal.inner(number), key, tiles, lambda part: propose(picture, part))
                return PassResult(key, "ok", None, propose(picture, None))
        except BadImageError as error:
            refuse_missing_extra(key, error.message)
            status, message = str(error.status), error.message
        except FloatingPointError as error:
            status, message = "not_a_number", str(error)
        except ImageTooLargeError as error:
            status, message = str(ImageStatus.TOO_LARGE), str(error)
        log.warning("%s: %s", key, message)
        return PassResult(key, status, message, None)

    def _tiles(
        self, journal: Journal, key: str, parts: Sequence[range], propose: Callable[[range], Candidates]
    ) -> ImageTables:
        """Run an image's tiles, a few at a time."""
        images, n_rows, code_bytes = [], 0, 0
        for number, tiles in enumerate(parts):
            tables = self._part(journal, number, key, tiles, propose)
            images.append(tables[1])
            n_rows, code_bytes = n_rows + len(tables[0]), code_bytes + _code_bytes(tables[0])

        def rows() -> Iterator[pa.Table]:
            for number in range(len(parts)):
                tables = journal.read(number, 2)
                if tables is None:
                    raise FileNotFoundError(f"{journal.folder}: a part has gone")
                yield tables[0]

        return ImageTables(rows, _whole_row(pa.concat_tables(images)), n_rows, code_bytes)

    def _part(
        self, journal: Journal, number: int, key: str, tiles: range, propose: Callable[[range], Candidates]
    ) -> list[pa.Table]:
        tables = journal.read(number, 2)
        if tables is not None:
            self.skipped(len(tiles))
            return tables
        result = PassResult(key, "ok", None, propose(tiles))
        tables = [_rows_of(result), image_table(result)]
        journal.write(number, tables)
        return tables

    def share(self, job: int, n_jobs: int) -> list[tuple[tuple[int, int], range]]:
        """A job's share, from 1, of the parts with tiles: the numbers of image and part, and its tiles."""
        listed = [
            ((number, part), tiles)
            for number, image in enumerate(self.images)
            if image.image_key not in self.earlier
            for part, tiles in enumerate(parts_of_image((image.height, image.width), self.tile_px))
        ]
        return listed[(job - 1) * len(listed) // n_jobs : job * len(listed) // n_jobs]

    def run(self, share: Sequence[tuple[tuple[int, int], range]]) -> None:
        """Run some parts and leave them in the journal, for the job that writes the tables.

        An image that fails is left to that job too, which says so in its row.
        """
        propose: Propose | None = None
        for number, listed in groupby(share, lambda one: one[0][0]):
            parts, journal, key = list(listed), self.journal.inner(number), self.images[number].image_key
            if all(journal.read(part, 2) is not None for (_, part), _ in parts):
                self.skipped(sum(len(tiles) for _, tiles in parts))
                continue
            propose = propose or self.begin()
            try:
                with closing(self.read(self.images[number])) as picture:
                    for (_, part), tiles in parts:
                        self._part(journal, part, key, tiles, partial(propose, picture))
            except (BadImageError, FloatingPointError, ImageTooLargeError) as error:
                refuse_missing_extra(key, str(error))
                log.warning("%s: %s", key, error)


def write_rows(path: Path, images: Sequence[ImageTables], origin: Origin) -> None:
    """Write the candidates of a shard's images; where they are many, with only a few in memory."""
    if sum(image.code_bytes for image in images) <= _HELD_BYTES:
        tables = [table for image in images for table in image.rows()]
        write_table(path, pa.concat_tables(tables).unify_dictionaries(), origin)
        return
    write_batches(path, CANDIDATES, _groups(images), origin)


def _groups(images: Sequence[ImageTables]) -> Iterator[pa.Table]:
    """The candidates of all images in tables of equal length, however they were made."""
    waiting = CANDIDATES.empty_table()
    for image in images:
        for table in image.rows():
            waiting = pa.concat_tables([waiting, table])
            while len(waiting) >= _ROWS_IN_GROUP:
                yield waiting.slice(0, _ROWS_IN_GROUP).unify_dictionaries().combine_chunks()
                waiting = waiting.slice(_ROWS_IN_GROUP)
    if len(waiting):
        yield waiting.unify_dictionaries().combine_chunks()


def _whole_row(parts: pa.Table) -> pa.Table:
    """The row of an image in ``tables.PASS_IMAGES`` from those of its tiles."""
    row = parts.slice(0, 1).to_pylist()[0]
    row["crop_boxes_xyxy"] = [box for boxes in parts["crop_boxes_xyxy"].to_pylist() for box in boxes]
    row["proposed_iou"] = np.sort(parts["proposed_iou"].combine_chunks().flatten().to_numpy())
    return pa.Table.from_pylist([row], schema=parts.schema)


def _code_bytes(rows: pa.Table) -> int:
    return pc.sum(pc.binary_length(rows["counts"])).as_py() or 0


class _Ahead:
    """Opens one image ahead, so that the network need not wait; at most two are in memory."""

    def __init__(
        self, images: list[IndexedImage], read: Callable[[IndexedImage], Picture], reader: ThreadPoolExecutor
    ) -> None:
        self.images, self.read, self.reader = images, read, reader
        self.numbers = {image.image_key: number for number, image in enumerate(images)}
        self.next: tuple[int, Future[Picture]] | None = None

    def take(self, image_key: str) -> Future[Picture]:
        """The picture of an image, or the error from reading it; starts to read the next one."""
        number = self.numbers[image_key]
        at, picture = self.next or (-1, None)
        if picture is None or at != number:  # the first image, or one after an image from the journal
            picture = self._begin(number)
        self.next = (number + 1, self._begin(number + 1)) if number + 1 < len(self.images) else None
        return picture

    def _begin(self, number: int) -> Future[Picture]:
        return self.reader.submit(self.read, self.images[number])


def _no_network(tiles: range) -> Candidates:
    raise FileNotFoundError(f"the part of tiles {tiles.start} to {tiles.stop} has gone")


def _rows_of(result: PassResult) -> pa.Table:
    if result.candidates is None:
        return CANDIDATES.empty_table()
    return rows_table(result.image_key, result.candidates.rows)
