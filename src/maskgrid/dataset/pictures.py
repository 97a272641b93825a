"""Read the picture of an indexed image again, as the network saw it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.dataset.images import read_image
from maskgrid.dataset.tables import look_of_row, place_of


def read_picture(row: Mapping[str, Any], max_pixels: int) -> NDArray[np.uint8]:
    """Read the picture of a row of ``files.parquet``: uint8 (H, W, 3), RGB.

    Raises:
        BadImageError: it is gone, or has changed.
    """
    path, span = place_of(row)
    return read_image(path, max_pixels, row["sha256"], span, look_of_row(row)).pixels
