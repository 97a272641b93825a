"""Where on a map a GeoTIFF's pixels lie (OGC GeoTIFF 1.1)."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import tifffile

from maskgrid.dataset.pixels.other_formats import INSTALL
from maskgrid.dataset.pixels.tiff_values import opened

_SCALE, _TIEPOINT, _TRANSFORMATION, _ORIENTATION = 33550, 33922, 34264, 274
# The directory of keys, and the numbers and texts that it refers to.
_KEYS, _DOUBLES, _TEXTS = 34735, 34736, 34737
# Keys of the directory of keys, and one of their values: coordinates are those of a pixel's centre.
_MODEL, _RASTER, _GEOGRAPHIC, _PROJECTED = 1024, 1025, 2048, 3072
_IS_PROJECTED, _IS_GEOGRAPHIC, _IS_POINT = 1, 2, 2
_USER_DEFINED = 32767  # and above: numbers of somebody's own, not EPSG's
# The key of the code, by model. GDAL calls ESRI's projections, such as Mollweide's, user-defined.
_CODE_KEYS = {_IS_PROJECTED: _PROJECTED, _IS_GEOGRAPHIC: _GEOGRAPHIC, _USER_DEFINED: _PROJECTED}
_NOT_ON_EARTH = ("ENGCRS", "LOCAL_CS")

Transform = tuple[float, float, float, float, float, float]


class MissingMapsError(Exception):
    """A reference system that only a package of the extra ``maps`` can name."""


@dataclass(frozen=True, slots=True)
class Georeference:
    """The place of an image on a map.

    Attributes:
        crs: the coordinate reference system: ``EPSG:32633``, or for one without such a code its WKT (ISO 19162:2019).
        transform: ``(a, b, c, d, e, f)`` as rasterio has it: ``x = a * column + b * row + c`` and
            ``y = d * column + e * row + f``, in the system's units, from the upper left corner of the upper left pixel.
    """

    crs: str
    transform: Transform

    def place(self, column: float, row: float) -> list[float]:
        """The map coordinates of a point in pixels."""
        a, b, c, d, e, f = self.transform
        return [a * column + b * row + c, d * column + e * row + f]


def read_georeference(stream: IO[bytes]) -> Georeference | None:
    """Read a file's place on a map; None if it is no upright GeoTIFF.

    Raises:
        MissingMapsError: its reference system has no EPSG code, and rasterio, which describes others, is not installed.
        ValueError: the file is damaged.
    """
    with opened(stream) as file:
        tags = file.pages.first.tags
        keys = _short_keys(tags.valueof(_KEYS) or ())
        transform = _transform(tags)
        if transform is None or keys.get(_MODEL) not in _CODE_KEYS or tags.valueof(_ORIENTATION, 1) != 1:
            return None
        described = {tag: tags.valueof(tag) for tag in (_KEYS, _DOUBLES)} | {_TEXTS: _texts(file, tags)}
    if keys.get(_RASTER) == _IS_POINT:
        a, b, c, d, e, f = transform
        transform = a, b, c - (a + b) / 2, d, e, f - (d + e) / 2
    code = keys.get(_CODE_KEYS[keys[_MODEL]], 0)
    crs = f"EPSG:{code}" if 0 < code < _USER_DEFINED else _by_gdal(described)
    return None if crs is None else Georeference(crs, transform)


def _by_gdal(described: Mapping[int, Any]) -> str | None:
    """A reference system described by keys, as GDAL understands them; None if it says nothing of the Earth.

    It has an EPSG code where GDAL finds that it is the very same, else WKT.
    """
    try:
        from rasterio.errors import RasterioError
        from rasterio.io import MemoryFile
    except ImportError:
        raise MissingMapsError(
            f"its reference system has no EPSG code, which needs further packages: {INSTALL}[maps]'"
        ) from None
    try:
        # A file of one pixel with these keys alone: the image may be large, or lie in an archive.
        with MemoryFile(_with_keys(described)) as file, file.open() as source:
            wkt = source.crs.to_wkt(version="WKT2_2019") if source.crs else ""
            epsg = source.crs.to_epsg(confidence_threshold=100) if source.crs else None
    except RasterioError:
        return None
    if epsg is not None:
        return f"EPSG:{epsg}"
    return wkt if wkt and not wkt.startswith(_NOT_ON_EARTH) else None


def _texts(file: tifffile.TiffFile, tags: Any) -> bytes | None:  # noqa: ANN401
    """The texts' bytes, in which keys name places: UTF-8 as GDAL writes it; of another encoding only ASCII."""
    tag = tags.get(_TEXTS)
    if tag is None:
        return None
    file.filehandle.seek(tag.valueoffset)
    texts: bytes = file.filehandle.read(tag.valuebytecount)
    try:
        texts.decode()
    except UnicodeDecodeError:
        return texts.decode("ascii", "replace").replace("\ufffd", "?").encode()
    return texts


def _with_keys(described: Mapping[int, Any]) -> bytes:
    stream, kinds = io.BytesIO(), {_KEYS: "H", _DOUBLES: "d", _TEXTS: "s"}
    tags: list[tuple[int, str, int, Any, bool]] = [(_SCALE, "d", 3, (1.0, 1.0, 0.0), True)]
    tags += [(_TIEPOINT, "d", 6, (0.0,) * 6, True)]
    for tag, value in described.items():
        if value:
            value = value if isinstance(value, bytes) else tuple(np.atleast_1d(value).tolist())
            tags.append((tag, kinds[tag], len(value), value, True))
    pixel = np.zeros((1, 1), np.uint8)
    tifffile.imwrite(stream, pixel, photometric="minisblack", metadata=None, extratags=tags)
    return stream.getvalue()


def _short_keys(directory: Sequence[int]) -> dict[int, int]:
    """The keys whose values stand in the directory itself."""
    entries = [directory[start : start + 4] for start in range(4, len(directory), 4)]
    return {int(entry[0]): int(entry[3]) for entry in entries if len(entry) == 4 and entry[1] == 0}


def _transform(tags: Any) -> Transform | None:  # noqa: ANN401
    """The transform, of scale and tie point or of a matrix, in GDAL's order; None if it puts nothing on a map."""
    matrix, scale, tie = (tags.valueof(tag) for tag in (_TRANSFORMATION, _SCALE, _TIEPOINT))
    found: Transform | None = None
    if scale is not None and tie is not None and len(scale) >= 2 and len(tie) >= 6 and scale[0] and scale[1]:
        # Rows go down the map whatever the sign, as GDAL has it.
        across, down = float(scale[0]), abs(float(scale[1]))
        found = across, 0.0, tie[3] - tie[0] * across, 0.0, -down, tie[4] + tie[1] * down
    elif matrix is not None and len(matrix) >= 8:
        found = (*(float(matrix[at]) for at in (0, 1, 3, 4, 5, 7)),)  # type: ignore[assignment]
    if found is None or not all(map(math.isfinite, found)):
        return None
    a, b, _, d, e, _ = found
    return found if a * e != b * d else None
