"""Things to put into a scene, and their poses."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from maskgrid.dataset.demo.outlines import Curve, Outline, random_outline
from maskgrid.dataset.demo.textures import Colour, Style, Surface, colour_unlike, paint


@dataclass(frozen=True, slots=True)
class Part:
    """A region of a thing with its own surface; its outline is in the thing's coordinates."""

    outline: Outline
    surface: Surface


@dataclass(frozen=True, slots=True)
class Thing:
    """An object.

    Attributes:
        outline: in a square from -1 to 1.
        surface: its filling, spread over that square.
        parts: regions with their own surfaces.
        rim: darkness of its border, 0 to 1.
        shadow: darkness of its shadow, 0 to 1.
    """

    outline: Outline
    surface: Surface
    parts: tuple[Part, ...]
    rim: float
    shadow: float


@dataclass(frozen=True, slots=True)
class Pose:
    """The placement of a thing: centre and radius in pixels, rotation in radians."""

    x: float
    y: float
    radius_px: float
    angle: float

    def matrix(self) -> NDArray[np.float64]:
        """The affine map from a thing's coordinates to pixels, (2, 3)."""
        cos, sin = self.radius_px * np.cos(self.angle), self.radius_px * np.sin(self.angle)
        return np.array([[cos, -sin, self.x], [sin, cos, self.y]])


def random_thing(rng: Generator, radius_px: float, ground: Colour, style: Style) -> Thing:
    """Make a thing with a radius of about ``radius_px`` and usually a colour unlike the background's."""
    side_px = int(np.clip(2 * radius_px, 8, 256))
    contrast_px = 45.0 if rng.random() < 0.85 else 15.0
    colour = colour_unlike(rng, ground, contrast_px)
    outline = random_outline(rng)
    parts = _random_parts(rng, side_px, colour, style) if rng.random() < style.part_chance else ()
    return Thing(
        outline=outline,
        surface=paint(rng, (side_px, side_px), colour, style.damage),
        parts=parts,
        rim=float(rng.uniform(0.2, 0.7)) if rng.random() < 0.35 else 0.0,
        shadow=float(rng.uniform(0.15, 0.6)) if rng.random() < 0.5 else 0.0,
    )


def sibling(rng: Generator, thing: Thing) -> Thing:
    """Make a thing of the same kind: the same outline and surface, a little lighter or darker."""
    light = np.float32(rng.uniform(0.85, 1.15))
    surface = np.clip(thing.surface * light, 0, 255)
    return Thing(thing.outline, surface, thing.parts, thing.rim, thing.shadow)


def _random_parts(rng: Generator, side_px: int, colour: Colour, style: Style) -> tuple[Part, ...]:
    count = int(rng.integers(1, 4))
    centres = [(0.0, 0.0)] if count == 1 else [(x, 0.0) for x in np.linspace(-0.45, 0.45, count)]
    parts = []
    for x, y in centres:
        shift = np.array([x, y]) + rng.uniform(-0.12, 0.12, 2)
        outline = tuple(curve * (0.6 / (count + 0.5)) + shift for curve in random_outline(rng))
        surface = paint(rng, (side_px, side_px), colour_unlike(rng, colour, 50.0), style.damage)
        parts.append(Part(outline, surface))
    return tuple(parts)


def cover(outline: Outline, pose: Pose, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The share of each pixel covered by an outline at a pose, (H, W) uint8, 0 to 255."""
    height, width = size_hw
    fine = np.zeros((2 * height, 2 * width), np.uint8)
    curves = [_fine_points(curve, pose) for curve in outline]
    cv2.fillPoly(fine, curves, 255, lineType=cv2.LINE_8, shift=4)
    return np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def spread(surface: Surface, pose: Pose, size_hw: tuple[int, int]) -> Surface:
    """Map a surface to the image at a pose, (H, W, 3) float32; its border pixels continue outside its square."""
    side = surface.shape[0]
    to_unit = np.array([[2 / side, 0, -1], [0, 2 / side, -1], [0, 0, 1]])
    matrix = np.asarray(pose.matrix() @ to_unit)
    laid = cv2.warpAffine(
        surface, matrix, (size_hw[1], size_hw[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(laid, np.float32)


def _fine_points(curve: Curve, pose: Pose) -> NDArray[np.int32]:
    """Convert a curve to OpenCV's fixed-point coordinates, in sixteenths of half pixels."""
    matrix = pose.matrix()
    points = curve @ matrix[:, :2].T + matrix[:, 2]
    return np.round((points * 2 - 0.5) * 16).astype(np.int32)
