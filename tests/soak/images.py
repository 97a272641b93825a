"""Damaged images of every format that is read, and tar archives of them: each is pictures, or rows with a status."""

import io
import random
import tarfile
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL.Image

from corpus import MAX_PIXELS, animation, encode, oddities, oriented_jpeg, png_16_bit, samples, scene
from made_stacks import KINDS, PACKED, write_pfm, write_png, write_ppm, write_tiff
from made_stacks import values as deep_values
from made_tiffs import tiff_of
from maskgrid.config.pixels import PixelsConfig
from maskgrid.dataset.pixels.decoding import Image, Wish
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, measure_image, read_image
from maskgrid.dataset.pixels.stacks import expand_pages
from maskgrid.dataset.sources.archives import read_archive
from maskgrid.dataset.sources.listing import SourceItem
from soak.damage import damaged_bytes
from soak.trials import Kind, Trial, WrongError

# How the config may ask for images to be shown.
WISHES = (
    PixelsConfig(),
    PixelsConfig(stretch="percentile"),
    PixelsConfig(stretch="minmax", nodata=0),
    PixelsConfig(stretch="none"),
    PixelsConfig(bands=1),
    PixelsConfig(bands=(3, 2, 1)),
    PixelsConfig(bands="red"),
    PixelsConfig(pages="all"),
    PixelsConfig(pages="all", bands=2, stretch="percentile"),
)
SUFFIXES = (".tif", ".png", ".gif", ".webp", ".jpg")


def prepare(folder: Path) -> Trial:
    kept = originals(folder)
    warnings.simplefilter("error")

    def trial(chance: random.Random) -> Iterator[str]:
        suffix, content = chance.choice(kept)
        damaged = damaged_bytes(content, [other for _, other in kept], chance)
        path = folder / f"image{suffix}"
        path.write_bytes(damaged)
        read = statuses_in_archive if suffix == ".tar" else statuses_of
        yield from read(path, chance.choice(WISHES) if chance.random() < 0.5 else WISHES[0])

    return trial


def originals(folder: Path) -> list[tuple[str, bytes]]:
    """Small good and odd files of every format, with their suffixes."""
    odd = [(".png", content) for name, content, _ in oddities() if 0 < len(content) < 100_000]
    good = [(Path(name).suffix, content) for name, content in samples().items()]
    turned = [(".jpg", oriented_jpeg(scene(), orientation)) for orientation in (3, 6, 8)]
    moving = [(f".{name.lower()}", animation(name)) for name in ("GIF", "WEBP", "PNG")]
    found = [*odd, *good, *turned, *moving, *deep_files(folder), *packed_modern()]
    tars = [(".tar", archive(chosen)) for chosen in (good[:4], [*good[4:], *turned], found[-6:])]
    return [*found, *tars]


def deep_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files with more than 8 bits, more than three bands, several pages, or unusual TIFFs."""
    path = folder / "made"
    stacks = KINDS | (PACKED if find_spec("imagecodecs") else {})
    for values, options, *_ in stacks.values():
        write_tiff(path, values[:40, :50], options)
        yield ".tif", path.read_bytes()
    write_png(folder / "made.png", deep_values("u2", 3))
    yield ".png", (folder / "made.png").read_bytes()
    write_ppm(path, deep_values("u2", 3)[:30, :30], 4095)
    yield ".ppm", path.read_bytes()
    write_pfm(folder / "made.pfm", deep_values("f4"))
    yield ".pfm", (folder / "made.pfm").read_bytes()
    yield ".png", png_16_bit(deep_values("u2", 1)[..., 0], 0)
    for number, options in enumerate(
        ({"tile": 16}, {"planar": True}, {"compressed": True, "order": ">"}, {"big": True})
    ):
        yield ".tif", tiff_of(scene(33, 47, number), 2, **options)
    pages = [PIL.Image.fromarray(scene(seed=seed)) for seed in range(3)]
    yield ".tif", encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])


def packed_modern() -> Iterator[tuple[str, bytes]]:
    """AVIF, HEIC and JPEG 2000, as far as Pillow writes them here."""
    for suffix, name in ((".avif", "AVIF"), (".heic", "HEIF"), (".jp2", "JPEG2000")):
        if suffix == ".heic" and find_spec("pillow_heif"):
            import pillow_heif

            pillow_heif.register_heif_opener()
        try:
            yield suffix, encode(scene(64, 64), name)
        except (KeyError, OSError):  # no encoder
            continue


def archive(members: Sequence[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for number, (suffix, content) in enumerate(members):
            info = tarfile.TarInfo(f"folder/{number}{suffix}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def statuses_in_archive(path: Path, pixels: PixelsConfig) -> Iterator[str]:
    found = read_archive(SourceItem("a.tar", path))
    for item in found.items[:20]:
        if item.problem is not None:
            yield known(*item.problem)
        else:
            yield status_of(lambda item=item: measure_image(item.path, MAX_PIXELS, Wish(pixels), item.span))


def statuses_of(path: Path, pixels: PixelsConfig) -> Iterator[str]:
    """Read a file as the index does, and once more as the network's job does."""
    for item in expand_pages([SourceItem(path.name, path)], pixels)[:5]:
        measured: list[Image] = []

        def measure(item: SourceItem = item, measured: list[Image] = measured) -> Image:
            measured.append(measure_image(item.path, MAX_PIXELS, Wish(pixels, item.page)))
            return measured[0]

        yield status_of(measure)
        if measured:
            again = read_image(item.path, MAX_PIXELS, look=measured[0].look)
            if not np.array_equal(again.pixels, measured[0].pixels):
                raise WrongError("a second reading gives other pixels")


def status_of(read) -> str:
    try:
        pixels = read().pixels
    except BadImageError as bad:
        return known(bad.status, bad.message)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise WrongError(f"pixels are {pixels.dtype} of shape {pixels.shape}")
    if pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
        raise WrongError(f"pixels of shape {pixels.shape} are over the limit")
    return "ok"


def known(status: str, message: str) -> str:
    if status not in set(ImageStatus):
        raise WrongError(f"an unknown status: {status}")
    if "\n" in message:
        raise WrongError(f"a message of several lines: {message!r}")
    return str(status)


KIND = Kind("images", prepare, 100_000, 1000, 60.0, 6.0, "damaged images and archives")
