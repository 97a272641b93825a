"""Where tiles lie in an image."""

from itertools import product

from maskgrid.io.errors import ImageTooLargeError

_MOST_TILES = 2**15 - 1  # by the type of the column crop_index


def tile_boxes(size_hw: tuple[int, ...], size_px: int, overlap_px: int) -> list[tuple[int, int, int, int]]:
    """Square tiles (x0, y0, x1, y1) that cover an image, column by column, as sam2 orders crops.

    The last tile of a row or column ends at the image's edge and overlaps its neighbour more. An image that is no
    larger than a tile has none.

    Raises:
        ImageTooLargeError: there are more tiles than tables can number.
    """
    height, width = int(size_hw[0]), int(size_hw[1])
    if max(height, width) <= size_px:
        return []
    lefts, tops = _starts(width, size_px, overlap_px), _starts(height, size_px, overlap_px)
    if len(lefts) * len(tops) > _MOST_TILES:
        raise ImageTooLargeError(
            f"{len(lefts) * len(tops):,} tiles, more than the {_MOST_TILES:,} that are allowed; raise tile_size_px"
        )
    return [(x, y, min(x + size_px, width), min(y + size_px, height)) for x, y in product(lefts, tops)]


def _starts(length_px: int, size_px: int, overlap_px: int) -> list[int]:
    last = max(0, length_px - size_px)
    return [*range(0, last, size_px - overlap_px), last]


def n_tiles(size_hw: tuple[int, int], tile_px: tuple[int, int]) -> int:
    """How many tiles of a size and overlap an image has; 0 if there are too many."""
    try:
        return len(tile_boxes(size_hw, *tile_px))
    except ImageTooLargeError:
        return 0
