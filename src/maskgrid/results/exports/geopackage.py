"""Masks of GeoTIFFs on the map as a GeoPackage (OGC 12-128): QGIS, ArcGIS, GeoPandas."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from maskgrid.config.exports import GeopackageOptions
from maskgrid.dataset.georeference import Georeference
from maskgrid.dataset.pixels.other_formats import INSTALL
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.windows import decode_window
from maskgrid.results.exports.maps import georeferences, one_system
from maskgrid.results.exports.outlines import Polygon, code_with_holes, polygons_with_holes
from maskgrid.results.exports.polygons import Fidelity
from maskgrid.results.exports.source import FileNames, MaskFile, mask_of

_LAYER = "masks"
_ROWS_AT_ONCE = 5000
# By column; the features' numbers (fid) are GDAL's own.
_TYPES = {
    **{"annotation_id": "int64", "image_id": "int64", "file_name": "str", "category": "str"},
    **{"predicted_iou": "float64", "stability_score": "float64", "area_px": "int64"},
}
# GDAL writes the time of a change into the file, or this instead.
_NO_TIME = {"OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z"}


def write_geopackage(masks: MaskFile, folder: Path, options: GeopackageOptions) -> dict[str, Any]:
    """Write ``masks.gpkg`` for all images, or ``{image}.gpkg`` for each; the layer is called ``masks``.

    Each mask is a feature: a multipolygon with holes along the edges of its pixels, in the reference system of the
    images.

    Returns:
        The polygons' IoU with the masks, which is 1 without a tolerance, and how many images are left out.

    Raises:
        UserError: geopandas is not installed, no image has a place on a map, or several reference systems would be in
            one file.
    """
    try:
        import geopandas  # noqa: F401 - before the images are looked at
    except ImportError:
        raise UserError(f"exports.geopackage needs further packages: {INSTALL}[maps]'") from None
    fidelity, names = Fidelity(), FileNames()
    maps = georeferences(masks, "exports.geopackage needs", "take geojson", _is_known)
    whole = None
    if options.files == "one":
        whole = _Layer(folder / "masks.gpkg", one_system(maps.values(), "geopackage"))
    with _without_time():
        for image, entries in masks.images():
            place = maps.get(image["file_name"])
            if place is None:
                continue
            layer = whole or _Layer(folder / f"{names.of(image)}.gpkg", place.crs)
            for entry in entries:
                layer.add(_row(masks, image, entry), _geometry(entry, place, options.tolerance_px, fidelity))
            if whole is None:
                layer.close()
        if whole is not None:
            whole.close()
    return fidelity.as_dict() | {"n_without_map": masks.n_images - len(maps)}


@cache
def _is_known(crs: str) -> bool:
    """Whether PROJ knows a reference system: a damaged file may name a code that EPSG has not."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        CRS.from_user_input(crs)
    except CRSError:
        return False
    return True


@dataclass(slots=True)
class _Layer:
    """A file's layer; its features are written some thousands at a time."""

    path: Path
    crs: str | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    geometries: list[Any] = field(default_factory=list)
    is_begun: bool = False

    def add(self, row: dict[str, Any], geometry: Any) -> None:  # noqa: ANN401
        self.rows.append(row)
        self.geometries.append(geometry)
        if len(self.rows) >= _ROWS_AT_ONCE:
            self._write()

    def close(self) -> None:
        """Write the rest; a layer without features too."""
        if self.rows or not self.is_begun:
            self._write()

    def _write(self) -> None:
        import geopandas
        import pandas as pd

        self.path.parent.mkdir(parents=True, exist_ok=True)
        columns = pd.DataFrame(self.rows, columns=list(_TYPES)).astype(_TYPES)
        frame = geopandas.GeoDataFrame(columns, geometry=self.geometries, crs=self.crs)
        how = {"driver": "GPKG", "engine": "pyogrio", "layer": _LAYER, "mode": "a" if self.is_begun else "w"}
        frame.to_file(self.path, geometry_type="MultiPolygon", promote_to_multi=True, **how)
        self.is_begun = True
        self.rows.clear()
        self.geometries.clear()


@contextmanager
def _without_time() -> Iterator[None]:
    """Make files whose bytes do not depend on when they are written."""
    import pyogrio

    before = {name: pyogrio.get_gdal_config_option(name) for name in _NO_TIME}
    pyogrio.set_gdal_config_options(_NO_TIME)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _row(masks: MaskFile, image: Entry, entry: Entry) -> dict[str, Any]:
    return {
        "annotation_id": entry["id"],
        "image_id": image["id"],
        "file_name": image["file_name"],
        "category": masks.name_of(entry),
        "predicted_iou": entry.get("predicted_iou"),
        "stability_score": entry.get("stability_score"),
        "area_px": entry["area"],
    }


def _geometry(entry: Entry, place: Georeference, tolerance_px: float, fidelity: Fidelity) -> Any:  # noqa: ANN401
    """A mask's multipolygon on the map; None for one without pixels."""
    from shapely import MultiPolygon

    counts, size_hw = mask_of(entry)
    window, (top, left) = decode_window(counts, size_hw)
    polygons = polygons_with_holes(window, tolerance_px, (left, top))
    iou = 1.0
    if tolerance_px > 0 and polygons:
        iou = float(rle.pairwise_iou([code_with_holes(polygons, size_hw)], [counts], size_hw)[0, 0])
    fidelity.add(iou)
    placed = [_placed(polygon, place) for polygon in polygons]
    return MultiPolygon([(rings[0], rings[1:]) for rings in placed]) if placed else None


def _placed(polygon: Polygon, place: Georeference) -> list[Any]:
    a, b, c, d, e, f = place.transform
    return [
        np.stack([a * ring[:, 0] + b * ring[:, 1] + c, d * ring[:, 0] + e * ring[:, 1] + f], axis=1) for ring in polygon
    ]
