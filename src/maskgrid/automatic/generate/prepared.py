"""Pictures that a reader's thread has made ready for the network."""

from dataclasses import dataclass

from torch import Tensor

from maskgrid.dataset.pixels.windows import BoxXyxy, WholePicture


@dataclass(slots=True, kw_only=True)
class PreparedPicture(WholePicture):
    """A picture in memory, and the first part that a pass looks at as the network takes it.

    Attributes:
        first_box_xyxy: that part.
        first_scaled: as from :meth:`maskgrid.network.image_encoder.ImageEncoder.prepare`.
    """

    first_box_xyxy: BoxXyxy
    first_scaled: Tensor
