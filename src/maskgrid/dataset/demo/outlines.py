"""Outlines of things: closed curves in a square from -1 to 1, filled by the even-odd rule."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Curve = NDArray[np.float64]  # (K, 2): x, y
Outline = tuple[Curve, ...]


def random_outline(rng: Generator) -> Outline:
    """Draw an outline of a random kind: one closed curve, and one more per hole."""
    kind = _KINDS[int(rng.choice(len(_KINDS), p=_WEIGHTS))]
    return kind(rng)


def _turns(count: int) -> NDArray[np.float64]:
    return np.linspace(0.0, 2 * np.pi, count, endpoint=False)


def _polar(radius: NDArray[np.float64], squash: float = 1.0) -> Curve:
    angle = _turns(len(radius))
    return np.stack([radius * np.cos(angle), squash * radius * np.sin(angle)], axis=1)


def _ellipse(rng: Generator) -> Outline:
    return (_polar(np.ones(48), rng.uniform(0.4, 1.0)),)


def _rectangle(rng: Generator) -> Outline:
    height = rng.uniform(0.25, 1.0)
    corner = rng.choice([2.5, 6.0, 40.0])  # exponents of a superellipse: rounded to sharp
    angle = _turns(64)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / corner)
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / corner)
    return (np.stack([x, height * y], axis=1),)


def _polygon(rng: Generator) -> Outline:
    angle = np.sort(_turns(int(rng.integers(3, 8))) + rng.uniform(-0.35, 0.35))
    radius = rng.uniform(0.65, 1.0, len(angle))
    return (np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1),)


def _star(rng: Generator) -> Outline:
    radius = np.ones(2 * int(rng.integers(4, 9)))
    radius[1::2] = rng.uniform(0.35, 0.7)
    return (_polar(radius),)


def _blob(rng: Generator) -> Outline:
    angle = _turns(72)
    radius = np.ones(72)
    for wave in range(2, 6):
        radius += rng.normal(0, 0.35 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, None)
    return (_polar(radius / radius.max(), rng.uniform(0.6, 1.0)),)


def _ring(rng: Generator) -> Outline:
    squash = rng.uniform(0.6, 1.0)
    return (_polar(np.ones(56), squash), _polar(np.full(56, rng.uniform(0.45, 0.75)), squash))


def _pierced(rng: Generator) -> Outline:
    body = _rectangle(rng)[0] if rng.random() < 0.5 else _blob(rng)[0]
    holes = [
        _polar(np.full(24, rng.uniform(0.1, 0.2))) + np.array([x, rng.uniform(-0.1, 0.1)])
        for x in np.linspace(-0.45, 0.45, int(rng.integers(1, 4)))
    ]
    return (body, *holes)


def _stick(rng: Generator) -> Outline:
    return (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [1.0, rng.uniform(0.06, 0.2)],)


def _cable(rng: Generator) -> Outline:
    along = np.linspace(-1, 1, 40)
    bend = rng.uniform(0.15, 0.5) * np.sin(rng.uniform(1.5, 4.5) * along + rng.uniform(0, 2 * np.pi))
    half = rng.uniform(0.05, 0.13)
    slope = np.gradient(bend, along)
    normal = np.stack([-slope, np.ones_like(slope)], axis=1) / np.hypot(slope, 1.0)[:, None]
    spine = np.stack([along, bend], axis=1)
    return (np.concatenate([spine + half * normal, (spine - half * normal)[::-1]]),)


def _crescent(rng: Generator) -> Outline:
    angle = np.linspace(-0.75 * np.pi, 0.75 * np.pi, 40)
    depth = rng.uniform(0.35, 0.65)
    outer = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (np.concatenate([outer, (outer * [depth, 0.85])[::-1]]),)


def _cross(rng: Generator) -> Outline:
    arm = rng.uniform(0.2, 0.45)
    quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return (np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)]),)


def _gear(rng: Generator) -> Outline:
    teeth = int(rng.integers(6, 13))
    radius = np.where(np.arange(8 * teeth) % 8 < 4, 1.0, rng.uniform(0.75, 0.85))
    body = _polar(radius)
    return (body, _polar(np.full(24, 0.25))) if rng.random() < 0.5 else (body,)


_KINDS: tuple[Callable[[Generator], Outline], ...] = (
    _ellipse, _rectangle, _polygon, _star, _blob, _ring, _pierced, _stick, _cable, _crescent, _cross, _gear,
)  # fmt: skip
_WEIGHTS = np.array([5, 5, 4, 2, 6, 2, 2, 2, 2, 1, 1, 1]) / 33
