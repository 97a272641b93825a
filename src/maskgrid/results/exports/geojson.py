"""GeoJSON polygons with holes, in pixels: QuPath, QGIS, GeoPandas."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from maskgrid.config.exports import GeojsonOptions
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import Entry
from maskgrid.results.exports.outlines import Polygon, drawn_with_holes, polygons_with_holes
from maskgrid.results.exports.polygons import Fidelity
from maskgrid.results.exports.source import FileNames, MaskFile, mask_of

_HEAD = {"type": "FeatureCollection"}
_MEASURED = ("predicted_iou", "stability_score", "area")


def write_geojson(masks: MaskFile, folder: Path, options: GeojsonOptions) -> dict[str, Any]:
    """Write ``{image}.geojson`` for each image, or ``masks.geojson`` for all.

    Coordinates are pixel edges from the picture's upper left corner. ``objectType``, ``classification`` and
    ``measurements`` are QuPath's.

    Returns:
        The polygons' IoU with the masks, which is 1 without a tolerance.
    """
    fidelity = Fidelity()
    if options.files == "one":
        parts = (_features(masks, image, entries, options, fidelity) for image, entries in masks.images())
        features = chain.from_iterable(parts)
        write_document(folder / "masks.geojson", _HEAD, {"features": features})
    else:
        names = FileNames()
        for image, entries in masks.images():
            path = folder / f"{names.of(image)}.geojson"
            write_document(path, _HEAD, {"features": _features(masks, image, entries, options, fidelity)})
    return fidelity.as_dict()


def _features(
    masks: MaskFile, image: Entry, entries: list[Entry], options: GeojsonOptions, fidelity: Fidelity
) -> Iterator[bytes]:
    for entry in entries:
        counts, size_hw = mask_of(entry)
        polygons = polygons_with_holes(rle.decode(counts, size_hw), options.tolerance_px)
        iou = 1.0
        if options.tolerance_px > 0 and polygons:
            drawn = rle.encode(drawn_with_holes(polygons, size_hw))
            iou = float(rle.pairwise_iou([drawn], [counts], size_hw)[0, 0])
        fidelity.add(iou)
        yield dumps(_feature(masks, image, entry, polygons, -1 if options.y_axis == "up" else 1))


def _feature(masks: MaskFile, image: Entry, entry: Entry, polygons: list[Polygon], y_sign: int) -> dict[str, Any]:
    rings = [[[[x, y_sign * y] for x, y in [*ring, ring[0]]] for ring in _lists(polygon)] for polygon in polygons]
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
