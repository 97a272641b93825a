"""Read the frames of a video one at a time: from a video file, a folder of images, or a sequence of them."""

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from maskgrid.config.pixels import PixelsConfig
from maskgrid.dataset.pixels.images import BadImageError, ImageLike, read_image, rgb_pixels
from maskgrid.io.errors import UserError
from maskgrid.io.listings import IMAGE_SUFFIXES
from maskgrid.tracked.records import Frames
from maskgrid.tracked.videos.checksums import is_frame
from maskgrid.tracked.videos.orientation import displayed
from maskgrid.tracked.videos.scan import (
    BadVideoError,
    VideoScan,
    VideoStatus,
    open_video,
    picture_track,
    scan_video,
    size_changes,
)

VideoLike = Frames | str | os.PathLike[str] | Sequence[ImageLike] | NDArray[np.uint8]

# A stretch of each frame by its own values would make a video flicker.
_SHOWN = PixelsConfig(stretch="none")
# Decoded frames to keep while a file is read backwards.
_HELD_BYTES = 64 << 20


def frames_of(video: VideoLike) -> Frames:
    """The frames of a video as people hand it over.

    Args:
        video: the path of a video file or of a folder of images; or images in order: arrays (one of shape
            (T, H, W, 3), or a list), PIL images, or paths.

    Raises:
        UserError: no video can be read from it.
    """
    if isinstance(video, str | os.PathLike):
        path = Path(video).expanduser()
        try:
            return FrameFolder(path) if path.is_dir() else VideoFile(path)
        except BadVideoError as error:
            raise UserError(f"{os.fspath(video)}: {error.message}") from None
    if isinstance(video, Sequence | np.ndarray):
        return FrameImages(video)
    if isinstance(video, Frames):
        return video
    raise UserError(f"a video is a path or a sequence of images, not {type(video).__name__}")


class FrameImages:
    """Images in memory, or their paths, as the frames of a video."""

    def __init__(self, images: Sequence[ImageLike] | NDArray[np.uint8]) -> None:
        """Look at the first image.

        Raises:
            UserError: there is none, or it is no image (see :func:`maskgrid.dataset.pixels.images.rgb_pixels`).
        """
        if len(images) == 0:
            raise UserError("the video has no frame")
        self._images = images
        height, width, _ = rgb_pixels(images[0], pixels=_SHOWN).shape
        self.size_hw = height, width

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self._images)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """The pixels of a frame, RGB, shape (H, W, 3).

        Raises:
            UserError: it is no image, or cannot be read.
            BadVideoError: it is not of the size of the first.
        """
        pixels = rgb_pixels(self._images[frame], pixels=_SHOWN)
        height, width, _ = pixels.shape
        if (height, width) != self.size_hw:
            raise size_changes(frame, (height, width), self.size_hw)
        return pixels


class FrameFolder:
    """The images of a folder as the frames of a video, in the natural order of their names: 2 before 10.

    Attributes:
        paths: the files to read, in order, after range and stride.
        numbers: their positions among the folder's images, counted from 0.
    """

    def __init__(
        self, path: Path, start: int = 0, stop: int | None = None, stride: int = 1, max_pixels: int = 100_000_000
    ) -> None:
        """List the folder and read its first frame.

        Args:
            path: the folder; hidden files and files without an image suffix are skipped.
            start: the first image to read.
            stop: read up to this image, exclusive; None for all.
            stride: read every stride-th image.
            max_pixels: reject images of larger width x height.

        Raises:
            BadVideoError: there is no such folder, no image in it or in the range, or the first one cannot be read.
        """
        names = image_names(path)
        self.numbers = _chosen(len(names), start, stop, stride)
        self.paths = [path / names[number] for number in self.numbers]
        self._max_pixels = max_pixels
        self._size_hw: tuple[int, int] | None = None
        self.read(0)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels of the first frame, and so of all."""
        assert self._size_hw is not None
        return self._size_hw

    def __len__(self) -> int:
        """How many frames there are, after range and stride."""
        return len(self.paths)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """The pixels of a frame, RGB as displayed (EXIF orientation applied), shape (H, W, 3).

        Raises:
            BadVideoError: the image cannot be read, or its size differs from the first frame's.
        """
        try:
            pixels = read_image(self.paths[frame], self._max_pixels).pixels
        except BadImageError as error:
            message = f"frame {frame} ({self.paths[frame].name}): {error.message}"
            raise BadVideoError(VideoStatus.BAD_FRAME, message) from None
        height, width, _ = pixels.shape
        if self._size_hw is None:
            self._size_hw = height, width
        elif self._size_hw != (height, width):
            raise size_changes(frame, (height, width), self._size_hw)
        return pixels


class VideoFile:
    """The frames of a video file, decoded on demand; fastest in order, forwards or backwards.

    A frame has the same pixels in any order of reading: frames decoded after a seek are compared with the scan, and
    decoded again from the beginning if they differ.

    Attributes:
        scan: the result of decoding the file once.
        numbers: the file's frames to read, counted from 0.
    """

    def __init__(
        self,
        path: Path,
        start: int = 0,
        stop: int | None = None,
        stride: int = 1,
        max_pixels: int = 100_000_000,
        scan: VideoScan | None = None,
    ) -> None:
        """Open the file, and decode it once, up to ``stop``, to count its frames.

        Args:
            path: a file in any format that FFmpeg reads.
            start: the first frame to read.
            stop: read up to this frame, exclusive; None for all.
            stride: read every stride-th frame.
            max_pixels: reject a larger width x height.
            scan: an earlier scan, which is trusted; None to decode the file now.

        Raises:
            BadVideoError: the file is no video, truncated or damaged, or has no frame in the range.
        """
        self.path = path
        self.scan = scan or scan_video(path, stop, max_pixels)
        self.numbers = _chosen(len(self.scan), start, stop, stride)
        self._reader = _Reader(path, self.scan)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels, as displayed."""
        return self.scan.size_hw

    def __len__(self) -> int:
        """How many frames there are, after range and stride."""
        return len(self.numbers)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """The pixels of a frame, RGB as displayed, shape (H, W, 3).

        Raises:
            BadVideoError: the file has changed, or can no longer be read.
        """
        return displayed(self._reader.read(self.numbers[frame]), self.scan.rotation_deg)


class _Reader:
    """Decoded frames by number; continues decoding where possible, and seeks otherwise."""

    def __init__(self, path: Path, scan: VideoScan) -> None:
        self.path, self.scan = path, scan
        self.frames: Iterator[tuple[int, VideoFrame]] = iter(())
        self.next = len(scan)  # number of the decoder's next frame
        self.held: deque[tuple[int, VideoFrame]] = deque()

    def read(self, number: int) -> VideoFrame:
        for held, frame in self.held:
            if held == number:
                return frame
        try:
            return self._decode(number)
        except av.FFmpegError as error:
            raise BadVideoError(VideoStatus.TRUNCATED, f"frame {number} cannot be decoded: {error}") from None

    def _decode(self, number: int) -> VideoFrame:
        key = self._key_before(number)
        jump = not key <= self.next <= number
        if jump:
            self.frames, self.next = self._from(key), key
        frame = self._advance(number, _HELD_BYTES if jump else 0)
        if frame is None and key > 0:  # decoding from the key frame differs from decoding from the beginning
            self.frames, self.next = self._from(0), 0
            frame = self._advance(number, _HELD_BYTES)
        if frame is None:
            raise BadVideoError(VideoStatus.TRUNCATED, f"frame {number} is not what it was: the file has changed")
        return frame

    def _advance(self, number: int, hold_bytes: int) -> VideoFrame | None:
        """Decode up to a frame and keep the last ones; None if the frame differs from the scan's."""
        self.held.clear()
        for found, frame in self.frames:
            self.next = found + 1
            self.held.append((found, frame))
            if len(self.held) * sum(plane.buffer_size for plane in frame.planes) > hold_bytes and len(self.held) > 1:
                self.held.popleft()
            if found == number:
                break
        self.held = deque((n, frame) for n, frame in self.held if is_frame(frame, self.scan.checksums[n]))
        return self.held[-1][1] if self.held and self.held[-1][0] == number else None

    def _from(self, key: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from a key frame on; yield numbers and frames."""
        with open_video(self.path) as container:
            stream = picture_track(container)
            if key == 0:
                yield from enumerate(container.decode(stream))
                return
            container.seek(int(self.scan.pts[key]), stream=stream)
            for frame in container.decode(stream):
                number = int(np.searchsorted(self.scan.pts, frame.pts or 0))
                if number < len(self.scan) and self.scan.pts[number] == frame.pts:
                    yield number, frame

    def _key_before(self, number: int) -> int:
        if not self.scan.seekable:
            return 0
        keys = np.flatnonzero(self.scan.is_key[: number + 1])
        return int(keys[-1]) if len(keys) else 0


def _chosen(count: int, start: int, stop: int | None, stride: int) -> range:
    numbers = range(count)[start:stop:stride]
    if not numbers:
        raise BadVideoError(VideoStatus.NO_FRAMES, f"of its {count} frames none is in the range from {start} to {stop}")
    return numbers


def image_names(path: Path) -> list[str]:
    """The names of a folder's images, in the natural order; a ``BadVideoError`` if there is none."""
    if not path.is_dir():
        raise BadVideoError(VideoStatus.MISSING, "there is no such folder")
    try:
        names = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise BadVideoError(VideoStatus.UNREADABLE, error.strerror or "the folder may not be listed") from None
    images = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise BadVideoError(VideoStatus.EMPTY, "the folder holds no images")
    return sorted(images, key=natural_key)


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """A sort key that orders names by the numbers in them: ``frame2`` before ``frame10``."""
    # Digits and other text alternate, so only equal types are compared; the name itself separates 01 from 1.
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name
