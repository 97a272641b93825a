"""What a camera and a file format do to a picture: light, blur, noise, JPEG artefacts."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from maskgrid.scenes.records import Pixels
from maskgrid.scenes.textures import Surface


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera.

    Attributes:
        blur_px: standard deviation of the blur.
        noise: standard deviation of the noise, in grey levels.
        gain: brightness, 1 for the picture's own.
        falloff_xy: how much brighter the right and the lower border are than the middle.
        quality: of the JPEG file, 1 to 100; None saves without loss.
    """

    blur_px: float
    noise: float
    gain: float
    falloff_xy: tuple[float, float]
    quality: int | None


def random_camera(rng: Generator, damage: float) -> Camera:
    """Draw a camera; ``damage`` from 0 (clean) to 1."""
    return Camera(
        blur_px=float(rng.uniform(0.3, 1.0)) * damage if rng.random() < 0.35 else 0.0,
        noise=float(rng.uniform(0, 7)) * damage,
        gain=float(rng.uniform(0.8, 1.15)),
        falloff_xy=(float(rng.uniform(-0.25, 0.25)), float(rng.uniform(-0.25, 0.25))),
        quality=int(rng.integers(45, 96)) if rng.random() < 0.5 * damage else None,
    )


def photograph(rng: Generator, camera: Camera, picture: Surface) -> Pixels:
    """Take ``picture`` (H, W, 3) float32, 0 to 255, to the uint8 pixels that the camera saves."""
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
