"""True objects of a video, one record per object and annotated frame."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskgrid.masks import rle
from maskgrid.masks.segmentations import code_of
from maskgrid.tracked.prompts.checks import number_from_0
from maskgrid.tracked.videos.frames import image_names
from maskgrid.tracked.videos.index import Video

KEY = "tracking.ground_truth"
# The status of annotations after tracking.stop, which are no mistake.
NOT_READ = "not_read"
Record = dict[str, Any]


class BadTruthError(Exception):
    """An annotation cannot be used.

    Attributes:
        status: why, in one word.
        message: why, for people; one line.
    """

    def __init__(self, status: str, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, " ".join(message.split())[:200]


@dataclass(frozen=True, slots=True)
class TrueMask:
    """A row of ``TRUE_MASKS``, without the video's key.

    Attributes:
        truth_id: the object; None for pixels that count for nobody, and if it is not known whose annotation is bad.
        frame: the video's frame, from 0.
        counts: compressed run-length code; without a pixel where the object is not visible. None if ``status`` is bad.
        category: its category's name.
        is_void: pixels that count for nobody.
        status: ``ok``, or why the annotation cannot be used.
        message: the reason, for people.
    """

    truth_id: str | None
    frame: int | None
    counts: bytes | None
    category: str | None = None
    is_void: bool = False
    status: str = "ok"
    message: str | None = None

    @classmethod
    def bad(cls, error: BadTruthError, truth_id: str | None, frame: int | None) -> "TrueMask":
        """The row of an annotation that cannot be used."""
        return cls(truth_id, frame, None, status=error.status, message=error.message)


@dataclass(frozen=True, slots=True)
class TrueVideo:
    """A video of the ground truth.

    Attributes:
        names: its name, and others that it may have in the source.
        read: reads its true objects, given the video of the source.
        error: why it cannot be used, if that is known before.
    """

    names: tuple[str, ...]
    read: Callable[[Video], Iterator[TrueMask]]
    error: BadTruthError | None = None


def unreadable(names: tuple[str, ...], error: BadTruthError) -> TrueVideo:
    """A video whose annotations cannot be used at all."""
    return TrueVideo(names, lambda _: iter(()), error)


class FrameNames:
    """Finds a video's frames by what annotations call them: a number from 0, or for a folder the name of its image."""

    def __init__(self, video: Video, stop: int | None, pictures: Iterable[str] = ()) -> None:
        """List the frames.

        Args:
            video: a good video.
            stop: where reading ends; frames from there on are not known, and no mistake.
            pictures: the names of all pictures of the video, without suffix. Of a file with n frames, pictures that
                have n and not 0 count from 1, as ffmpeg does.
        """
        self._n_frames, self._stop = int(video.n_frames or 0), stop
        numbers = {_last_number(stem) for stem in pictures} if stop is None else set()
        self._first_picture = 1 if 0 not in numbers and self._n_frames in numbers else 0
        self._names: dict[str, int] = {}
        if video.kind == "frames":
            names = image_names(video.location)
            stems = Counter(Path(name).stem for name in names)
            self._names = {Path(name).stem: place for place, name in enumerate(names) if stems[Path(name).stem] == 1}
            self._names |= {name: place for place, name in enumerate(names)}

    def number(self, frame: Any, name: str | None = None) -> int:  # noqa: ANN401
        """The number of a frame that a document names.

        Raises:
            BadTruthError: the video has no such frame, or it is after ``stop``.
        """
        if name is not None and self._names:
            return self._in_range(self._names.get(name, self._names.get(Path(name).stem)), name)
        number = number_from_0(frame)
        if number is None:
            raise BadTruthError("malformed", f"the frame is {frame!r}, and no number from 0 on")
        return self._in_range(number, str(number))

    def of_picture(self, stem: str) -> int:
        """The frame of a picture, by its name without the suffix: that of an image, or for a video file a number.

        Raises:
            BadTruthError: the video has no such frame, or it is after ``stop``.
        """
        if self._names:
            return self._in_range(self._names.get(stem), stem)
        number = _last_number(stem)
        if number is None:
            raise BadTruthError("missing_frame", f"{stem!r} ends with no number, and so names no frame of a video file")
        return self._in_range(number - self._first_picture, stem)

    def _in_range(self, number: int | None, name: str) -> int:
        if number is None:
            raise BadTruthError("missing_frame", f"the video has no frame {name!r}")
        if number >= self._n_frames:
            if self._stop is not None and number >= self._stop:
                raise BadTruthError(NOT_READ, f"tracking.stop: {self._stop} ends before frame {number}")
            raise BadTruthError("missing_frame", f"the video has {self._n_frames} frames, and none is {name}")
        return number


def _last_number(stem: str) -> int | None:
    digits = re.search(r"[0-9]+$", stem)
    return None if digits is None else int(digits[0])


def code_of_truth(segmentation: Any, size_hw: tuple[int, int]) -> bytes:  # noqa: ANN401
    """The code of a polygon or run-length code; without a pixel if there is none (null, ``[]``).

    Raises:
        BadTruthError: it is malformed, or of another size.
    """
    if not segmentation or segmentation == [[]]:
        return empty_code(size_hw)
    try:
        return code_of(segmentation, size_hw)
    except ValueError as error:
        raise BadTruthError("malformed_mask", str(error)) from None


def empty_code(size_hw: tuple[int, int]) -> bytes:
    """The code of a mask without a pixel."""
    return rle.encode(np.zeros(size_hw, np.bool_))


def with_each_id_once(masks: Sequence[TrueMask]) -> Iterator[TrueMask]:
    """The masks by frame and object; a second one of an object on a frame is bad, and so is the first."""
    seen = Counter((mask.frame, mask.truth_id) for mask in masks if mask.status == "ok" and not mask.is_void)
    for mask in sorted(masks, key=_order):
        if mask.status == "ok" and not mask.is_void and seen[mask.frame, mask.truth_id] > 1:
            error = BadTruthError("duplicate", "the object has several annotations on this frame")
            yield TrueMask.bad(error, mask.truth_id, mask.frame)
        else:
            yield mask


def _order(mask: TrueMask) -> tuple[int, int, str]:
    truth_id = mask.truth_id or ""
    number = number_from_0(truth_id)
    return -1 if mask.frame is None else mask.frame, -1 if number is None else number, truth_id
