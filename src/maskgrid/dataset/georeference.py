"""Where on a map a GeoTIFF's pixels lie (OGC GeoTIFF 1.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from maskgrid.dataset.tiff_values import opened

_SCALE, _TIEPOINT, _TRANSFORMATION, _KEYS, _ORIENTATION = 33550, 33922, 34264, 34735, 274
# Keys of the directory of keys, and one of their values: coordinates are those of a pixel's centre.
_MODEL, _RASTER, _GEOGRAPHIC, _PROJECTED = 1024, 1025, 2048, 3072
_IS_PROJECTED, _IS_GEOGRAPHIC, _IS_POINT = 1, 2, 2
_USER_DEFINED = 32767


@dataclass(frozen=True, slots=True)
class Georeference:
    """The place of an image on a map.

    Attributes:
        epsg: the EPSG code of the coordinate reference system.
        transform: ``(a, b, c, d, e, f)`` as rasterio has it: ``x = a * column + b * row + c`` and
            ``y = d * column + e * row + f``, in the system's units, from the upper left corner of the upper left pixel.
    """

    epsg: int
    transform: tuple[float, float, float, float, float, float]

    def place(self, column: float, row: float) -> list[float]:
        """The map coordinates of a point in pixels."""
        a, b, c, d, e, f = self.transform
        return [a * column + b * row + c, d * column + e * row + f]


def read_georeference(stream: IO[bytes]) -> Georeference | None:
    """Read a file's place on a map; None if it is no upright GeoTIFF, or its system has no EPSG code.

    Raises:
        ValueError: the file is damaged.
    """
    with opened(stream) as file:
        tags = file.pages.first.tags
        keys = _short_keys(tags.valueof(_KEYS) or ())
        transform = _transform(tags)
        code = keys.get({_IS_PROJECTED: _PROJECTED, _IS_GEOGRAPHIC: _GEOGRAPHIC}.get(keys.get(_MODEL, 0), 0), 0)
        if transform is None or code in (0, _USER_DEFINED) or tags.valueof(_ORIENTATION, 1) != 1:
            return None
        if keys.get(_RASTER) == _IS_POINT:
            a, b, c, d, e, f = transform
            transform = a, b, c - (a + b) / 2, d, e, f - (d + e) / 2
        return Georeference(code, transform)


def _short_keys(directory: Sequence[int]) -> dict[int, int]:
    """The keys whose values stand in the directory itself."""
    entries = [directory[start : start + 4] for start in range(4, len(directory), 4)]
    return {int(entry[0]): int(entry[3]) for entry in entries if len(entry) == 4 and entry[1] == 0}


def _transform(tags: Any) -> tuple[float, float, float, float, float, float] | None:  # noqa: ANN401
    matrix, scale, tie = (tags.valueof(tag) for tag in (_TRANSFORMATION, _SCALE, _TIEPOINT))
    if matrix is not None and len(matrix) >= 8:
        return (*map(float, (matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7])),)  # type: ignore[return-value]
    if scale is None or tie is None or len(scale) < 2 or len(tie) < 6:
        return None
    across, down = float(scale[0]), float(scale[1])
    return across, 0.0, tie[3] - tie[0] * across, 0.0, -down, tie[4] + tie[1] * down
