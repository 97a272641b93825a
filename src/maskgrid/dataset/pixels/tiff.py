"""TIFF files: correct how Pillow decodes some kinds, and say what a kind that it does not read is."""

import struct
from dataclasses import dataclass
from typing import IO, Any

from PIL.ImageFile import _Tile
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    IMAGELENGTH,
    IMAGEWIDTH,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    SUBIFD,
    TILEBYTECOUNTS,
    TILEOFFSETS,
    YCBCRSUBSAMPLING,
    TiffImageFile,
)

from maskgrid.dataset.pixels.pillow import PillowOnlyError, PixelsUnsupportedError

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_YCBCR = 6
_SIGNED, _FLOAT = 2, 3
_PLANES = 2
_NEW_SUBFILE_TYPE = 254
# libtiff swaps bytes itself; Pillow swaps the numbers of these raw modes again.
_NATIVE = {
    "F;32F": "F;32NF",
    "F;32BF": "F;32NF",
    "I;16S": "I;16NS",
    "I;16BS": "I;16NS",
    "I;32S": "I;32NS",
    "I;32BS": "I;32NS",
}
# Pillow's own decoder reads planes of these raw modes right.
_PLANES_READ = ("RGB", "RGBA", "CMYK")
# Compressions of TIFF that Pillow may be built without.
_OPTIONAL_COMPRESSIONS = {34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}

_MOST_TAGS = 4096
_NUMBER_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # integers of TIFF and BigTIFF, by field type
_COUNTED = {
    BITSPERSAMPLE: 16,
    SAMPLEFORMAT: 16,
    STRIPOFFSETS: 1 << 22,
    STRIPBYTECOUNTS: 1 << 22,
    TILEOFFSETS: 1 << 22,
    TILEBYTECOUNTS: 1 << 22,
}


def correct_decoding(image: TiffImageFile) -> None:
    """Make Pillow decode an opened file right, before ``load``.

    - Compressed floats and signed integers of big-endian files: Pillow swaps their bytes twice.
    - Uncompressed planes of 16 bits, and uncompressed YCbCr with subsampled colours: Pillow's own decoder takes them
      for other data; libtiff reads them.

    Raises:
        PixelsUnsupportedError: Pillow would show something else than the picture.
    """
    refuse_thumbnail(image)
    tags = image.tag_v2
    if not image.tile:
        return
    in_planes = tags.get(PLANAR_CONFIGURATION, 1) == _PLANES
    arguments = image.tile[0].args
    raw_mode = str(arguments[0]) if isinstance(arguments, tuple) else str(arguments)
    if image.use_load_libtiff:
        if in_planes and (image.mode in ("LA", "La", "LAB") or raw_mode.endswith("AX")):
            raise PixelsUnsupportedError("planes of which Pillow reads only some, or wrongly (transparency, Lab)")
        _set_libtiff(image, _NATIVE.get(raw_mode, raw_mode))
        return
    subsampled = image.mode == "YCbCr" and tuple(tags.get(YCBCRSUBSAMPLING, (1, 1))) != (1, 1)
    if subsampled:
        image._mode = "RGB"
        _set_libtiff(image, "RGBX")
    elif in_planes and image.mode in _PLANES_READ and tags[BITSPERSAMPLE][0] == 16:
        _set_libtiff(image, f"{image.mode};16N")
    elif in_planes and image.mode not in ("L", *_PLANES_READ):
        raise PixelsUnsupportedError(f"{image.mode} in separate planes, which is not read here")


def refuse_thumbnail(image: TiffImageFile) -> None:
    """Refuse a camera's raw file, whose first page is a thumbnail.

    Raises:
        PixelsUnsupportedError: it is one.
    """
    if image.tag_v2.get(SUBIFD) and image.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & 1:
        raise PixelsUnsupportedError("a thumbnail as its first page, as in cameras' raw files, which are not read here")


def require_unsigned(image: TiffImageFile) -> None:
    """Refuse signed bytes below 0, which Pillow takes for bright ones.

    Raises:
        PillowOnlyError: the loaded image has some.
    """
    if image.mode == "L" and image.tag_v2.get(SAMPLEFORMAT, (1,))[0] == _SIGNED:
        highest = image.getextrema()[1]
        if isinstance(highest, int | float) and highest > 127:
            raise PillowOnlyError("signed bytes below 0, which have no agreed look")


def optional_compression(image: TiffImageFile) -> str | None:
    """The name of the file's compression if this Pillow may be built without it."""
    return _OPTIONAL_COMPRESSIONS.get(image.tag_v2.get(COMPRESSION, 1))


def kind_of_whole_file(stream: IO[bytes]) -> str | None:
    """What a TIFF file that Pillow cannot open is, for people; None if the file is cut short or damaged."""
    try:
        directory = _Directory.read(stream)
        return directory.kind() if directory.is_whole() else None
    except (struct.error, KeyError, ValueError, OverflowError, MemoryError):
        return None


def _set_libtiff(image: TiffImageFile, raw_mode: str) -> None:
    size = image._tile_size
    image.tile = [_Tile("libtiff", (0, 0, *size), 0, (raw_mode, False, image.tag_v2.offset))]
    image.use_load_libtiff = True


@dataclass(frozen=True, slots=True)
class _Directory:
    """The first directory of a file: its whole numbers by tag, and the file's form and length."""

    form: str
    n_bytes: int
    numbers: dict[int, tuple[int, ...]]

    @classmethod
    def read(cls, stream: IO[bytes]) -> "_Directory":
        """Read the header and the tags.

        Raises:
            ValueError, struct.error: they are cut short or make no sense.
        """
        n_bytes = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(16)
        order = {b"II": "<", b"MM": ">"}[head[:2]]
        is_big = struct.unpack(f"{order}H", head[2:4])[0] == 43
        count, word, offset = ("Q", "Q", 8) if is_big else ("H", "I", 4)
        stream.seek(struct.unpack_from(f"{order}{word}", head, offset)[0])
        n_tags = _unpack(stream, order, count, 1)[0]
        if not 0 < n_tags <= _MOST_TAGS:
            raise ValueError("an impossible number of tags")
        width = struct.calcsize(f"={word}")
        entries = stream.read(n_tags * (4 + 2 * width))
        numbers = {}
        for start in range(0, n_tags * (4 + 2 * width), 4 + 2 * width):
            tag, field_type, n = struct.unpack_from(f"{order}HH{word}", entries, start)
            letter = _NUMBER_FORMATS.get(field_type)
            if letter is not None and 0 < n <= _COUNTED.get(tag, 1):
                at = start + 4 + width
                if n * struct.calcsize(f"={letter}") <= width:
                    numbers[tag] = struct.unpack_from(f"{order}{n}{letter}", entries, at)
                else:
                    stream.seek(struct.unpack_from(f"{order}{word}", entries, at)[0])
                    numbers[tag] = _unpack(stream, order, letter, n)
        form = f"{'big' if order == '>' else 'little'}-endian {'BigTIFF' if is_big else 'TIFF'}"
        return cls(form, n_bytes, numbers)

    def is_whole(self) -> bool:
        """Whether all of the picture's bytes lie in the file."""
        is_tiled = TILEOFFSETS in self.numbers
        offsets = self.numbers[TILEOFFSETS if is_tiled else STRIPOFFSETS]
        lengths = self.numbers[TILEBYTECOUNTS if is_tiled else STRIPBYTECOUNTS]
        ends = (offset + length for offset, length in zip(offsets, lengths, strict=True))
        return self._one(IMAGEWIDTH) > 0 and self._one(IMAGELENGTH) > 0 and max(ends) <= self.n_bytes

    def kind(self) -> str:
        """The file's form, and the form of its values."""
        bits = self.numbers.get(BITSPERSAMPLE, (1,))
        sort = {_SIGNED: "signed integers", _FLOAT: "floating point"}.get(self._one(SAMPLEFORMAT, 1), "integers")
        n_samples = self._one(SAMPLESPERPIXEL, len(bits))
        shown = "/".join(str(number) for number in dict.fromkeys(bits))
        return (
            f"{self.form} of {n_samples} x {shown}-bit {sort}, photometric {self._one(PHOTOMETRIC_INTERPRETATION, 0)}, "
            f"compression {self._one(COMPRESSION, 1)}"
        )

    def _one(self, tag: int, default: int | None = None) -> int:
        return self.numbers[tag][0] if default is None or tag in self.numbers else default


def _unpack(stream: IO[bytes], order: str, letter: str, n: int) -> tuple[Any, ...]:
    form = f"{order}{n}{letter}"
    return struct.unpack(form, stream.read(struct.calcsize(form)))
