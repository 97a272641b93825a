"""Video files that tests write with PyAV, and what reading them gives."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from maskgrid.tracked.videos.scan import BadVideoError

CODECS = {"mp4": "libx264", "mkv": "libx264", "avi": "mpeg4", "webm": "libvpx-vp9", "ts": "libx264", "h264": "libx264"}


def write_video(path, n_frames=30, codec=None, rotation_deg=None, options=None, size_hw=(48, 64)):
    """Write a video of grey frames that change in brightness, with a red corner."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec or CODECS[path.suffix[1:]], rate=25)
        stream.height, stream.width = size_hw
        stream.pix_fmt, stream.gop_size = "yuv420p", 12
        if rotation_deg is not None:
            stream.set_display_rotation(rotation_deg)
        for number in range(n_frames):
            pixels = np.full((*size_hw, 3), number * 8 % 256, np.uint8)
            pixels[:16, :16] = 255, 0, 0
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def status_of(make, *arguments, **named):
    with pytest.raises(BadVideoError) as caught:
        make(*arguments, **named)
    assert not isinstance(arguments[0], Path) or str(arguments[0]) not in caught.value.message
    return caught.value.status


def moving(n_frames, size_hw, seed=0):
    """Smooth noise that drifts, so that every frame differs and codecs have work."""
    height, width = size_hw
    field = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + n_frames + 2, 3), np.uint8)
    return [np.kron(field[:, n:], np.ones((8, 8, 1), np.uint8))[:height, :width] for n in range(n_frames)]


def write(path, frames, codec, pix_fmt="yuv420p", times=None, options=None, muxing=None):
    """Write frames; ``times`` are when they are shown, in frames."""
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.time_base = "yuvj420p" if codec == "mjpeg" else pix_fmt, Fraction(1, 25)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number if times is None else times[number], Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
