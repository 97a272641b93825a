"""How things move through a clip."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from maskgrid.scenes.things import Pose


@dataclass(frozen=True, slots=True)
class Motion:
    """A smooth path from a first pose.

    Attributes:
        start: the pose in frame 0.
        velocity_xy: drift in pixels per frame.
        swing_xy: how far the path swings to a side, in pixels: far enough, and a thing leaves and returns.
        pace: phase of the swing per frame, in radians.
        spin: rotation per frame, in radians.
        growth: logarithm of the size ratio from one frame to the next.
    """

    start: Pose
    velocity_xy: tuple[float, float]
    swing_xy: tuple[float, float]
    pace: float
    spin: float
    growth: float

    def pose(self, frame: int) -> Pose:
        """The pose in a frame."""
        swing = float(np.sin(self.pace * frame))
        return Pose(
            self.start.x + self.velocity_xy[0] * frame + self.swing_xy[0] * swing,
            self.start.y + self.velocity_xy[1] * frame + self.swing_xy[1] * swing,
            self.start.radius_px * float(np.exp(self.growth * frame)),
            self.start.angle + self.spin * frame,
        )


def random_motion(rng: Generator, start: Pose, size_hw: tuple[int, int]) -> Motion:
    """Draw a path: at rest, drifting, or swinging out of the image and back."""
    side_px = min(size_hw)
    speed_px = side_px * float(rng.choice([0.0, 0.006, 0.015])) * float(rng.uniform(0.5, 1.5))
    heading = float(rng.uniform(0, 2 * np.pi))
    swing_px = side_px * float(rng.uniform(0.1, 0.5)) if rng.random() < 0.35 else 0.0
    side = float(rng.uniform(0, 2 * np.pi))
    return Motion(
        start=start,
        velocity_xy=(speed_px * float(np.cos(heading)), speed_px * float(np.sin(heading))),
        swing_xy=(swing_px * float(np.cos(side)), swing_px * float(np.sin(side))),
        pace=float(rng.uniform(0.08, 0.25)),
        spin=float(rng.normal(0, 0.04)),
        growth=float(rng.normal(0, 0.008)),
    )
