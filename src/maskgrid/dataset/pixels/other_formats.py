"""Tell apart files that Pillow cannot open: formats and kinds that are not read, damaged images, and other files."""

import struct
from typing import IO

from PIL import features

from maskgrid.dataset.pixels import tiff
from maskgrid.dataset.pixels.pillow import has_heif

INSTALL = "pip install 'maskgrid"
# Brands of files with pictures coded by HEVC (ISO/IEC 23008-12).
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_UNREAD = "a format that is not read here"
# First bytes of images of the formats that are read, besides those below that need a closer look …
_SUPPORTED_SIGNATURES = (b"\x89PNG", b"GIF8", b"BM", *(b"P%d" % digit for digit in range(1, 7)), b"Pf")
# … and of others: Photoshop, JPEG 2000, JPEG XL, OpenEXR, icons, PAM, colour PFM, Radiance, cameras' raw files.
_OTHER_SIGNATURES = (
    b"8BPS",
    b"\0\0\0\x0cjP  ",
    b"\0\0\0\x0cJXL ",
    b"\xff\x0a",
    b"\xffO\xffQ",
    b"v/1\x01",
    b"\0\0\x01\0",
    b"P7\n",
    b"PF\n",
    b"#?RADIANCE",
    b"IIU\0",
    b"IIRO",
    b"FUJIFILMCCD-RAW",
)
# JPEG's markers of frames (ITU-T T.81, table B.1) without 0xC4, 0xC8 and 0xCC; those that Pillow decodes; JPEG-LS.
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_FRAMES_READ = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_JPEG_SEARCHED = 1 << 24


def unread_kind(stream: IO[bytes]) -> str | None:
    """What a file is that Pillow cannot open: words for people, empty for a damaged image, None for no image."""
    stream.seek(0)
    head = stream.read(64)
    if head.startswith(_OTHER_SIGNATURES):
        return _UNREAD
    if head[4:8] == b"ftyp":
        brands = head[8 : min(struct.unpack(">I", head[:4])[0], 64)]
        if b"avi" in brands:
            return "" if features.check("avif") else f"AVIF, which this Pillow cannot decode: {INSTALL}[avif]'"
        if any(brand in brands for brand in _HEIC):
            return "" if has_heif() else f"HEIC, which needs a further package: {INSTALL}[heic]'"
        return _UNREAD
    if head.startswith(tiff.SIGNATURES):
        kind = tiff.kind_of_whole_file(stream)
        return f"a kind of TIFF that is not read here ({kind})" if kind else ""
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg_kind(stream)
    return "" if head.startswith(_SUPPORTED_SIGNATURES) or head[8:12] == b"WEBP" else None


def is_tiff(stream: IO[bytes]) -> bool:
    """Return whether a file begins as TIFF or BigTIFF."""
    stream.seek(0)
    return stream.read(4) in tiff.SIGNATURES


def _jpeg_kind(stream: IO[bytes]) -> str:
    """The kind of a JPEG by its frame header, if that is of one that is not read."""
    stream.seek(2)
    while stream.tell() < _JPEG_SEARCHED:
        marker = stream.read(4)
        if len(marker) < 4 or marker[0] != 0xFF:
            return ""
        length = struct.unpack(">H", marker[2:])[0]
        if marker[1] in _FRAMES:
            bits, _, _, n_components = struct.unpack(">BHHB", stream.read(6).ljust(6, b"\0"))
            is_read = marker[1] in _FRAMES_READ and bits == 8 and n_components in (1, 3, 4)
            sort = f"process {marker[1] & 15}" if marker[1] != 0xF7 else "JPEG-LS"
            return (
                ""
                if is_read
                else f"a kind of JPEG that is not read here ({bits} bits, {n_components} channels, {sort})"
            )
        stream.seek(length - 2, 1)
    return ""
