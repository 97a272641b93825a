"""Why a video gives no frames."""

from enum import StrEnum


class VideoStatus(StrEnum):
    """What became of a video; the values of the column ``status``."""

    OK = "ok"
    MISSING = "missing"  # there is no such file or folder
    UNREADABLE = "unreadable"  # permissions, or the disk or network failed
    EMPTY = "empty"  # no bytes, or a folder without images
    NOT_A_VIDEO = "not_a_video"  # no container that is known, or one without a picture track
    UNSUPPORTED = "unsupported"  # a video of a codec that is not decoded here
    TRUNCATED = "truncated"  # cut short or damaged
    BAD_FRAME = "bad_frame"  # a frame of a folder is no image that can be read
    SIZE_CHANGES = "size_changes"  # frames of more than one size
    TOO_LARGE = "too_large"  # frames of more pixels than the limit
    NO_FRAMES = "no_frames"  # the range chosen holds no frame


class BadVideo(Exception):
    """A video that cannot be tracked.

    Attributes:
        status: why, in one word.
        message: why, for a person; one line that names no path, so that tables do not depend on where files lie.
    """

    def __init__(self, status: VideoStatus, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = " ".join(message.split())[:200]
