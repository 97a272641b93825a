"""Simulate a camera and a file format (light, blur, noise, JPEG artefacts), and the motion of things."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from maskgrid.dataset.demo.records import Pixels
from maskgrid.dataset.demo.textures import Surface
from maskgrid.dataset.demo.things import Pose


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera.

    Attributes:
        blur_px: standard deviation of the blur.
        noise: standard deviation of the noise, in grey levels.
        gain: brightness; 1 leaves the picture as it is.
        falloff_xy: how much brighter the right and the lower border are than the middle.
        quality: of the JPEG file, 1 to 100; None for lossless.
    """

    blur_px: float
    noise: float
    gain: float
    falloff_xy: tuple[float, float]
    quality: int | None


def random_camera(rng: Generator, damage: float) -> Camera:
    """Draw a random camera; ``damage`` from 0 (clean) to 1."""
    return Camera(
        blur_px=float(rng.uniform(0.3, 1.0)) * damage if rng.random() < 0.35 else 0.0,
        noise=float(rng.uniform(0, 7)) * damage,
        gain=float(rng.uniform(0.8, 1.15)),
        falloff_xy=(float(rng.uniform(-0.25, 0.25)), float(rng.uniform(-0.25, 0.25))),
        quality=int(rng.integers(45, 96)) if rng.random() < 0.5 * damage else None,
    )


def photograph(rng: Generator, camera: Camera, picture: Surface) -> Pixels:
    """Turn ``picture``, (H, W, 3) float32, 0 to 255, into the uint8 pixels that the camera saves."""
    height, width = picture.shape[:2]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None] * np.float32(camera.falloff_xy[0])
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * np.float32(camera.falloff_xy[1])
    light = np.asarray(picture * (np.float32(camera.gain) * (1 + x + y)), np.float32)
    if camera.blur_px > 0:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), camera.blur_px), np.float32)
    if camera.noise > 0:
        light = light + rng.standard_normal(light.shape, np.float32) * np.float32(camera.noise)
    pixels = np.clip(np.round(light), 0, 255).astype(np.uint8)
    return pixels if camera.quality is None else _through_jpeg(pixels, camera.quality)


def _through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    _, content = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


@dataclass(frozen=True, slots=True)
class Motion:
    """A smooth path from a first pose.

    Attributes:
        start: the pose in frame 0.
        velocity_xy: drift in pixels per frame.
        swing_xy: amplitude of the path's swing, in pixels; if large, a thing leaves the image and returns.
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
    """Draw a random path: at rest, drifting, or swinging out of the image and back."""
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
