"""Tar archives of small images, as WebDataset writes them."""

import io
import tarfile

import numpy as np
import PIL.Image


def png(seed, size_wh=(20, 16)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def member(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def write_tar(path, members, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def samples(first, last):
    """Members of WebDataset samples: an image and its label each."""
    for number in range(first, last):
        yield member(f"{number:04d}.png", png(number))
        yield member(f"{number:04d}.json", b"{}")
