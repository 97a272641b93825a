"""The frames of a tracked video for pictures: one that can no longer be read is missing, and nothing fails."""

from dataclasses import dataclass

from maskgrid.masks.pictures import Pixels
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.records import Frames
from maskgrid.tracked.videos.index import Video, open_frames
from maskgrid.tracked.videos.scan import BadVideoError


@dataclass(frozen=True, slots=True)
class ShownFrames:
    """Frames by their position among those that were read; None instead of all if the video is gone."""

    frames: Frames | None

    @classmethod
    def of(cls, video: Video, reading: Reading) -> "ShownFrames":
        """Open a video's frames."""
        try:
            return cls(open_frames(video, reading))
        except BadVideoError:
            return cls(None)

    def read(self, position: int) -> Pixels | None:
        """The pixels of a frame, RGB (H, W, 3); None if it cannot be read."""
        try:
            return None if self.frames is None else self.frames.read(position)
        except BadVideoError:
            return None
