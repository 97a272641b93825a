"""Progress counts tiles where a pass has them."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from maskgrid.automatic.generate import crop_progress
from maskgrid.automatic.generate.crop_progress import CropProgress
from maskgrid.config.models import GeneratorConfig
from maskgrid.dataset.tables import IndexedImage
from maskgrid.plan.passes import passes_of

WHOLE, TILES = passes_of(GeneratorConfig(tile_size_px=100, tile_overlap_px=0))
IMAGES = [IndexedImage(name, 1, Path(name), "", width, 150) for name, width in (("a", 300), ("b", 90), ("c", 200))]


@pytest.fixture
def told(monkeypatch):
    """What is shown: the total, the unit, and each advance."""
    seen = []

    @contextmanager
    def counted(total, what, unit):
        seen.append((total, unit))
        yield seen.append

    monkeypatch.setattr(crop_progress, "counted", counted)
    return seen


def parts(progress, counts):
    for number, count in enumerate(counts):
        for _ in range(count):
            progress.count()
        yield number


def test_each_tile_counts_once_whatever_became_of_its_image(told):
    progress = CropProgress(IMAGES, TILES)
    # The first image runs, the second fails after a tile, the third has too many after memory ran out.
    assert list(progress.shown(parts(progress, [6, 1, 9]))) == [0, 1, 2]
    assert told[0] == (6 + 2 + 4, "tiles")
    assert sum(told[1:]) == 12


def test_a_crop_layer_counts_images(told):
    progress = CropProgress(IMAGES, WHOLE)
    assert list(progress.shown(parts(progress, [1, 1, 1]))) == [0, 1, 2]
    assert told == []
