"""Draw scenes and clips from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from maskgrid.dataset.demo.motion import photograph, random_camera, random_motion
from maskgrid.dataset.demo.records import Clip, Indices, Scene
from maskgrid.dataset.demo.rendering import render
from maskgrid.dataset.demo.textures import FULL, Colour, Style, Surface, paint, random_colour
from maskgrid.dataset.demo.things import Pose, Thing, random_thing, sibling

LEAST_AREA_PX = 12  # in a 256 x 256 image; scaled with the image
_MOST_OF_WHOLE = 0.9  # a part that covers more of its whole gets no mask
_SCENE, _CLIP = 1, 2


@dataclass(frozen=True, slots=True)
class _Cast:
    ground: Surface
    things: tuple[Thing, ...]
    poses: tuple[Pose, ...]
    family: bool


def draw_scene(seed: int, size_hw: tuple[int, int] = (256, 256), style: Style = FULL) -> Scene:
    """Draw the scene of a seed, the same in every run and process.

    Args:
        seed: 0 or more.
        size_hw: height and width in pixels.
        style: number and size of things, and how degraded the image is.

    Returns:
        The image and the visible masks of wholes and parts, without masks under 12 pixels (in a 256 x 256 image) and
        parts that cover over 90 % of their whole.
    """
    rng = default_rng(SeedSequence([_SCENE, seed, *size_hw]))
    cast = _random_cast(rng, size_hw, style)
    picture, masks = render(cast.ground, cast.things, cast.poses)
    image = photograph(rng, random_camera(rng, style.damage), picture)
    part_of = _part_of(cast.things)
    keep = _worth_keeping(masks.sum((1, 2)), part_of, size_hw)
    return Scene(image, masks[keep], _renumber(part_of, keep), cast.family)


def draw_clip(seed: int, n_frames: int = 20, size_hw: tuple[int, int] = (256, 256), style: Style = FULL) -> Clip:
    """Draw a clip of moving things: they pass behind each other, leave the image and return. Only wholes get masks.

    Args:
        seed: 0 or more.
        n_frames: number of frames.
        size_hw: height and width in pixels.
        style: number of things (a clip has half as many as a scene), their size, and how degraded the frames are.
    """
    rng = default_rng(SeedSequence([_CLIP, seed, *size_hw]))
    cast = _random_cast(rng, size_hw, _fewer(style))
    camera = random_camera(rng, style.damage)
    motions = [random_motion(rng, pose, size_hw) for pose in cast.poses]
    wholes = _part_of(cast.things) == -1
    frames, masks = [], []
    for index in range(n_frames):
        picture, seen = render(cast.ground, cast.things, [motion.pose(index) for motion in motions])
        frames.append(photograph(rng, camera, picture))
        masks.append(seen[wholes])
    stacked = np.stack(masks)
    keep = stacked[0].sum((1, 2)) >= _least_area_px(size_hw)
    return Clip(np.stack(frames), stacked[:, keep])


def _fewer(style: Style) -> Style:
    return Style(
        max(3, style.most_things // 2),
        max(style.least_radius, 0.06),
        style.most_radius * 0.8,
        style.part_chance,
        style.family_chance,
        style.damage,
    )


def _random_cast(rng: Generator, size_hw: tuple[int, int], style: Style) -> _Cast:
    colour = random_colour(rng)
    ground = paint(rng, size_hw, colour, style.damage)
    count = int(rng.integers(2, style.most_things + 1))
    low, high = np.log(style.least_radius), np.log(style.most_radius)
    # large things first, so that they are behind
    radii_px = np.sort(np.exp(rng.uniform(low, high, count)))[::-1] * min(size_hw)
    family = rng.random() < style.family_chance
    if family:
        radii_px = np.full(count, np.median(radii_px)) * rng.uniform(0.9, 1.1, count)
    things = _random_things(rng, radii_px, colour, style, family)
    poses = _random_poses(rng, radii_px, size_hw)
    return _Cast(ground, things, poses, bool(family))


def _random_things(
    rng: Generator, radii_px: NDArray[np.float64], ground: Colour, style: Style, family: bool
) -> tuple[Thing, ...]:
    if family:
        first = random_thing(rng, float(radii_px[0]), ground, style)
        return tuple(sibling(rng, first) for _ in radii_px)
    return tuple(random_thing(rng, float(radius), ground, style) for radius in radii_px)


def _random_poses(rng: Generator, radii_px: NDArray[np.float64], size_hw: tuple[int, int]) -> tuple[Pose, ...]:
    """Draw spread-out poses: each is the one with the most room of three draws."""
    placed: list[Pose] = []
    for radius in radii_px:
        draws = [_random_pose(rng, float(radius), size_hw) for _ in range(3)]
        placed.append(max(draws, key=lambda pose: _room(pose, placed)))
    return tuple(placed)


def _random_pose(rng: Generator, radius_px: float, size_hw: tuple[int, int]) -> Pose:
    height, width = size_hw
    return Pose(float(rng.uniform(0, width)), float(rng.uniform(0, height)), radius_px, float(rng.uniform(0, 6.283)))


def _room(pose: Pose, placed: Sequence[Pose]) -> float:
    return min((np.hypot(pose.x - p.x, pose.y - p.y) - p.radius_px for p in placed), default=0.0)


def _part_of(things: Sequence[Thing]) -> Indices:
    part_of: list[int] = []
    for thing in things:
        whole = len(part_of)
        part_of += [-1] + [whole] * len(thing.parts)
    return np.array(part_of, np.int64)


def _least_area_px(size_hw: tuple[int, int]) -> float:
    return LEAST_AREA_PX * size_hw[0] * size_hw[1] / 256**2


def _worth_keeping(area_px: Indices, part_of: Indices, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    large = area_px >= _least_area_px(size_hw)
    whole_px = area_px[np.where(part_of < 0, np.arange(len(part_of)), part_of)]
    distinct = (part_of < 0) | (area_px <= _MOST_OF_WHOLE * whole_px)
    return np.asarray(large & distinct)


def _renumber(part_of: Indices, keep: NDArray[np.bool_]) -> Indices:
    place = np.cumsum(keep) - 1
    return np.where(part_of < 0, -1, place[part_of])[keep].astype(np.int64)
