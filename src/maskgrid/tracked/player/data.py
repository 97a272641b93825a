"""The player's data of one run: frames, masks and objects as scripts, in parts that the page loads as it plays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskgrid.config.models import BASELINE
from maskgrid.io.files import write_bytes
from maskgrid.io.folders import atomic_folder
from maskgrid.io.progress import counted
from maskgrid.masks.packing import packed
from maskgrid.masks.pictures import Thumbnail, colour, data_uri, jpeg
from maskgrid.pages.scripts import script
from maskgrid.tracked.masklets import Run, by_frames, by_objects
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.prompts.checked import VideoPrompt
from maskgrid.tracked.videos.shown_frames import ShownFrames

Row = dict[str, Any]

# Frames in a script: the page loads so many at once.
FRAMES_IN_PART = 16
# Longer side of frames in pixels; masks keep the video's own.
_SIDE = 1024


@dataclass(frozen=True, slots=True)
class Parts:
    """How a run's frames lie in parts.

    Attributes:
        n_frames: frames that were read.
        has_frames: whether the run brings the frames too, and not only its masks.
    """

    n_frames: int
    has_frames: bool

    @classmethod
    def of(cls, run: Run) -> "Parts":
        """The parts of a run; the settings of a sweep share the frames of the config's own."""
        return cls.at(run.setting, run.numbers)

    @classmethod
    def at(cls, setting: str, numbers: range) -> "Parts":
        """The parts of a setting's run over frames with these numbers."""
        return cls(len(numbers), setting == BASELINE)

    def spans(self) -> Iterator[tuple[int, range]]:
        """Each part's number and the positions of its frames."""
        for number, first in enumerate(range(0, self.n_frames, FRAMES_IN_PART)):
            yield number, range(first, min(first + FRAMES_IN_PART, self.n_frames))

    def names(self) -> Iterator[str]:
        """The names of all files of the run."""
        yield "objects.js"
        for number, _ in self.spans():
            yield _name("masks", number)
            if self.has_frames:
                yield _name("frames", number)


def _name(kind: str, number: int) -> str:
    return f"{kind}-{number:05d}.js"


def write_player(run: Run, reading: Reading, prompts: Sequence[VideoPrompt], folder: Path) -> None:
    """Write a run's folder for the player, one part in memory at a time.

    Args:
        run: a tracked video.
        reading: which of its frames are read.
        prompts: the good prompts of the video.
        folder: the output folder; replaced atomically once complete.
    """
    parts, fingerprint = Parts.of(run), run.origin["fingerprint"]
    masks = dict(by_frames(run.path))
    with atomic_folder(folder) as part:
        write_bytes(part / "objects.js", _objects(run, prompts, fingerprint))
        frames = ShownFrames.of(run.video, reading) if parts.has_frames else None
        with counted(parts.n_frames, f"player {run.name}", "frames") as advance:
            for number, span in parts.spans():
                head = {"run": run.name, "part": number}
                pack = _masks([masks.get(run.numbers[position], []) for position in span])
                write_bytes(part / _name("masks", number), script("masks", fingerprint, head, pack))
                if frames is not None:
                    pictures = _pictures(frames, run.video.size_hw, span)
                    write_bytes(part / _name("frames", number), script("frames", fingerprint, head, pictures))
                advance(len(span))


def _pictures(frames: ShownFrames, size_hw: tuple[int, int], span: range) -> list[str | None]:
    """Frames as JPEG in data URIs; None for one that cannot be read any more."""
    shape = Thumbnail.fit(size_hw, _SIDE)
    read = map(frames.read, span)
    return [None if pixels is None else data_uri(jpeg(shape.pixels(pixels))) for pixels in read]


def _masks(frames: Sequence[Sequence[Row]]) -> str:
    """The masks of a part's frames: how many on each, whose they are, and their codes."""
    seen = [[row for row in rows if row["area_px"]] for rows in frames]
    columns = {"n_masks": [len(rows) for rows in seen], "object": [row["object_id"] for rows in seen for row in rows]}
    return packed(columns, [row["counts"] for rows in seen for row in rows])


def _objects(run: Run, prompts: Sequence[VideoPrompt], fingerprint: str) -> bytes:
    """What the lanes show: every object's areas and scores, and its prompts."""
    masks = [row.prompt.mask_counts for row in prompts if row.prompt is not None and row.prompt.mask_counts]
    places = {number: position for position, number in enumerate(run.numbers)}
    columns = {
        "objects": [_object(rows, places) for rows in by_objects(run.path)],
        "prompts": list(_prompts(prompts, places)),
    }
    return script("objects", fingerprint, {"run": run.name}, packed(columns, masks))


def _object(rows: Sequence[Row], places: Mapping[int, int]) -> Row:
    first = rows[0]
    return {
        "id": first["object_id"],
        "name": first["source_id"],
        "category": first["category"],
        "colour": colour("masklet", first["object_id"]),
        "at": [places[row["frame"]] for row in rows],
        "area_px": [row["area_px"] for row in rows],
        # The network's probability that the object is there, in per cent.
        "score": [round(100 / (1 + float(np.exp(-row["object_score_logit"])))) for row in rows],
    }


def _prompts(prompts: Sequence[VideoPrompt], places: Mapping[int, int]) -> Iterator[Row]:
    """Prompts with the position of their frame; ``mask`` says which of the packed masks is theirs."""
    n_masks = 0
    for row in prompts:
        if row.prompt is None or row.frame is None or row.frame not in places:
            continue
        points, labels, box = row.prompt.point_coords, row.prompt.point_labels, row.prompt.box_xyxy
        yield {
            "object": row.object_id,
            "at": places[row.frame],
            "round": row.round,
            "points": [] if points is None else points.tolist(),
            "labels": [] if labels is None else labels.tolist(),
            "box_xyxy": None if box is None else box.tolist(),
            "mask": n_masks if row.prompt.mask_counts else None,
        }
        n_masks += bool(row.prompt.mask_counts)
