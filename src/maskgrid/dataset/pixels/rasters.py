"""The values that Pillow and OpenCV read from a file at their full depth."""

from collections.abc import Callable
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from maskgrid.dataset.pixels.look import Raster
from maskgrid.dataset.pixels.pillow import white_is_zero, white_level

_RGB = ("red", "green", "blue")
_GREY = ("grey",)
_WORDS = 2  # bytes of a 16-bit number
# TIFF's WhiteIsZero, BlackIsZero and RGB: values that measure brightness, unlike palettes, CMYK and Lab.
_BRIGHTNESS = (0, 1, 2)


def is_deep(image: PIL.Image.Image) -> bool:
    """Return whether an opened file has more than 8 bits of brightness."""
    if image.mode.startswith("I") or image.mode == "F":
        return True
    if isinstance(image, TiffImageFile):
        bits = image.tag_v2.get(BITSPERSAMPLE, (1,))
        return max(bits) > 8 and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) in _BRIGHTNESS
    return _is_deep_png(image) or _is_deep_ppm(image)


def pillow_raster(image: PIL.Image.Image) -> Raster:
    """The values of a loaded image of 8 bits, or of grey of any depth."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)[..., None]
        white = 1.0 if image.mode == "F" else float(white_level(image))
        alpha = _but_not(values, image.info.get("transparency"))
        return Raster(values, _GREY, (1,), alpha=alpha, white=white, white_is_zero=white_is_zero(image))
    if image.mode in ("La", "RGBa"):  # colours multiplied by alpha
        image = image.convert(image.mode.upper())
    if image.mode == "1":
        image = image.convert("L")
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("L", "LA") else "RGBA")
    elif image.mode != "L":
        image = image.convert("RGB")
    values = np.asarray(image)
    values = values[..., None] if values.ndim == 2 else values
    alpha = None
    if image.mode in ("LA", "RGBA"):
        values, alpha = values[..., :-1], (values[..., -1] / 255).astype(np.float32)
    is_grey = values.shape[2] == 1
    return Raster(values, _GREY if is_grey else _RGB, (1,) if is_grey else (1, 2, 3), not is_grey, alpha)


def deep_raster(image: PIL.Image.Image, stream: IO[bytes], load: Callable[[PIL.Image.Image], None]) -> Raster:
    """The values of an opened image of more than 8 bits, at the file's depth.

    Pillow decodes only the high bytes of 16-bit colour; OpenCV decodes the whole.

    Args:
        image: the opened image.
        stream: its file.
        load: loads it, which also finds damage.
    """
    transparent = image.info.get("transparency")
    tile = image.tile[0] if isinstance(image, PpmImageFile) and _is_deep_ppm(image) else None
    load(image)
    if tile is not None:
        return _ppm_raster(image.size, tile, stream)
    if image.mode.startswith("I") or image.mode == "F":
        return pillow_raster(image)
    import cv2  # here, since most images need no OpenCV

    stream.seek(0)
    decoded = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        raise ValueError("OpenCV cannot decode it")
    values = decoded[..., 2::-1]
    alpha = (decoded[..., 3] / 65535).astype(np.float32) if decoded.shape[2] == 4 and "A" in image.mode else None
    if alpha is None:
        alpha = _but_not(values, transparent)
    if image.mode == "LA":
        return Raster(values[..., :1], _GREY, (1,), alpha=alpha, white=65535.0)
    return Raster(values, _RGB, (1, 2, 3), True, alpha, white=65535.0)


def _is_deep_png(image: PIL.Image.Image) -> bool:
    return isinstance(image, PngImageFile) and bool(image.tile) and str(image.tile[0].args).endswith("16B")


def _is_deep_ppm(image: PIL.Image.Image) -> bool:
    if not isinstance(image, PpmImageFile) or image.mode != "RGB" or not image.tile:
        return False
    arguments: Any = image.tile[0].args  # the raw mode and the highest value
    return image.tile[0].codec_name == "ppm" and isinstance(arguments, tuple) and arguments[1] > 255


def _ppm_raster(size: tuple[int, int], tile: Any, stream: IO[bytes]) -> Raster:  # noqa: ANN401
    width, height = size
    _, _, offset, arguments = tile
    stream.seek(offset)
    content = stream.read(width * height * 3 * _WORDS)
    values = np.frombuffer(content, ">u2").reshape(height, width, 3)
    return Raster(values.astype(np.uint16), _RGB, (1, 2, 3), True, white=float(arguments[1]))


def _but_not(values: npt.NDArray[Any], colour: Any) -> npt.NDArray[np.float32] | None:  # noqa: ANN401
    """Alpha where one colour is transparent."""
    if not isinstance(colour, int | tuple):
        return None
    differs: npt.NDArray[np.bool_] = np.any(values != np.array(colour, values.dtype), axis=-1)
    return differs.astype(np.float32)
