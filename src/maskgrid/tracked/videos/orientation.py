"""Turn and mirror frames as their file asks, like ffmpeg, which players and browsers agree with for quarter turns."""

import math

import av.filter
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray

# Added to the angle of a picture that is mirrored.
MIRRORED = 360

_QUARTERS = (90, 180, 270)
# What is left to do after mirroring left to right, counter-clockwise, by the matrix's own angle clockwise.
_MIRRORED_TURNS = {0: 180, 90: 90, 180: 0, 270: 270}


def rotation_of(frame: VideoFrame) -> int:
    """How a frame's display matrix asks to show it.

    The cases are those of ffmpeg's ``-autorotate`` (``configure_input_video_filter`` in ffmpeg_filter.c): the angle in
    whole degrees, a mirror image for quarter turns only, and scale, shear and shift are ignored.

    Returns:
        Degrees counter-clockwise, 0 to 359; plus 360 for a picture that is first mirrored left to right.
    """
    data = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
    if data is None:
        return 0
    matrix = np.frombuffer(data, np.int32).astype(np.float64)
    scale_x, scale_y = math.hypot(matrix[0], matrix[3]), math.hypot(matrix[1], matrix[4])
    if scale_x == 0 or scale_y == 0:
        return 0
    clockwise = round(math.degrees(math.atan2(matrix[1] / scale_y, matrix[0] / scale_x))) % 360
    if clockwise in (90, 270):
        # The transpositions, where both corners off the diagonal have the same sign.
        is_mirrored = (matrix[3] > 0) == (clockwise == 90)
    else:
        is_mirrored = clockwise in (0, 180) and matrix[0] * matrix[4] < 0
    if is_mirrored:
        return MIRRORED + _MIRRORED_TURNS[clockwise]
    return -clockwise % 360


def is_unusual(rotation_deg: int) -> bool:
    """Whether a picture is mirrored, or turned by other than quarter turns."""
    return rotation_deg != 0 and rotation_deg not in _QUARTERS


def displayed(frame: VideoFrame, rotation_deg: int) -> NDArray[np.uint8]:
    """The pixels of a frame as displayed, RGB, shape (H, W, 3).

    Args:
        frame: as decoded.
        rotation_deg: from :func:`rotation_of`.
    """
    is_mirrored, turn = divmod(rotation_deg, 360)
    if turn % 90:
        return np.asarray(_turned(frame, turn).to_ndarray(format="rgb24"))
    pixels = np.asarray(frame.to_ndarray(format="rgb24"))
    pixels = pixels[:, ::-1] if is_mirrored else pixels
    return np.ascontiguousarray(np.rot90(pixels, turn // 90))


def _turned(frame: VideoFrame, turn_deg: int) -> VideoFrame:
    """Turn a frame counter-clockwise inside its own size, with black corners."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base, name="in"
        ),
        graph.add("rotate", f"{-turn_deg}*PI/180"),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    turned = graph.pull()
    assert isinstance(turned, VideoFrame)
    return turned
