"""Damage that made other exceptions than a bad image's: each kind as the soak found it."""

import numpy as np
import PIL.Image
import pytest

from corpus import MAX_PIXELS, animation, encode, scene
from made_stacks import GREY, write_tiff
from maskgrid.config.pixels import PixelsConfig
from maskgrid.dataset.pixels.decoding import Wish
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, measure_image, read_image
from maskgrid.dataset.pixels.pillow import pillow_limits
from maskgrid.dataset.pixels.stacks import expand_pages
from maskgrid.dataset.sources.listing import SourceItem

ALL_PAGES = PixelsConfig(pages="all")


def outcome(path, pixels=ALL_PAGES):
    """The pages' statuses, read as the index does and once more as the network's job does."""
    found = []
    for item in expand_pages([SourceItem(path.name, path)], pixels):
        try:
            image = measure_image(path, MAX_PIXELS, Wish(pixels, item.page))
        except BadImageError as bad:
            found.append(bad.status)
        else:
            assert np.array_equal(read_image(path, MAX_PIXELS, look=image.look).pixels, image.pixels)
            found.append(ImageStatus.OK)
    return found


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_an_animation_cut_anywhere(tmp_path, name):
    content, found = animation(name), set()
    for length in range(1, len(content), 7):
        path = tmp_path / f"{length}.{name.lower()}"
        path.write_bytes(content[:length])
        found |= set(outcome(path))
    assert ImageStatus.TRUNCATED in found


@pytest.mark.parametrize("name", ["AVIF", "HEIF"])
def test_a_modern_file_with_bytes_changed_anywhere(tmp_path, name):
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    content, found = encode(scene(64, 64), name), set()
    for place in range(0, len(content), 5):
        (tmp_path / "a").write_bytes(content[:place] + b"\xff\xff\xff" + content[place + 3 :])
        found |= set(outcome(tmp_path / "a"))
    assert ImageStatus.TRUNCATED in found


def test_a_tiff_whose_second_page_states_no_size(tmp_path):
    pages = [PIL.Image.fromarray(scene(seed=seed)) for seed in range(2)]
    content = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    width = b"\x00\x01\x04\x00\x01\x00\x00\x00\x3c\x00\x00\x00"  # tag 256, LONG, one of them: 60
    assert content.count(width) == 2
    (tmp_path / "a.tif").write_bytes(
        content[: content.rindex(width)] + b"\x01\x00" + content[content.rindex(width) + 2 :]
    )
    with pytest.raises(BadImageError, match="Missing dimensions"):
        measure_image(tmp_path / "a.tif", MAX_PIXELS, Wish(ALL_PAGES, 2))


def test_our_own_errors_are_no_damage():
    with pytest.raises(TypeError, match="ours"), pillow_limits(1):
        raise TypeError("ours")


def test_a_damaged_description_reads_as_well_later_as_in_the_index(tmp_path):
    write_tiff(tmp_path / "a.tif", np.arange(30, dtype=np.uint16).reshape(5, 6, 1) * 100, GREY)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content.replace(b'{"shape": [5, 6]}', b'{"shape": [5, 6]\x05'))
    assert outcome(tmp_path / "a.tif", PixelsConfig()) == [ImageStatus.OK]


def test_one_bit_is_stretched_by_percentiles(tmp_path):
    bits = np.zeros((20, 30), bool)
    bits[:, :10] = True
    PIL.Image.fromarray(bits).save(tmp_path / "a.tif")
    image = measure_image(tmp_path / "a.tif", MAX_PIXELS, Wish(PixelsConfig(stretch="percentile")))
    assert np.array_equal(image.pixels[..., 0], bits * np.uint8(255))


@pytest.mark.parametrize("stretch", ["percentile", "minmax"])
@pytest.mark.parametrize("extreme", [np.finfo("f8").max, -np.finfo("f8").max, np.inf, -np.inf, np.nan])
def test_floats_of_any_size(tmp_path, stretch, extreme):
    values = np.linspace(-1, 1, 9000).reshape(300, 30, 1)
    values[3, 4] = extreme
    values[290, 6] = -extreme
    write_tiff(tmp_path / "a.tif", values, GREY)
    pixels = measure_image(tmp_path / "a.tif", MAX_PIXELS, Wish(PixelsConfig(stretch=stretch))).pixels
    assert pixels[3, 4, 0] == (255 if extreme > 0 else 0)
    assert pixels[290, 6, 0] == (255 if extreme < 0 else 0)


def test_a_signalling_nan_is_black(tmp_path):
    values = np.linspace(1, 2, 600).astype("f4").reshape(20, 30, 1)
    values.view(np.uint32)[3, 4] = 0x7FA00000
    write_tiff(tmp_path / "a.tif", values, GREY)
    assert measure_image(tmp_path / "a.tif", MAX_PIXELS, Wish()).pixels[3, 4].tolist() == [0, 0, 0]
