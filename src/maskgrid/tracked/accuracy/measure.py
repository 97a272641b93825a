"""Measure a video's masklets against its true objects, frame by frame."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgrid.masks import rle
from maskgrid.tracked.accuracy.identities import Identities, IdentityCounts
from maskgrid.tracked.accuracy.objects import ObjectAccuracy, Overlaps


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredFrame:
    """The true objects and the masklets on a frame.

    Attributes:
        truth: the objects whose truth is known here, by number from 0, as compressed run-length codes; empty masks too.
        masks: the masklets, by number from 0, as codes; empty ones may be left out.
        void: pixels that count for nobody, as codes.
        ends: the objects for which this is the first or the last known frame, if those are left out.
    """

    truth: Mapping[int, bytes]
    masks: Mapping[int, bytes]
    void: tuple[bytes, ...] = ()
    ends: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class VideoAccuracy:
    """How well a video's objects were followed.

    Attributes:
        objects: each true object.
        identities: the counts for HOTA and IDF1, over the frames that are measured for all objects.
        n_frames: these frames.
        n_masklets: masklets with a pixel on a frame measured for any object.
    """

    objects: list[ObjectAccuracy]
    identities: IdentityCounts
    n_frames: int
    n_masklets: int


def measure(
    frames: Iterable[MeasuredFrame],
    size_hw: tuple[int, int],
    n_truth: int,
    n_masklets: int,
    pairs: NDArray[np.bool_] | None = None,
) -> VideoAccuracy:
    """Measure a video.

    Args:
        frames: its annotated frames, in order.
        size_hw: their height and width.
        n_truth: number of true objects.
        n_masklets: number of masklets.
        pairs: bool (n_truth, n_masklets), at most one masklet for each object; None to match them by their masks.
    """
    overlaps = Overlaps(np.ones((n_truth, n_masklets), np.bool_) if pairs is None else pairs)
    identities, n_frames, seen = Identities(n_truth, n_masklets), 0, set[int]()
    for frame in frames:
        known = frame.truth.keys() - frame.ends
        if not known:
            continue
        truth, masks = (_with_pixels(codes, frame.void, size_hw) for codes in (frame.truth, frame.masks))
        seen.update(masks)
        iou = rle.pairwise_iou([*truth.values()], [*masks.values()], size_hw)
        measured = np.isin(np.arange(n_truth), [*known])
        overlaps.add(truth, masks, iou, measured, size_hw)
        if measured.all():
            identities.add([*truth], [*masks], iou)
            n_frames += 1
    accuracies = overlaps.best() if pairs is None else overlaps.by_number()
    return VideoAccuracy(accuracies, identities.counts(), n_frames, len(seen))


def _with_pixels(codes: Mapping[int, bytes], void: tuple[bytes, ...], size_hw: tuple[int, int]) -> dict[int, bytes]:
    """The masks that have pixels besides those that do not count."""
    if void:
        counted = ~rle.decode(rle.merge(void, size_hw), size_hw)
        codes = {number: rle.encode(rle.decode(counts, size_hw) & counted) for number, counts in codes.items()}
    areas = rle.areas_px([*codes.values()], size_hw)
    return {number: counts for (number, counts), area in zip(codes.items(), areas, strict=True) if area}
