"""Frames that are tracked but not yet given away: objects that are found later can still get masks on them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from maskgrid.masks import rle
from maskgrid.tracked.records import TrackedMask


def is_seen(mask: TrackedMask) -> bool:
    """Whether the network sees the object."""
    return mask.area_px > 0 and mask.object_score_logit > 0


class HeldFrames:
    """The last frames with their masks, the earliest first."""

    def __init__(self, most: int) -> None:
        """Set up with the number of frames to hold back; 0 for none."""
        self._most = most
        self._masks: dict[int, dict[int, TrackedMask]] = {}  # by frame and object

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self._masks)

    def __iter__(self) -> Iterator[int]:
        """The frames, the earliest first."""
        return iter(self._masks)

    @property
    def is_over(self) -> bool:
        """Whether there are more frames than must be held."""
        return len(self._masks) > self._most

    def add(self, frame: int, masks: Iterable[TrackedMask]) -> None:
        """Add the next frame."""
        self._masks[frame] = {mask.object_id: mask for mask in masks}

    def take(self) -> tuple[int, list[TrackedMask]]:
        """Remove the earliest frame and return it."""
        frame = next(iter(self._masks))
        return frame, list(self._masks.pop(frame).values())

    def backwards(self) -> list[int]:
        """The frames, the latest first."""
        return list(reversed(self._masks))

    def seen(self, frame: int) -> list[TrackedMask]:
        """The masks of the objects that are seen on a frame."""
        return [mask for mask in self._masks[frame].values() if is_seen(mask)]

    def amend(self, masks: Sequence[TrackedMask], *, apart: bool) -> None:
        """Give an object masks on frames where it has none, or is out of sight.

        Args:
            masks: of one object, on frames that are held.
            apart: leave pixels to the objects that have them already.
        """
        for mask in masks:
            on_frame = self._masks[mask.frame]
            there = on_frame.get(mask.object_id)
            if there is None or not is_seen(there):
                on_frame[mask.object_id] = _cut(mask, self.seen(mask.frame)) if apart else mask
                self._masks[mask.frame] = dict(sorted(on_frame.items()))

    def plain(self) -> list[list[Any]]:
        """The content as lists, numbers and text, for snapshots: frame, then its masks."""
        return [[frame, [_plain(mask) for mask in masks.values()]] for frame, masks in self._masks.items()]

    def restore(self, plain: Iterable[Sequence[Any]]) -> None:
        """Add what :meth:`plain` returned."""
        for frame, masks in plain:
            self.add(frame, [_restored(frame, mask) for mask in masks])


def _cut(mask: TrackedMask, others: Sequence[TrackedMask]) -> TrackedMask:
    if not others or not mask.area_px:
        return mask
    taken = rle.decode(rle.merge([other.counts for other in others], mask.size_hw), mask.size_hw)
    rest = np.asarray(mask.segmentation & ~taken)
    score = mask.object_score_logit
    return TrackedMask(mask.frame, mask.object_id, rle.encode(rest), int(rest.sum()), score, mask.size_hw)


def _plain(mask: TrackedMask) -> list[Any]:
    return [mask.object_id, mask.counts.decode("ascii"), mask.area_px, mask.object_score_logit, list(mask.size_hw)]


def _restored(frame: int, plain: Sequence[Any]) -> TrackedMask:
    object_id, counts, area_px, score, (height, width) = plain
    return TrackedMask(frame, object_id, counts.encode("ascii"), area_px, score, (height, width))
