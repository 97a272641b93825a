"""A run as a film: every frame at its full size, with the masks and the objects' ids on top."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import cv2
import numpy as np
from av.codec.codec import UnknownCodecError
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write
from maskgrid.io.progress import shown
from maskgrid.masks import rle
from maskgrid.masks.pictures import Pixels, Thumbnail, colour, paint
from maskgrid.tracked.masklets import Run, by_frames
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.videos.shown_frames import ShownFrames

Row = dict[str, Any]

# Of a folder of frames, and of files that state none.
RATE_HZ = 25
# Denominators above this are not rates that anybody films at, and break players.
_MOST_PARTS = 1001
# In this order; the wheels of PyAV have libx264.
_ENCODERS = ("libx264", "libopenh264")
# One thread and no dates: the same masks give the same bytes.
_OPTIONS = {"libx264": {"crf": "20", "preset": "medium"}, "libopenh264": {"b": "8M", "rc_mode": "quality"}}
_BT709 = 1  # in ITU-T H.273, for primaries and transfer


def write_overlay_mp4(run: Run, reading: Reading, path: Path) -> None:
    """Write an MP4 (H.264) with all frames that were read, at the video's rate divided by the stride.

    An object has the colour that it has in all pictures. Frames that can no longer be read are grey. A film's width and
    height are even, as most players need it: a copy of the last row or column makes them so.

    Args:
        run: a tracked video.
        reading: which of its frames are read.
        path: the output file; replaced atomically once complete.

    Raises:
        UserError: this build of PyAV has no encoder for H.264.
    """
    pictures = shown(_pictures(run, reading), len(run.numbers), f"overlay {run.name}", "frames")
    with atomic_write(path) as stream:
        encode_mp4(stream, pictures, run.video.size_hw, rate_of(run))


def encode_mp4(stream: IO[bytes], pictures: Iterable[Pixels], size_hw: tuple[int, int], rate_hz: Fraction) -> None:
    """Encode pictures (H, W, 3) of one size as H.264 in an MP4 file.

    Raises:
        UserError: this build of PyAV has no encoder for H.264.
    """
    height, width = size_hw
    with av.open(stream, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        name = _encoder()
        track = container.add_stream(name, rate=rate_hz, options={**_OPTIONS[name], "flags": "+bitexact"})
        assert isinstance(track, VideoStream)
        track.width, track.height, track.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        track.codec_context.thread_count = 1
        _tag(track.codec_context)
        for picture in pictures:
            container.mux(track.encode(_encoded(picture)))
        container.mux(track.encode())


def rate_of(run: Run) -> Fraction:
    """Frames a second of the film: the video's average, divided by the stride; 25 of a video that states none."""
    return as_rate(Fraction(run.video.frame_rate_hz or RATE_HZ) / run.numbers.step)


def as_rate(rate_hz: Fraction | float) -> Fraction:
    """The next rate that players understand."""
    return max(Fraction(rate_hz).limit_denominator(_MOST_PARTS), Fraction(1, _MOST_PARTS))


def _encoder() -> str:
    for name in _ENCODERS:
        try:
            av.Codec(name, "w")
        except UnknownCodecError:
            continue
        return name
    raise UserError(
        "a film (overlay_mp4, show_video) needs an encoder for H.264, and this build of PyAV has neither "
        f"{' nor '.join(_ENCODERS)}; install PyAV from its wheel (pip install av)"
    )


def _tag(context: Any) -> None:  # noqa: ANN401
    """Say which YUV it is, so that players show the colours that were painted."""
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries = context.color_trc = _BT709


def _encoded(picture: Pixels) -> av.VideoFrame:
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.AREA,
    )


def _pictures(run: Run, reading: Reading) -> Iterator[Pixels]:
    """Yield each frame that was read with its masks."""
    masks = iter(by_frames(run.path))
    following = next(masks, None)
    frames, whole = ShownFrames.of(run.video, reading), Thumbnail(run.video.size_hw, run.video.size_hw)
    for position, number in enumerate(run.numbers):
        rows: list[Row] = []
        if following is not None and following[0] == number:
            rows, following = following[1], next(masks, None)
        yield painted(whole.pixels(frames.read(position)), [row for row in rows if row["area_px"]])


def painted(pixels: Pixels, rows: list[Row]) -> Pixels:
    """A frame (H, W, 3) with the masks of rows (``object_id``, ``counts``), and the objects' ids."""
    size_hw = pixels.shape[0], pixels.shape[1]
    masks = [(rle.decode(row["counts"], size_hw), row["object_id"]) for row in rows]
    picture = paint(pixels, [(mask, colour("masklet", number)) for mask, number in masks])
    for mask, number in masks:
        _write_id(picture, mask, str(number))
    return picture


def _write_id(picture: Pixels, mask: NDArray[np.bool_], words: str) -> None:
    """Write an object's id in the middle of its mask, white with a dark edge."""
    letters = max(0.4, picture.shape[0] / 900)
    line = max(1, round(letters * 1.6))
    (width, height), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, letters, line)
    x, y = _middle(mask)
    place = x - width // 2, y + height // 2
    for shade, thickness in ((0, line + 2), (255, line)):
        cv2.putText(picture, words, place, cv2.FONT_HERSHEY_SIMPLEX, letters, (shade,) * 3, thickness, cv2.LINE_AA)


def _middle(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The mask's centre of mass, x and y; where that is outside, the pixel of the mask next to it."""
    rows, columns = np.nonzero(mask)
    y, x = float(rows.mean()), float(columns.mean())
    nearest = int(np.argmin((rows - y) ** 2 + (columns - x) ** 2))
    return int(columns[nearest]), int(rows[nearest])
