"""JPEGs and PNGs beyond ``max_pixels`` are read in windows, with the pixels that Pillow decodes."""

import hashlib
import io
import logging
import sys
import tempfile
from contextlib import closing

import numpy as np
import PIL.Image
import pytest

from maskgrid.dataset.inputs import input_row
from maskgrid.dataset.pixels import unpacking
from maskgrid.dataset.pixels.decoding import Wish
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, measure_image
from maskgrid.dataset.pixels.measured_windows import measure_windows
from maskgrid.dataset.pixels.windows import TiffWindows, open_picture
from maskgrid.dataset.sources.listing import SourceItem
from maskgrid.dataset.sources.spans import Span

H, W = 203, 301
LIMIT = 10**6
BOXES = [(0, 0, W, H), (0, 0, 1, 1), (W - 1, H - 1, W, H), (13, 5, 171, 168), (0, 90, 200, 91)]


def picture(mode="RGB"):
    rng = np.random.default_rng(1)
    smooth = PIL.Image.fromarray(rng.integers(0, 256, (9, 13, 4), np.uint8)).resize((W, H))
    noisy = np.clip(np.asarray(smooth).astype(int) + rng.integers(-30, 31, (H, W, 4)), 0, 255).astype(np.uint8)
    return PIL.Image.fromarray(noisy).convert(mode)


def cut_out():
    image = picture("RGBA")
    image.putalpha(picture("L").point(lambda value: 255 * (value > 99)))
    return image


def deep():
    return PIL.Image.fromarray(np.random.default_rng(2).integers(900, 5000, (H, W)).astype(np.uint16))


def turned(orientation):
    exif = PIL.Image.Exif()
    exif[274] = orientation
    return {"exif": exif}


# The picture, and how it is saved.
KINDS = {
    **{
        f"JPEG, quality {quality}, {name}": (picture(), {"format": "JPEG", "quality": quality, "subsampling": number})
        for quality in (30, 75, 98)
        for number, name in enumerate(("4:4:4", "4:2:2", "4:2:0"))
    },
    "JPEG, grey": (picture("L"), {"format": "JPEG"}),
    "JPEG, restarts": (picture(), {"format": "JPEG", "restart_marker_rows": 3}),
    **{f"JPEG, orientation {n}": (picture(), {"format": "JPEG", **turned(n)}) for n in range(2, 9)},
    "PNG, RGB": (picture(), {"format": "PNG"}),
    "PNG, grey": (picture("L"), {"format": "PNG"}),
    "PNG, palette": (picture("P"), {"format": "PNG"}),
    "PNG, one bit": (picture("1"), {"format": "PNG"}),
    "PNG, RGB and alpha, opaque or not": (cut_out(), {"format": "PNG"}),
    "PNG, transparent colour": (picture("L"), {"format": "PNG", "transparency": 77}),
    "PNG, orientation 6": (picture(), {"format": "PNG", **turned(6)}),
    "PNG, 16 bits": (deep(), {"format": "PNG"}),
}
# Where colours mix with white, Pillow rounds otherwise.
MIXED = {
    "PNG, RGB and alpha": (picture("RGBA"), {"format": "PNG"}),
    "PNG, grey and alpha": (picture("LA"), {"format": "PNG"}),
}


def saved(image, options):
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", [*KINDS, *MIXED])
def test_windows_have_the_pixels_that_pillow_decodes(tmp_path, kind):
    pytest.importorskip("pyvips")
    path = tmp_path / "image"
    path.write_bytes(saved(*(KINDS | MIXED)[kind]))
    whole, found = measure_image(path, LIMIT, Wish()), measure_windows(path, Wish())
    for name in ("size_hw", "exif_orientation", "mode", "format", "is_measured"):
        assert getattr(found, name) == getattr(whole, name)
    if whole.look is not None:
        assert (found.look.low, found.look.high) == (whole.look.low, whole.look.high)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with closing(open_picture(path, LIMIT, sha256, None, found.look)) as windows:
        assert isinstance(windows, TiffWindows)
        for x0, y0, x1, y1 in ((*box[:2], *np.minimum(box[2:], windows.size_hw[::-1]).tolist()) for box in BOXES):
            if x0 < x1 and y0 < y1:
                expected = whole.pixels[y0:y1, x0:x1].astype(int)
                differences = np.abs(windows.read((x0, y0, x1, y1)).astype(int) - expected)
                assert differences.max() <= (kind in MIXED)


def test_members_of_archives_and_what_is_left_behind(tmp_path, monkeypatch):
    pytest.importorskip("pyvips")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    path, content = tmp_path / "archive", saved(*KINDS["JPEG, grey"])
    path.write_bytes(b"x" * 33 + content + b"y" * 9)
    span = Span(33, len(content))
    whole, found = measure_image(path, LIMIT, Wish(), span), measure_windows(path, Wish(), span)
    with closing(open_picture(path, LIMIT, None, span, found.look)) as windows:
        np.testing.assert_array_equal(windows.read((0, 0, W, H)), whole.pixels)
        assert not list((tmp_path / "scratch").iterdir())


REFUSED = {
    "a progressive JPEG": (picture(), {"format": "JPEG", "progressive": True}),
    "a JPEG of CMYK": (picture("CMYK"), {"format": "JPEG"}),
    "an animated PNG": (picture(), {"format": "PNG", "save_all": True, "append_images": [picture("L").convert("RGB")]}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_must_be_decoded_whole_is_too_large(tmp_path, kind):
    pytest.importorskip("pyvips")
    path = tmp_path / "image"
    path.write_bytes(saved(*REFUSED[kind]))
    with pytest.raises(BadImageError) as caught:
        measure_windows(path, Wish())
    assert caught.value.status is ImageStatus.TOO_LARGE
    assert caught.value.message == f"301 x 203 pixels, and {kind}, not read in strips; convert it to TIFF"


@pytest.mark.parametrize("kind", ["JPEG, grey", "JPEG, quality 75, 4:2:0", "PNG, RGB", "PNG, 16 bits"])
def test_damage_is_a_status(tmp_path, kind):
    pytest.importorskip("pyvips")
    path, content = tmp_path / "image", saved(*KINDS[kind])
    path.write_bytes(content)
    look = measure_windows(path, Wish()).look
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadImageError) as caught:
        measure_windows(path, Wish())
    assert caught.value.status is ImageStatus.TRUNCATED
    with pytest.raises(BadImageError) as caught:
        open_picture(path, LIMIT, hashlib.sha256(content).hexdigest(), None, look)
    assert caught.value.status is ImageStatus.CHANGED


def test_a_full_disk_is_told_before_anything_is_decoded(tmp_path, monkeypatch):
    pytest.importorskip("pyvips")
    path = tmp_path / "image"
    path.write_bytes(saved(*KINDS["PNG, RGB"]))
    usage = unpacking.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(BadImageError, match=r"0\.0 GB of disk, more than is free; set TMPDIR"):
        measure_windows(path, Wish())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_without_pyvips_a_larger_image_is_too_large_as_before(tmp_path, monkeypatch, caplog, form):
    monkeypatch.setitem(sys.modules, "pyvips", None)
    path = tmp_path / "image"
    path.write_bytes(saved(picture(), {"format": form}))
    with caplog.at_level(logging.WARNING):
        row = input_row(SourceItem("image", path), 1000, None, in_windows=True)
    assert row.status == ImageStatus.TOO_LARGE
    assert row.message == "301 x 203 pixels, more than max_pixels allows (1000)"
    assert ("pip install 'maskgrid[large]'" in caplog.text) == (form != "WEBP")


def test_a_larger_image_is_a_good_row(tmp_path):
    pytest.importorskip("pyvips")
    path = tmp_path / "image"
    path.write_bytes(saved(*KINDS["JPEG, orientation 6"]))
    row = input_row(SourceItem("image", path), 1000, None, in_windows=True)
    assert (row.status, row.format, row.mode, row.exif_orientation) == ("ok", "JPEG", "RGB", 6)
    assert (row.width, row.height, row.shrink) == (H, W, 1)
    assert input_row(SourceItem("image", path), 1000, None).status == ImageStatus.TOO_LARGE
