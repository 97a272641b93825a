"""How many of an image's pixels lie in one or more masks, and in two or more, for any subset of many masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.masks.rle import run_lengths

# Segments whose bitsets are in memory at once, before they are merged.
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Coverage:
    """An image's pixels, counted by the set of masks that covers them.

    Pixels are read column by column, as in run-length codes. Between two neighbouring run boundaries, all pixels lie in
    the same masks. Such segments are added up if their masks are the same, since only the number of pixels matters. A
    subset of the masks is then measured without going back to the image.

    Attributes:
        masks: uint64 (regions, ceil(n_masks / 64)); bit ``i % 64`` of word ``i // 64`` is set if mask i covers the
            region.
        pixels: int64 (regions,), pixels that exactly these masks cover. Pixels in no mask are left out.
        n_masks: the number of masks.
    """

    masks: NDArray[np.uint64]
    pixels: NDArray[np.int64]
    n_masks: int

    @classmethod
    def of(cls, counts: Sequence[bytes], size_hw: tuple[int, int]) -> Self:
        """Count an image's pixels by the masks that cover them.

        Args:
            counts: the masks' compressed run-length codes. A mask given twice counts as two masks.
            size_hw: the image's height and width in pixels.

        Raises:
            ValueError: a code is malformed, or its runs do not add up to the image.
        """
        n_words = -(-len(counts) // 64)
        masks, pixels = np.empty((0, n_words), np.uint64), np.empty(0, np.int64)
        for more_masks, more_pixels in _segments(counts, size_hw[0] * size_hw[1]):
            masks, pixels = _merge(np.concatenate([masks, more_masks]), np.concatenate([pixels, more_pixels]))
        inside = masks.any(axis=1)
        return cls(masks[inside], pixels[inside], len(counts))

    def measure(self, member: NDArray[np.bool_]) -> tuple[int, int]:
        """Count the pixels of a subset of the masks.

        Args:
            member: bool (n_masks,), which masks.

        Returns:
            Pixels in at least one, and in at least two, of these masks.

        Raises:
            ValueError: ``member`` does not have length ``n_masks``.
        """
        if member.shape != (self.n_masks,):
            raise ValueError(f"member has shape {member.shape}, but there are {self.n_masks} masks")
        chosen = np.zeros(self.masks.shape[1] * 64, np.bool_)
        chosen[: self.n_masks] = member
        words = np.packbits(chosen, bitorder="little").view("<u8")
        depth = np.bitwise_count(self.masks & words).sum(axis=1, dtype=np.int64)
        return int(self.pixels[depth >= 1].sum()), int(self.pixels[depth >= 2].sum())


class Depths:
    """The same for many masks, of which bitsets would be too long: each subset is counted along the image."""

    def __init__(self, counts: Sequence[bytes], size_hw: tuple[int, int]) -> None:
        """Order the places where masks begin and end; arguments and errors as for :meth:`Coverage.of`."""
        n_pixels = size_hw[0] * size_hw[1]
        # From the second zero on, a mask begins and ends in turn; the last place is the image's end, at any depth.
        ends = [_boundaries(code, n_pixels)[2:] for code in counts]
        places = np.concatenate([np.zeros(0, np.int64), *ends])
        order = np.argsort(places, kind="stable")
        self.lengths = np.diff(places[order], append=n_pixels)
        self.mask = np.repeat(np.arange(len(counts), dtype=np.int32), [len(one) for one in ends])[order]
        begins = [np.arange(len(one)) % 2 == 0 for one in ends]
        self.step = np.where(np.concatenate([np.zeros(0, np.bool_), *begins]), 1, -1).astype(np.int8)[order]

    def measure(self, member: NDArray[np.bool_]) -> tuple[int, int]:
        """As :meth:`Coverage.measure`."""
        depth = np.cumsum(np.where(member[self.mask], self.step, np.int8(0)), dtype=np.int32)
        return int(self.lengths[depth >= 1].sum()), int(self.lengths[depth >= 2].sum())


def _segments(counts: Sequence[bytes], n_pixels: int) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
    """Bitsets and lengths of the segments between run boundaries, in chunks of bounded size."""
    if not counts:
        return
    boundaries = [_boundaries(code, n_pixels) for code in counts]
    positions = np.concatenate(boundaries)
    mask = np.repeat(np.arange(len(counts)), [len(part) for part in boundaries])
    order = np.argsort(positions, kind="stable")
    positions, mask = positions[order], mask[order]
    edges, starts = np.unique(positions, return_index=True)
    # The last edge is the image's end, where no segment starts.
    lengths = np.diff(edges)
    state = np.zeros(-(-len(counts) // 64), np.uint64)
    for low in range(0, len(lengths), _CHUNK):
        high = min(low + _CHUNK, len(lengths))
        turned = slice(starts[low], starts[high])
        segment = np.searchsorted(edges[low:high], positions[turned])
        words = np.zeros((high - low, len(state)), np.uint64)
        words[0] = state
        bits = np.uint64(1) << (mask[turned] % 64).astype(np.uint64)
        # Each boundary switches its mask on or off; a run of length 0 switches it twice, which changes nothing.
        np.bitwise_xor.at(words, (segment, mask[turned] // 64), bits)
        np.bitwise_xor.accumulate(words, axis=0, out=words)
        state = words[-1]
        yield _merge(words, lengths[low:high])


def _boundaries(code: bytes, n_pixels: int) -> NDArray[np.int64]:
    """Where the runs of a mask end, including the image's start and end."""
    runs = run_lengths(code)
    if (runs < 0).any() or int(runs.sum()) != n_pixels:
        raise ValueError(f"run lengths add up to {int(runs.sum())} and not to {n_pixels} pixels")
    # The image's start twice, which switches nothing, so that a segment starts there even without a run boundary.
    return np.concatenate([np.zeros(2, np.int64), np.cumsum(runs)])


def _merge(words: NDArray[np.uint64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Add up the lengths of equal bitsets."""
    order = np.argsort(_hash(words), kind="stable")
    words, lengths = words[order], lengths[order]
    # Neighbours are compared in full. If hashes collide, equal bitsets may stay apart, but no count changes.
    new = np.ones(len(words), np.bool_)
    new[1:] = (words[1:] != words[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    return words[starts], np.add.reduceat(lengths, starts)


def _hash(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash each row of words to one word."""
    mixed = np.zeros(len(words), np.uint64)
    for column in words.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed
