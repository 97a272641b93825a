"""Surfaces of things and backgrounds: colour, gradients, patterns, roughness."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Colour = NDArray[np.float32]  # (3,): RGB, 0 to 255
Surface = NDArray[np.float32]  # (H, W, 3): RGB, 0 to 255


def random_colour(rng: Generator) -> Colour:
    """Draw a random RGB colour, 0 to 255: greyish to saturated, dark to bright."""
    grey = rng.uniform(15, 240)
    return np.clip(grey + rng.normal(0, rng.uniform(5, 75), 3), 0, 255).astype(np.float32)


def colour_unlike(rng: Generator, other: Colour, least_distance: float) -> Colour:
    """Draw a random colour; redraw a few times while it is closer to ``other`` than ``least_distance``."""
    colour = random_colour(rng)
    for _ in range(6):
        if float(np.abs(colour - other).max()) >= least_distance:
            break
        colour = random_colour(rng)
    return colour


def paint(rng: Generator, size_hw: tuple[int, int], colour: Colour, contrast: float) -> Surface:
    """Paint a surface with one main colour.

    Args:
        rng: the random generator.
        size_hw: height and width in pixels.
        colour: the main colour.
        contrast: strength of patterns and roughness, 0 (flat) to 1.
    """
    surface = np.empty((*size_hw, 3), np.float32)
    surface[:] = colour
    surface += _gradient(rng, size_hw)[..., None] * rng.uniform(0, 30)
    if rng.random() < 0.25 * contrast:
        other = random_colour(rng) - colour
        surface += _pattern(rng, size_hw)[..., None] * other * rng.uniform(0.15, 0.5)
    if rng.random() < 0.7:
        tint = np.clip(rng.normal(1, 0.3, 3), 0, 2).astype(np.float32)
        surface += _roughness(rng, size_hw)[..., None] * tint * rng.uniform(2, 14) * contrast
    return np.clip(surface, 0, 255)


def _grid(size_hw: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y = np.linspace(-1, 1, size_hw[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, size_hw[1], dtype=np.float32)[None, :]
    return y, x


def _gradient(rng: Generator, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    y, x = _grid(size_hw)
    if rng.random() < 0.3:
        cy, cx = rng.uniform(-0.5, 0.5, 2)
        return np.asarray(1 - (x - cx) ** 2 - (y - cy) ** 2, np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(np.cos(angle) * x + np.sin(angle) * y, np.float32)


def _pattern(rng: Generator, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    y, x = _grid(size_hw)
    angle = rng.uniform(0, np.pi)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    turns = rng.uniform(6, 30)
    kind = int(rng.integers(3))
    if kind == 0:
        wave = np.sin(turns * u) + 0 * v
    elif kind == 1:
        wave = np.sin(turns * u) * np.sin(turns * v)
    else:
        wave = np.cos(turns * u) + np.cos(turns * v) - 0.8
    return np.asarray(np.clip(wave * 4, 0, 1), np.float32)


def _roughness(rng: Generator, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    cells = int(2 ** rng.uniform(2, 6))
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass(frozen=True, slots=True)
class Style:
    """Parameters of scene generation; a curriculum is a sequence of styles.

    Attributes:
        most_things: maximum number of things in a scene.
        least_radius, most_radius: limits of a thing's radius, as a fraction of the image's shorter side.
        part_chance: probability that a thing has parts, 0 to 1.
        family_chance: probability that all things of a scene have one kind and colour, 0 to 1.
        damage: strength of texture contrast, blur, noise and JPEG artefacts, 0 to 1.
    """

    most_things: int
    least_radius: float
    most_radius: float
    part_chance: float
    family_chance: float
    damage: float


FULL = Style(most_things=12, least_radius=0.03, most_radius=0.36, part_chance=0.3, family_chance=0.15, damage=1.0)
EASY = Style(most_things=6, least_radius=0.09, most_radius=0.36, part_chance=0.1, family_chance=0.05, damage=0.4)
