"""COCO's forms of a mask (polygons, runs, compressed code), checked and converted to the compressed code."""

from typing import Any

from maskgrid.masks import rle


def code_of(segmentation: Any, size_hw: tuple[int, int]) -> bytes:  # noqa: ANN401
    """COCO's compressed code of a segmentation: polygons, a list of runs, or a compressed code.

    Polygons without a part that has an area give the code of an empty mask.

    Args:
        segmentation: polygons (lists x, y, x, y, ... in pixels), or ``{"size": [h, w], "counts": text or list}``.
        size_hw: the image's height and width.

    Raises:
        ValueError: it is malformed, or has another size.
    """
    if isinstance(segmentation, list):
        return rle.from_polygons(parts_with_area(segmentation, size_hw), size_hw)
    if not isinstance(segmentation, dict):
        raise ValueError(f"a segmentation is a list of polygons or a run-length code, not {segmentation!r:.60}")
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if size != list(size_hw):
        raise ValueError(f"the mask's size is {size!r}, and the image's {list(size_hw)} (height, width)")
    if isinstance(counts, list):
        return _code_of_runs(counts, size_hw)
    if not isinstance(counts, str | bytes) or not counts.isascii():
        raise ValueError("'counts' of a run-length code is text or a list of numbers")
    code = counts if isinstance(counts, bytes) else counts.encode("ascii")
    rle.check(code, size_hw)
    return code


def parts_with_area(polygons: list[Any], size_hw: tuple[int, int]) -> list[list[float]]:
    """Check polygons; leave out those of fewer than three points, which have no area.

    Raises:
        ValueError: a polygon is not a list of pairs of numbers, or has a corner far outside the image.
    """
    limit = 10.0 * max(size_hw)
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2:
            raise ValueError("a polygon is a list x, y, x, y, ... of at least three points")
        # With far corners pycocotools would walk along edges almost forever.
        if not all(type(number) in (int, float) and abs(number) <= limit for number in polygon):
            raise ValueError("a polygon has a corner that is no number or far outside the image")
    return [polygon for polygon in polygons if len(polygon) >= 6]


def whole_number(value: Any) -> Any:  # noqa: ANN401
    """A number without a fraction as an integer, as pandas and others write ``7.0`` for 7; all else as it is.

    Integers of more than 64 bits, which no table holds, stay or become floats.
    """
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else float(value)
    is_whole = isinstance(value, float) and abs(value) < 2.0**63 and value.is_integer()
    return int(value) if is_whole else value


def whole_number_of_text(value: Any) -> Any:  # noqa: ANN401
    """As :func:`whole_number`, and text that is a whole number, ``"7"``, as that number."""
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and str(int(value[:20])) == value
    return int(value) if is_number else whole_number(value)


def _code_of_runs(runs: list[Any], size_hw: tuple[int, int]) -> bytes:
    if not all(type(run) is int and run >= 0 for run in runs) or sum(runs) != size_hw[0] * size_hw[1]:
        raise ValueError(f"the runs are not numbers that add up to {size_hw[0]} x {size_hw[1]} pixels")
    return rle.from_runs(runs, size_hw)
