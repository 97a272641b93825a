"""Check each prompt of a source against its video: one row per prompt, with a status and a reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskgrid.dataset.annotations.object_sources import read_prompt
from maskgrid.dataset.annotations.objects import BadPromptError, Prompt, PromptStatus, pixels_of, require_size
from maskgrid.io.listings import image_key
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.prompts.checked import VideoPrompt
from maskgrid.tracked.prompts.entries import VideoEntry
from maskgrid.tracked.prompts.label_pictures import with_single_object
from maskgrid.tracked.prompts.object_ids import ObjectName, object_ids, whole_id
from maskgrid.tracked.videos.frames import FrameFolder
from maskgrid.tracked.videos.index import Video

_LARGEST_NUMBER = 2**31 - 1


def resolve_prompts(
    entries: Sequence[VideoEntry], videos: Sequence[Video], reading: Reading, normalized: bool, folder: Path
) -> list[VideoPrompt]:
    """Check every entry of a source against its video.

    Args:
        entries: as the source has them.
        videos: all videos of the source, including bad ones.
        reading: which frames are read.
        normalized: whether points and boxes are in 0..1 of the frame.
        folder: the folder that paths in the entries are relative to.

    Returns:
        The prompts, sorted by video, then in the order of the entries.
    """
    known = known_names(videos)
    by_video: dict[str, list[VideoEntry]] = {}
    for entry in entries:
        keys = (known.get(image_key(name)) for name in entry.names)
        by_video.setdefault(next((key for key in keys if key is not None), entry.names[0]), []).append(entry)
    by_key = {video.video_key: video for video in videos}
    rows: list[VideoPrompt] = []
    for key in sorted(by_video):
        checker = _Checker(key, by_key.get(key), reading, normalized, folder)
        rows += checker.resolve(by_video[key])
    return rows


class _Checker:
    """Checks the prompts of one video."""

    def __init__(self, key: str, video: Video | None, reading: Reading, normalized: bool, folder: Path) -> None:
        self.key, self.video, self.normalized, self.folder = key, video, normalized, folder
        self.numbers = range(0)
        self.names: Mapping[str, int] = {}
        if video is not None and video.status == "ok":
            self.numbers = reading.numbers(int(video.n_frames or 0))
            if video.kind == "frames":
                paths = FrameFolder(video.location, 0, reading.stop).paths
                self.names = {path.name: number for number, path in enumerate(paths)}
        self.prompted = PromptedFrames()
        self.video_id: str | None = None

    def resolve(self, entries: Sequence[VideoEntry]) -> list[VideoPrompt]:
        self.video_id = entries[0].video_id
        names = [ObjectName(entry.entry.source_id, entry.row) for entry in entries]
        ids = object_ids(names)
        # Without an id, the row's number stands for it, unless another object has that id.
        written = {name.text for name in names if name.row is None}
        return [
            self._row(index, entry, ids[name], f"row {name.row}" if name.row and name.text in written else name.text)
            for index, (entry, name) in enumerate(zip(entries, names, strict=True))
        ]

    def _row(self, index: int, found: VideoEntry, object_id: int, source_id: str) -> VideoPrompt:
        entry, prompt, frame, number = found.entry, None, number_from_0(found.frame), 0
        status, message = str(PromptStatus.OK), None
        try:
            size_hw = self._size_of(found)
            frame, number = self._frame(found), round_number(found.round)
            label = None if found.row else whole_id(entry.source_id)
            entry = with_single_object(entry, label, size_hw, self.folder)
            prompt = pixels_of(read_prompt(entry, size_hw, self.normalized, self.folder), size_hw)
            self.prompted.add(object_id, frame, number, prompt)
        except BadPromptError as error:
            prompt, status, message = None, str(error.status), error.message
        return VideoPrompt(
            video_key=self.key,
            prompt_index=index,
            object_id=object_id,
            source_id=source_id,
            category_id=entry.category_id,
            category=entry.category,
            frame=frame,
            round=number,
            prompt=prompt,
            status=status,
            message=message,
        )

    def _size_of(self, found: VideoEntry) -> tuple[int, int]:
        entry = found.entry
        if entry.broken is not None:
            raise BadPromptError(PromptStatus.MALFORMED, entry.broken)
        if found.video_id != self.video_id:
            ids = f"the ids {self.video_id} and {found.video_id}"
            raise BadPromptError(PromptStatus.MALFORMED, f"the file has this video twice, with {ids}; the first counts")
        if self.video is None:
            raise BadPromptError(PromptStatus.UNKNOWN_VIDEO, f"the source has no video {self.key!r}")
        if self.video.status != "ok":
            raise BadPromptError(PromptStatus.BAD_VIDEO, f"the video cannot be used: {self.video.status}")
        if entry.is_crowd:
            raise BadPromptError(PromptStatus.CROWD, "a crowd of objects (iscrowd: 1) has no mask of one object")
        size_hw = self.video.size_hw
        # A run-length code has a size of its own, which is checked.
        if not self.normalized and not isinstance(entry.mask, dict):
            require_size(entry.size_hw, size_hw)
        return size_hw

    def _frame(self, found: VideoEntry) -> int:
        frame: Any = found.frame
        if self.names and found.frame_name is not None:
            if found.frame_name not in self.names:
                raise BadPromptError(PromptStatus.MISSING_FRAME, f"the video has no frame {found.frame_name!r}")
            frame = self.names[found.frame_name]
        number = number_from_0(frame)
        if number is None:
            raise BadPromptError(PromptStatus.MALFORMED, f"the frame is {frame!r}, and no number from 0 on")
        assert self.video is not None
        if number not in self.numbers:
            n_frames = int(self.video.n_frames or 0)
            where = (
                f"the video's {n_frames} frames are numbered from 0"
                if number >= n_frames
                else (f"frames {self.numbers.start} to {self.numbers[-1]} by {self.numbers.step} are read")
            )
            raise BadPromptError(PromptStatus.MISSING_FRAME, f"there is no frame {number}: {where}")
        return number


class PromptedFrames:
    """The frames on which objects have prompts: those of one object and frame must fit sam2's video predictor."""

    def __init__(self) -> None:
        self.masks: set[tuple[int, int, int]] = set()
        self.points: set[tuple[int, int, int]] = set()

    def add(self, object_id: int, frame: int, round_: int, prompt: Prompt) -> None:
        """Add a prompt: a mask, or points and a box.

        Raises:
            BadPromptError: it cannot be combined with the object's earlier prompts on this frame.
        """
        place = object_id, frame, round_
        if prompt.mask_counts is not None and prompt.kind != "mask":
            reason = "a video's mask stands alone: give points and box in a later round, or leave the mask out"
            raise BadPromptError(PromptStatus.MALFORMED, reason)
        if place in self.masks or (prompt.mask_counts is not None and place in self.points):
            raise BadPromptError(PromptStatus.MALFORMED, "the object has another prompt on this frame beside its mask")
        if prompt.box_xyxy is not None and place in self.points:
            reason = "the box comes after points on the same frame: give it in the first row of the object there"
            raise BadPromptError(PromptStatus.MALFORMED, reason)
        (self.masks if prompt.mask_counts is not None else self.points).add(place)


def known_names(videos: Sequence[Video]) -> dict[str, str]:
    """Video keys by the names that a source of prompts may use: the key, or the key without its suffix if unique."""
    stems = Counter(video.video_key.rpartition(".")[0] for video in videos if video.kind == "file")
    names = {
        stem: video.video_key for video in videos if stems[stem := video.video_key.rpartition(".")[0]] == 1 and stem
    }
    return names | {video.video_key: video.video_key for video in videos}


def round_number(value: Any) -> int:  # noqa: ANN401
    """Parse a round of corrections; 0 for None.

    Raises:
        BadPromptError: it is no whole number from 0 on.
    """
    number = 0 if value is None else number_from_0(value)
    if number is None:
        raise BadPromptError(PromptStatus.MALFORMED, f"the round is {value!r}, and no number from 0 on")
    return number


def number_from_0(value: Any) -> int | None:  # noqa: ANN401
    """Parse a whole number >= 0 from a number or text; None if it is not one."""
    try:
        number = float(value) if isinstance(value, str | int | float) and type(value) is not bool else -1.0
    except ValueError:
        return None
    return int(number) if 0 <= number <= _LARGEST_NUMBER and number == int(number) else None
