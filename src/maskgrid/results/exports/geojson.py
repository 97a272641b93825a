"""GeoJSON polygons with holes, in pixels or on the map: QuPath, QGIS, GeoPandas."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from maskgrid.config.exports import GeojsonOptions
from maskgrid.dataset.georeference import Georeference
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.masks.windows import decode_window
from maskgrid.results.exports.maps import georeferences, one_system
from maskgrid.results.exports.outlines import Polygon, code_with_holes, polygons_with_holes
from maskgrid.results.exports.polygons import Fidelity
from maskgrid.results.exports.source import FileNames, MaskFile, mask_of

# Turns a corner in pixels, column and row, into what is written.
Place = Callable[[int, int], list[Any]]

_HEAD = {"type": "FeatureCollection"}
_MEASURED = ("predicted_iou", "stability_score", "area")


def write_geojson(masks: MaskFile, folder: Path, options: GeojsonOptions) -> dict[str, Any]:
    """Write ``{image}.geojson`` for each image, or ``masks.geojson`` for all.

    Coordinates are pixel edges from the picture's upper left corner, or the same corners on the map, in the reference
    system that the file names. ``objectType``, ``classification`` and ``measurements`` are QuPath's.

    Returns:
        The polygons' IoU with the masks, which is 1 without a tolerance; on a map, how many images are left out.

    Raises:
        UserError: no image has a place on a map, or several reference systems would be in one file.
    """
    fidelity, sign = Fidelity(), -1 if options.y_axis == "up" else 1
    maps = _maps(masks) if options.coordinates == "map" else None

    def features(image: Entry, entries: list[Entry]) -> Iterator[bytes]:
        place = maps[image["file_name"]].place if maps is not None else lambda x, y: [x, sign * y]
        return _features(masks, image, entries, options.tolerance_px, fidelity, place)

    shown = ((image, entries) for image, entries in masks.images() if maps is None or image["file_name"] in maps)
    if options.files == "one":
        head = _head(maps.values() if maps is not None else ())
        every = chain.from_iterable(features(image, entries) for image, entries in shown)
        write_document(folder / "masks.geojson", head, {"features": every})
    else:
        names = FileNames()
        for image, entries in shown:
            path = folder / f"{names.of(image)}.geojson"
            head = _head([maps[image["file_name"]]] if maps is not None else ())
            write_document(path, head, {"features": features(image, entries)})
    return fidelity.as_dict() | ({} if maps is None else {"n_without_map": masks.n_images - len(maps)})


def _maps(masks: MaskFile) -> dict[str, Georeference]:
    return georeferences(masks, "exports.geojson: coordinates: map needs", "take coordinates: pixels")


def _head(maps: Iterable[Georeference]) -> dict[str, Any]:
    system = one_system(maps, "geojson")
    if system is None:
        return _HEAD
    name = system.replace("EPSG:", "urn:ogc:def:crs:EPSG::") if system.startswith("EPSG:") else system
    # RFC 7946 has dropped this member, but GDAL, and so QGIS and GeoPandas, still read and write it.
    return _HEAD | {"crs": {"type": "name", "properties": {"name": name}}}


def _features(
    masks: MaskFile, image: Entry, entries: list[Entry], tolerance_px: float, fidelity: Fidelity, place: Place
) -> Iterator[bytes]:
    for entry in entries:
        counts, size_hw = mask_of(entry)
        window, (top, left) = decode_window(counts, size_hw)
        polygons = polygons_with_holes(window, tolerance_px, (left, top))
        iou = 1.0
        if tolerance_px > 0 and polygons:
            drawn = code_with_holes(polygons, size_hw)
            iou = float(rle.pairwise_iou([drawn], [counts], size_hw)[0, 0])
        fidelity.add(iou)
        yield dumps(_feature(masks, image, entry, polygons, place))


def _feature(masks: MaskFile, image: Entry, entry: Entry, polygons: list[Polygon], place: Place) -> dict[str, Any]:
    rings = [[[place(x, y) for x, y in [*ring, ring[0]]] for ring in _lists(polygon)] for polygon in polygons]
    kind = "Polygon" if len(rings) == 1 else "MultiPolygon"
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": rings[0] if len(rings) == 1 else rings} if rings else None,
        "properties": {
            "objectType": "annotation",
            "classification": {"name": masks.name_of(entry)},
            "measurements": {name: entry[name] for name in _MEASURED if name in entry},
            "annotation_id": entry["id"],
            "image_id": image["id"],
            "file_name": image["file_name"],
        },
    }


def _lists(polygon: Polygon) -> list[list[list[int]]]:
    return [ring.tolist() for ring in polygon]
