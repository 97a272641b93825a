"""Read windows of a TIFF's values: only the strips and tiles that a window touches."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
import tifffile

from maskgrid.dataset.pixels.look import Values
from maskgrid.dataset.pixels.pillow import TooManyPixelsError
from maskgrid.dataset.pixels.tiff_values import TiffPicture, require_whole

# Decoded strips and tiles to keep, since neighbouring windows touch the same ones.
_KEPT_BYTES = 96 << 20
# A strip or tile that is larger once decoded is no window of anything.
_MOST_BYTES = 256 << 20
_UNCOMPRESSED, _MSB_FIRST, _NO_PREDICTOR, _PLANES = 1, 1, 1, 2
_JPEG = (6, 7, 34892, 33007)


@dataclass(frozen=True, slots=True)
class Box:
    """A window in pixels of the file, right and bottom edge exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class _Grid:
    """The size of a picture's strips or tiles, and how many lie below and beside each other."""

    height: int
    width: int
    n_down: int
    n_across: int

    @classmethod
    def of(cls, key: tifffile.TiffPage) -> Self:
        height = key.tilelength if key.is_tiled else min(key.rowsperstrip, key.imagelength)
        width = key.tilewidth if key.is_tiled else key.imagewidth
        return cls(height, width, -(-key.imagelength // height), -(-key.imagewidth // width))

    def touched(self, box: Box) -> Iterator[tuple[int, Box]]:
        """The strips or tiles that a window touches: their numbers within a plane, and their boxes."""
        down = range(box.y0 // self.height, -(-box.y1 // self.height))
        across = range(box.x0 // self.width, -(-box.x1 // self.width))
        for row, column in product(down, across):
            x0, y0 = column * self.width, row * self.height
            yield row * self.n_across + column, Box(x0, y0, x0 + self.width, y0 + self.height)


class TiffWindowReader:
    """Reads windows of one picture of an opened TIFF."""

    def __init__(self, file: tifffile.TiffFile, picture: TiffPicture) -> None:
        """Prepare to read.

        Raises:
            TooManyPixelsError: windows cannot be read, as its strips are too large.
            ValueError: its data lie behind the file's end.
        """
        self.file, self.picture, self.key = file, picture, picture.key
        self.grid = _Grid.of(self.key)
        self.dtype = np.dtype(self.key.dtype)
        in_planes = int(self.key.planarconfig) == _PLANES and self.key.samplesperpixel > 1
        self.n_planes = self.key.samplesperpixel if in_planes else 1
        self.n_samples = self.key.samplesperpixel // self.n_planes
        self.is_raw = _is_raw(self.key)
        n_bytes = self.grid.height * self.grid.width * self.n_samples * self.dtype.itemsize
        if n_bytes > _MOST_BYTES and not self.is_raw:
            kind = "tiles" if self.key.is_tiled else "strips"
            size = f"{self.grid.width} x {self.grid.height}"
            raise TooManyPixelsError(f"{kind} of {size} pixels, too large to decode one of them")
        for part in picture.parts:
            require_whole(part, file.filehandle.size)
        self._kept: OrderedDict[tuple[int, int], Values | None] = OrderedDict()
        self._kept_bytes = 0

    def values(self, box: Box) -> Values:
        """The values of a window: (h, w, n), in the machine's byte order.

        Raises:
            Any error of tifffile; see :func:`maskgrid.dataset.pixels.tiff_values.damage_as_errors`.
        """
        found = np.empty((box.y1 - box.y0, box.x1 - box.x0, self.picture.n_bands), self.dtype.newbyteorder("="))
        for number in range(len(self.picture.parts)):
            for plane in range(self.n_planes):
                first = number * self.key.samplesperpixel + plane
                bands = found[..., first : first + self.n_samples]
                if self.is_raw:
                    self._read_rows(number, plane, box, bands)
                else:
                    self._read_segments(number, plane, box, bands)
        return found

    def rows_at_once(self, n_bytes: int) -> int:
        """How many rows of whole strips or tiles fit into some memory; at least one strip's or tile's."""
        row = self.key.imagewidth * self.picture.n_bands * self.dtype.itemsize
        if self.is_raw:
            return max(1, n_bytes // row)
        return max(1, n_bytes // (row * self.grid.height)) * self.grid.height

    def _read_segments(self, number: int, plane: int, box: Box, bands: Values) -> None:
        n_in_plane = self.grid.n_down * self.grid.n_across
        for index, place in self.grid.touched(box):
            segment = self._segment(number, plane * n_in_plane + index)
            x0, y0 = max(box.x0, place.x0), max(box.y0, place.y0)
            x1, y1 = min(box.x1, place.x1), min(box.y1, place.y1)
            window = bands[y0 - box.y0 : y1 - box.y0, x0 - box.x0 : x1 - box.x0]
            if segment is None:
                window[:] = self.key.nodata
            else:
                window[:] = segment[y0 - place.y0 : y1 - place.y0, x0 - place.x0 : x1 - place.x0]

    def _segment(self, number: int, index: int) -> Values | None:
        """A decoded strip or tile (h, w, samples); None for one that the file leaves out."""
        if (number, index) in self._kept:
            self._kept.move_to_end((number, index))
            return self._kept[number, index]
        segment = self._decoded(self.picture.parts[number], index)
        self._kept[number, index] = segment
        self._kept_bytes += 0 if segment is None else segment.nbytes
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= 0 if dropped is None else dropped.nbytes
        return segment

    def _decoded(self, part: Any, index: int) -> Values | None:  # noqa: ANN401
        n_bytes = part.databytecounts[index] if index < len(part.databytecounts) else 0
        if n_bytes == 0:
            return None
        self.file.filehandle.seek(part.dataoffsets[index])
        content = self.file.filehandle.read(n_bytes)
        tables = {}
        if int(self.key.compression) in _JPEG:
            tables = {"jpegtables": part.jpegtables, "jpegheader": self.key.jpegheader}
        segment = self.key.decode(content, index, **tables)[0]
        return None if segment is None else segment[0]

    def _read_rows(self, number: int, plane: int, box: Box, bands: Values) -> None:
        """Read the rows of strips that are not compressed, and of these no more than the window."""
        part, pixel_bytes = self.picture.parts[number], self.n_samples * self.dtype.itemsize
        row_bytes = self.grid.width * pixel_bytes
        for y in range(box.y0, box.y1):
            strip, row = divmod(y, self.grid.height)
            index = plane * self.grid.n_down + strip
            if part.databytecounts[index] == 0:
                bands[y - box.y0] = self.key.nodata
                continue
            self.file.filehandle.seek(part.dataoffsets[index] + row * row_bytes + box.x0 * pixel_bytes)
            content = self.file.filehandle.read((box.x1 - box.x0) * pixel_bytes)
            stored = np.frombuffer(content, self.dtype.newbyteorder(self.file.byteorder))
            bands[y - box.y0] = stored.reshape(-1, self.n_samples)


def _is_raw(key: tifffile.TiffPage) -> bool:
    """Whether the picture's numbers stand in the file row by row."""
    is_plain = (int(key.compression), int(key.fillorder), int(key.predictor)) == (
        _UNCOMPRESSED,
        _MSB_FIRST,
        _NO_PREDICTOR,
    )
    is_whole = key.dtype is not None and key.bitspersample == 8 * key.dtype.itemsize
    return is_plain and is_whole and not key.is_tiled
