"""Read the picture of an indexed image again, as the network saw it."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.dataset.pixels.windows import open_picture, shrunk
from maskgrid.dataset.tables import look_of_row, place_of


def read_picture(row: Mapping[str, Any], max_pixels: int) -> NDArray[np.uint8]:
    """Read the picture of a row of ``files.parquet``: uint8 (H, W, 3), RGB.

    One that is larger than ``max_pixels``, and was indexed for its tiles, comes as it is seen as a whole: in blocks.

    Raises:
        BadImageError: it is gone, or has changed.
    """
    (path, span), look = place_of(row), look_of_row(row)
    with closing(open_picture(path, max_pixels, row["sha256"], span, look)) as picture:
        height, width = picture.size_hw
        return shrunk(picture, (0, 0, width, height), picture.shrink)
