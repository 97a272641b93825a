"""Fixtures for all tests."""

import os

# Set before torch is imported anywhere, so that neither results nor speed of tests depend on the number of cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import hypothesis
import pytest

# A slow test on a busy machine is no failure.
hypothesis.settings.register_profile("maskgrid", deadline=None)
hypothesis.settings.load_profile("maskgrid")

ROOT = Path(__file__).parents[1]
SHARED_PHOTOS = ROOT.parent / "shared" / "photos"


@pytest.fixture(scope="session")
def demo_model():
    """The demo checkpoint as sam2's own model."""
    from maskgrid import load_model

    return load_model("demo", device="cpu")


@pytest.fixture(scope="module")
def tab():
    """A tab of headless Chromium, for a module's pages."""
    from browser import find_browser
    from scripts import chromium

    find_browser()
    with chromium.tab() as opened:
        yield opened


@pytest.fixture(scope="session")
def photos():
    """Small photographs: some from scikit-image, and SAM 2's own if they lie beside the checkout."""
    import numpy as np
    import PIL.Image
    import skimage.data

    images = {"coffee": skimage.data.coffee(), "astronaut": skimage.data.astronaut()}
    for name in ("groceries", "truck"):
        if (SHARED_PHOTOS / f"{name}.jpg").is_file():
            images[name] = np.asarray(PIL.Image.open(SHARED_PHOTOS / f"{name}.jpg").convert("RGB"))
    return {name: _shrink(pixels, 320) for name, pixels in images.items()}


def _shrink(pixels, side):
    import numpy as np
    import PIL.Image

    image = PIL.Image.fromarray(pixels)
    image.thumbnail((side, side))
    return np.array(image)
