"""Split images into shards, one per job: the leaves of a binary trie over the hash of the image key.

Shards depend only on the set of images, not on order or history. So a new image changes one shard, and the results of
all others stay valid.
"""

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

_HASH_BITS = 256


@dataclass(frozen=True, slots=True)
class Shard:
    """A leaf of the trie.

    Attributes:
        name: short, safe in file names, and determined by the place in the trie: ``all`` for the root, else the
            depth and the hexadecimal value of the leaf's bits, ``d03-5`` for 101.
        keys: the members' image keys, sorted; at least one.
        digest: sha256 (hexadecimal) of the members' keys and contents.
    """

    name: str
    keys: tuple[str, ...]
    digest: str


def assign_shards(keys_to_sha: Mapping[str, str], shard_size: int) -> list[Shard]:
    """Put each image into a shard.

    A leaf with more than ``shard_size`` images splits by the next bit of sha256(image key). So adding an image changes
    one shard, splits one, or makes a new one; removing an image does the reverse.

    Args:
        keys_to_sha: image key to the sha256 of the file's content.
        shard_size: maximum number of images in a shard; at least 1.

    Returns:
        The shards, sorted by name; none is empty, and each key is in exactly one.

    Raises:
        ValueError: ``shard_size`` is below 1.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}; a shard holds at least 1 image")
    hashed = sorted((_key_hash(key), key) for key in keys_to_sha)
    shards = [
        _shard(depth, prefix, sorted(key for _, key in hashed[start:stop]), keys_to_sha)
        for depth, prefix, start, stop in _leaves([value for value, _ in hashed], shard_size)
    ]
    return sorted(shards, key=lambda shard: shard.name)


def members_digest(members: Iterable[tuple[str, str]]) -> str:
    """Hash the members of a shard: pairs of image key and content sha256, sorted by key."""
    digest = hashlib.sha256()
    for key, sha256 in members:
        # As JSON, because a key may contain any separator.
        digest.update(orjson.dumps([key, sha256]))
    return digest.hexdigest()


class ShardNames:
    """Names of shards of any time, by their places in the trie."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names; others than of shards are ignored."""
        self._below: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for name in names:
            if (place := _place(name)) is not None:
                depth, prefix = place
                for up in range(depth + 1):
                    self._below.setdefault((depth - up, prefix >> up), []).append((up, name))

    def related(self, name: str) -> list[str]:
        """The shards that images of this shard may have been in: itself, then those above and below, nearest first."""
        place = _place(name)
        if place is None:
            return []
        above = ((up, (place[0] - up, place[1] >> up)) for up in range(1, place[0] + 1))
        found = [(up, other) for up, at in above for distance, other in self._below.get(at, ()) if distance == 0]
        return [other for _, other in sorted([*self._below.get(place, ()), *found])]


def _place(name: str) -> tuple[int, int] | None:
    """The inverse of :func:`_name`; None for other names."""
    if name == "all":
        return 0, 0
    found = re.fullmatch(r"d(\d{2,})-([0-9a-f]+)", name)
    return (int(found[1]), int(found[2], 16)) if found else None


def _leaves(hashes: Sequence[int], shard_size: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield depth, bits, and the range in the sorted ``hashes`` of each non-empty leaf."""
    pending = [(0, 0, 0, len(hashes))]
    while pending:
        depth, prefix, start, stop = pending.pop()
        if stop - start > shard_size:
            right = prefix * 2 + 1
            middle = bisect_left(hashes, right << (_HASH_BITS - depth - 1), start, stop)
            pending += [(depth + 1, right, middle, stop), (depth + 1, right - 1, start, middle)]
        elif stop > start:
            yield depth, prefix, start, stop


def _shard(depth: int, prefix: int, keys: Sequence[str], keys_to_sha: Mapping[str, str]) -> Shard:
    return Shard(_name(depth, prefix), tuple(keys), members_digest((key, keys_to_sha[key]) for key in keys))


def _name(depth: int, prefix: int) -> str:
    if depth == 0:
        return "all"
    digits = -(-depth // 4)
    return f"d{depth:02d}-{prefix:0{digits}x}"


def _key_hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest(), "big")
