"""Every kind of TIFF is read as its values say, or refused with the word for it; none is called damaged when whole."""

import itertools

import numpy as np
import pytest

from corpus import MAX_PIXELS, scene
from made_tiffs import tiff_bytes, tiff_of
from maskgrid.dataset.annotations.object_masks import read_mask
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, read_image
from maskgrid.masks import rle

BLACK_IS_ZERO, WHITE_IS_ZERO, RGB, CMYK, YCBCR, LAB = 1, 0, 2, 5, 6, 8
ASSOCIATED, UNASSOCIATED = 1, 2
ALPHA = (np.arange(2400) % 256).astype(np.uint8).reshape(40, 60)
SCENE = scene()
FLOATS = (SCENE[..., 0] / 255).astype(np.float32)
LAYOUTS = [
    {"order": order, "planar": planar, "compressed": compressed, "tile": tile}
    for order, planar, compressed, tile in itertools.product("<>", (False, True), (False, True), (None, 16))
]


def grey(values):
    return np.repeat(values[..., None], 3, axis=2)


def on_white(colour, alpha):
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def deep(values):
    return values.astype(np.uint16) * 257


def with_alpha(values, alpha=ALPHA):
    return np.dstack([values, alpha])


# Name: the values, the file's PhotometricInterpretation and ExtraSamples, and what a viewer shows.
KINDS = {
    "grey 8": (SCENE[..., 0], BLACK_IS_ZERO, (), grey(SCENE[..., 0])),
    "grey 16": (deep(SCENE[..., 0]), BLACK_IS_ZERO, (), grey(SCENE[..., 0])),
    "signed 16": (SCENE[..., 0].astype(np.int16) * 100, BLACK_IS_ZERO, (), grey(SCENE[..., 0] * (100 / 257))),
    "signed 32": (SCENE[..., 0].astype(np.int32) * 257, BLACK_IS_ZERO, (), grey(SCENE[..., 0])),
    "float 32": (FLOATS, BLACK_IS_ZERO, (), grey(SCENE[..., 0])),
    "float 32, white is 0": (FLOATS, WHITE_IS_ZERO, (), 255 - grey(SCENE[..., 0])),
    "RGB 8": (SCENE, RGB, (), SCENE),
    "RGB 16": (deep(SCENE), RGB, (), SCENE),
    "RGBA 8": (with_alpha(SCENE), RGB, (UNASSOCIATED,), on_white(SCENE, ALPHA)),
    "RGBA 16": (deep(with_alpha(SCENE)), RGB, (UNASSOCIATED,), on_white(SCENE, ALPHA)),
    "CMYK 8": (with_alpha(255 - SCENE, 0 * ALPHA), CMYK, (), SCENE),
    "CMYK 16": (deep(with_alpha(255 - SCENE, 0 * ALPHA)), CMYK, (), SCENE),
    "grey with alpha 8": (
        with_alpha(SCENE[..., 0]),
        BLACK_IS_ZERO,
        (UNASSOCIATED,),
        on_white(grey(SCENE[..., 0]), ALPHA),
    ),
    "grey times alpha 8": (
        with_alpha(np.minimum(SCENE[..., 0], ALPHA)),
        BLACK_IS_ZERO,
        (ASSOCIATED,),
        grey(np.minimum(SCENE[..., 0], ALPHA) + 255.0 - ALPHA),
    ),
}


def read(folder, content):
    (folder / "image.tif").write_bytes(content)
    return read_image(folder / "image.tif", MAX_PIXELS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_shown_as_its_values_say_in_every_layout(tmp_path, kind):
    values, photometric, extra, expected = KINDS[kind]
    n_read, refusals = 0, set()
    for layout in LAYOUTS:
        if layout["planar"] and values.ndim == 2:
            continue
        try:
            pixels = read(tmp_path, tiff_of(values, photometric, extra=extra, **layout)).pixels
        except BadImageError as bad:
            refusals.add(bad.status)
            continue
        n_read += 1
        assert np.abs(pixels - expected).max() <= 2, layout
    assert refusals <= {ImageStatus.UNSUPPORTED}, "the files are whole"
    assert n_read >= (4 if "alpha" in kind or "white" in kind else 8)


@pytest.mark.parametrize(
    ("content", "words"),
    {
        "64-bit floats beyond 1": (tiff_of(FLOATS.astype(np.float64) * 2, BLACK_IS_ZERO), "values from 0 to 1.96"),
        "5 channels": (tiff_of(np.dstack([SCENE, SCENE[..., :2]]), BLACK_IS_ZERO), "5 bands (without names); dataset."),
        "5 planes": (tiff_of(np.dstack([SCENE, SCENE[..., :2]]), BLACK_IS_ZERO, planar=True), "5 bands"),
        "two channels": (tiff_of(deep(with_alpha(SCENE[..., 0])), BLACK_IS_ZERO), "2 bands"),
        "big-endian Lab": (tiff_of(SCENE, LAB, ">", big=True), "photometric 8"),
        "a camera's mosaic": (tiff_of(deep(SCENE[..., 0]), 32803), "photometric 32803"),
        "Lab in planes": (tiff_of(SCENE, LAB, planar=True, compressed=True), "planes"),
        "alpha in planes": (tiff_of(with_alpha(SCENE[..., 0]), 1, extra=(2,), planar=True, compressed=True), "planes"),
        "signed bytes": (tiff_of(SCENE[..., 0].astype(np.int8), BLACK_IS_ZERO), "signed bytes below 0"),
        "thumbnail of a raw file": (tiff_of(SCENE, RGB, t254=1, t330=8), "thumbnail"),
    }.values(),
)
def test_a_whole_file_of_a_kind_that_is_not_read_is_unsupported_and_says_what_it_is(tmp_path, content, words):
    with pytest.raises(BadImageError) as caught:
        read(tmp_path, content)
    assert caught.value.status is ImageStatus.UNSUPPORTED
    assert words in caught.value.message


# Kinds that Pillow cannot open.
OTHERS = {
    "64-bit floats": (tiff_of(FLOATS.astype(np.float64), BLACK_IS_ZERO), grey(SCENE[..., 0])),
    "16-bit floats": (tiff_of(FLOATS.astype(np.float16), BLACK_IS_ZERO), grey(SCENE[..., 0])),
    "RGB floats": (tiff_of((SCENE / 255).astype(np.float32), RGB), SCENE),
    "grey with alpha 16": (
        tiff_of(deep(with_alpha(SCENE[..., 0])), BLACK_IS_ZERO, extra=(UNASSOCIATED,)),
        on_white(grey(SCENE[..., 0]), ALPHA),
    ),
    "big-endian, white is 0": (tiff_of(deep(SCENE[..., 0]), WHITE_IS_ZERO, ">"), 255 - grey(SCENE[..., 0])),
    "big-endian 32": (tiff_of(SCENE[..., 0].astype(np.uint32) * 257, BLACK_IS_ZERO, ">"), grey(SCENE[..., 0])),
    "big-endian BigTIFF": (tiff_of(SCENE, RGB, ">", big=True), SCENE),
    "three bands of 8 bits": (tiff_of(SCENE, BLACK_IS_ZERO), SCENE),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_kinds_that_pillow_cannot_open_are_shown_as_their_values_say(tmp_path, kind):
    content, expected = OTHERS[kind]
    assert np.abs(read(tmp_path, content).pixels - expected).max() <= 1


@pytest.mark.parametrize("big", [False, True])
def test_cut_files_of_such_kinds_are_truncated(tmp_path, big):
    whole = tiff_of(FLOATS.astype(np.float64), BLACK_IS_ZERO, ">", big=big)
    for length in (20, len(whole) // 2, len(whole) - 30):
        with pytest.raises(BadImageError) as caught:
            read(tmp_path, whole[:length])
        assert caught.value.status is ImageStatus.TRUNCATED, length


@pytest.mark.parametrize("step", [(1, 1), (2, 1), (2, 2), (4, 4)])
@pytest.mark.parametrize("order", "<>")
def test_subsampled_colours_without_compression(tmp_path, step, order):
    """TIFF 6.0, section 21: for each cell of pixels its brightnesses, then one Cb and one Cr."""
    across, down = step
    brightness = np.add.outer(np.arange(32) * 3, np.arange(48) * 2).astype(np.uint8)
    cells = b"".join(
        brightness[y : y + down, x : x + across].tobytes() + bytes([128, 128])
        for y in range(0, 32, down)
        for x in range(0, 48, across)
    )
    tags = {256: 48, 257: 32, 258: [8] * 3, 259: 1, 262: YCBCR, 277: 3, 278: 32, 530: [across, down]}
    pixels = read(tmp_path, tiff_bytes([cells], tags, order)).pixels
    assert np.abs(pixels.astype(int) - grey(brightness)).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if not layout["planar"]])
def test_mask_pictures_are_read_the_same_way(tmp_path, dtype, layout):
    mask = SCENE[..., 0] > 100
    (tmp_path / "mask.tif").write_bytes(tiff_of(mask.astype(dtype) * dtype(200), BLACK_IS_ZERO, **layout))
    np.testing.assert_array_equal(rle.decode(read_mask("mask.tif", mask.shape, tmp_path), mask.shape), mask)
