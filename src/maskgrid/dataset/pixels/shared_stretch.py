"""One stretch for all images of a dataset: ``dataset.pixels.stretch_over: dataset``."""

from collections.abc import Callable, Iterable

import pyarrow as pa

from maskgrid.dataset.tables import ROWS_SCHEMA

Bands = list[float] | None


def share_stretch(index: pa.Table) -> pa.Table:
    """Give images with a stretch of their own a common one: the lowest low and the highest high of any of them.

    Images share it with those of as many bands.

    Args:
        index: a table of ``ROWS_SCHEMA``; an image's own stretch is in ``own_low`` and ``own_high``, null for those
            that do not share one.
    """
    for name, own, extreme in (("stretch_low", "own_low", min), ("stretch_high", "own_high", max)):
        values: list[Bands] = index[own].to_pylist()
        shared = _extremes(values, extreme)
        chosen = [
            other if bands is None else shared[len(bands)]
            for bands, other in zip(values, index[name].to_pylist(), strict=True)
        ]
        field = ROWS_SCHEMA.field(name)
        index = index.set_column(index.schema.get_field_index(name), field, pa.array(chosen, field.type))
    return index


def _extremes(images: Iterable[Bands], extreme: Callable[[tuple[float, float]], float]) -> dict[int, list[float]]:
    """The extreme value of each band, by the number of bands."""
    found: dict[int, list[float]] = {}
    for bands in images:
        if bands is not None:
            before = found.get(len(bands), bands)
            found[len(bands)] = [extreme(pair) for pair in zip(before, bands, strict=True)]
    return found
