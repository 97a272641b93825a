"""Scenes depend only on the seed, and their masks are exactly the visible pixels."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from maskgrid.dataset.demo import EASY, Scene, Style, draw_scene
from maskgrid.dataset.demo.drawing import LEAST_AREA_PX

SEEDS = range(12)


def digest(scene: Scene) -> str:
    content = scene.image.tobytes() + scene.masks.tobytes() + scene.part_of.tobytes()
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed) for seed in SEEDS]


def test_a_seed_draws_the_same_scene_in_another_process(scenes):
    code = (
        "import hashlib; from maskgrid.dataset.demo import draw_scene\n"
        "for seed in (3, 4):\n"
        "    s = draw_scene(seed)\n"
        "    content = s.image.tobytes() + s.masks.tobytes() + s.part_of.tobytes()\n"
        "    print(hashlib.sha256(content).hexdigest())\n"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert told == [digest(scenes[3]), digest(scenes[4])]


def test_other_seeds_and_sizes_draw_other_scenes(scenes):
    assert len({digest(scene) for scene in scenes}) == len(scenes)
    small = draw_scene(3, (96, 160))
    assert small.image.shape == (96, 160, 3)
    assert small.masks.shape[1:] == (96, 160)


def test_arrays_have_the_documented_types(scenes):
    for scene in scenes:
        assert scene.image.dtype == np.uint8
        assert scene.masks.dtype == np.bool_
        assert scene.part_of.shape == (len(scene.masks),)


def test_wholes_are_disjoint(scenes):
    for scene in scenes:
        wholes = scene.masks[scene.part_of == -1]
        assert wholes.sum(0).max(initial=0) <= 1


def test_parts_come_after_their_whole_lie_within_it_and_do_not_overlap(scenes):
    seen = 0
    for scene in scenes:
        for whole in np.unique(scene.part_of[scene.part_of >= 0]):
            parts = scene.masks[scene.part_of == whole]
            seen += len(parts)
            assert scene.part_of[whole] == -1
            assert np.flatnonzero(scene.part_of == whole).min() > whole
            assert not (parts & ~scene.masks[whole]).any()
            assert parts.sum(0).max() <= 1
    assert seen > 0


def test_no_mask_is_too_small_to_be_seen(scenes):
    smallest = min(int(scene.masks.sum((1, 2)).min()) for scene in scenes)
    assert smallest >= LEAST_AREA_PX


def test_scenes_have_large_small_pierced_and_part_objects():
    scenes = [draw_scene(seed) for seed in range(40)]
    areas = np.concatenate([scene.masks.mean((1, 2)) for scene in scenes])
    assert areas.max() > 0.1
    assert areas.min() < 0.002
    assert any((scene.part_of >= 0).any() for scene in scenes)


def test_a_mask_lies_where_its_object_is_painted():
    """In a clean scene, colours differ more from the ground inside a mask than outside."""
    clean = Style(4, 0.2, 0.3, part_chance=0.0, family_chance=0.0, damage=0.0)
    found = 0
    for seed in range(8):
        scene = draw_scene(seed, style=clean)
        outside = ~scene.masks.any(0)
        for mask in scene.masks:
            ground = scene.image[outside].mean(0)
            inside = np.abs(scene.image[mask].mean(0) - ground).max()
            found += inside > 15
    assert found >= 0.8 * sum(len(draw_scene(seed, style=clean).masks) for seed in range(8))


def test_easy_scenes_have_fewer_objects():
    easy = sum(len(draw_scene(seed, style=EASY).masks) for seed in range(12))
    full = sum(len(draw_scene(seed).masks) for seed in range(12))
    assert easy < full
