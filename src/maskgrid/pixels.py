"""The pixel modes of image files, as 8-bit RGB."""

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

_MAX_16_BIT = 65535
_WHITE_IS_ZERO = 0


class PixelsUnsupportedError(ValueError):
    """Pixel values for which there is no agreed way to show them."""


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert a loaded image of any of Pillow's modes to ``RGB``, the way viewers show it.

    - Transparency (alpha, a transparent palette entry or colour) is laid on white, as image viewers do.
    - 16-bit grey is scaled by 255 / 65535 and rounded (12-bit by 255 / 4095), where ``Image.convert`` would
      clip it. 16-bit colour reaches us as the high bytes, because Pillow decodes it so.
    - Floating point is shown only where it lies in 0 to 1, with 1 as white.
    - CMYK, YCbCr and LAB are converted by Pillow. Embedded colour profiles are not applied.

    Raises:
        PixelsUnsupportedError: for floats outside 0 to 1 and integers outside 16 bits.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return PIL.Image.fromarray(_grey_8_bit(image)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PIL.Image.new("RGBA", rgba.size, "white")
        return PIL.Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _grey_8_bit(image: PIL.Image.Image) -> npt.NDArray[np.uint8]:
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):  # written so that NaN is refused too
            raise PixelsUnsupportedError(
                f"floating point from {low:g} to {high:g}; only values in 0 to 1 have an agreed look"
            )
        return np.rint(values * np.float32(255)).astype(np.uint8)
    white = _white_level(image)
    if low < 0 or high > white:
        raise PixelsUnsupportedError(f"integers from {low} to {high}; only up to 16 bits have an agreed look")
    grey = np.rint(values * np.float32(255 / white)).astype(np.uint8)
    return ~grey if _white_is_zero(image) else grey


def _white_level(image: PIL.Image.Image) -> int:
    # A 12-bit TIFF has the mode of a 16-bit one, and only the tag tells them apart.
    bits = image.tag_v2.get(BITSPERSAMPLE, (16,))[0] if isinstance(image, TiffImageFile) else 16
    return int(min(2**bits - 1, _MAX_16_BIT))


def _white_is_zero(image: PIL.Image.Image) -> bool:
    # Pillow inverts such TIFF files by itself up to 8 bits, and not above.
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
