import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgrid.dataset.shards import Shard, assign_shards

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
images = st.dictionaries(keys, st.sampled_from(["aa", "bb"]), max_size=60)
sizes = st.integers(1, 9)


def bits_of(name: str) -> str:
    if name == "all":
        return ""
    depth, value = name[1:].split("-")
    return f"{int(value, 16):0{int(depth)}b}"


def key_bits(key: str) -> str:
    return f"{int(hashlib.sha256(key.encode()).hexdigest(), 16):0256b}"


def changed(before: list[Shard], after: list[Shard]) -> tuple[list[Shard], list[Shard]]:
    """The shards that are in only one of the two lists, compared by name and content."""
    gone = [shard for shard in before if shard not in after]
    new = [shard for shard in after if shard not in before]
    return gone, new


@settings(deadline=None)
@given(images, sizes)
def test_shards_are_a_partition(images, size):
    shards = assign_shards(images, size)
    assert sorted(key for shard in shards for key in shard.keys) == sorted(images)
    assert all(1 <= len(shard.keys) <= size for shard in shards)
    assert all(list(shard.keys) == sorted(shard.keys) for shard in shards)
    assert [shard.name for shard in shards] == sorted({shard.name for shard in shards})


@settings(deadline=None)
@given(images, sizes)
def test_a_leaf_is_no_deeper_than_its_size_requires(images, size):
    for shard in assign_shards(images, size):
        bits = bits_of(shard.name)
        assert all(key_bits(key).startswith(bits) for key in shard.keys)
        if bits:
            assert sum(key_bits(key).startswith(bits[:-1]) for key in images) > size


@settings(deadline=None)
@given(images, sizes, st.randoms())
def test_the_order_of_listing_does_not_matter(images, size, shuffler):
    listing = list(images.items())
    shuffler.shuffle(listing)
    assert assign_shards(dict(listing), size) == assign_shards(images, size)


@settings(deadline=None)
@given(images, sizes, keys)
def test_a_new_image_changes_or_splits_or_makes_one_leaf(images, size, key):
    without = {name: sha for name, sha in images.items() if name != key}
    gone, new = changed(assign_shards(without, size), assign_shards(without | {key: "cc"}, size))
    assert len(gone) <= 1
    assert 1 <= len(new) <= 2
    before = {name for shard in gone for name in shard.keys}
    assert {name for shard in new for name in shard.keys} == before | {key}


@settings(deadline=None)
@given(images.filter(bool), sizes, st.data())
def test_removing_an_image_changes_one_leaf_or_merges_two(images, size, data):
    key = data.draw(st.sampled_from(sorted(images)))
    without = {name: sha for name, sha in images.items() if name != key}
    gone, new = changed(assign_shards(images, size), assign_shards(without, size))
    assert 1 <= len(gone) <= 2
    assert len(new) <= 1
    assert {name for shard in gone for name in shard.keys} == {key}.union(*(shard.keys for shard in new))


@settings(deadline=None)
@given(images.filter(bool), sizes, st.data())
def test_new_content_changes_one_digest(images, size, data):
    key = data.draw(st.sampled_from(sorted(images)))
    before, after = assign_shards(images, size), assign_shards(images | {key: "dd"}, size)
    assert [shard.keys for shard in before] == [shard.keys for shard in after]
    gone, new = changed(before, after)
    assert [key in shard.keys for shard in gone] == [key in shard.keys for shard in new] == [True]


def test_the_digest_separates_key_and_content():
    digests = {
        assign_shards(images, 9)[0].digest
        for images in ({"ab": "c"}, {"a": "bc"}, {"a": "", "b": "c"}, {'a","': "c"}, {"a": ""})
    }
    assert len(digests) == 5


def test_names_are_stable_and_short():
    names = [shard.name for shard in assign_shards({f"{number:06d}.jpg": "" for number in range(20_000)}, 16)]
    assert {len(name) for name in names} <= {len("d10-3ff"), len("d13-1fff")}
    assert len(set(names)) == len(names) > 20_000 / 16
    assert [shard.name for shard in assign_shards({"a.jpg": "", "b.jpg": ""}, 1)] == ["d03-2", "d03-3"]
    assert [shard.name for shard in assign_shards({"a.jpg": "", "b.jpg": ""}, 2)] == ["all"]


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        assign_shards({"a": "b"}, 0)


def test_nothing_to_shard():
    assert assign_shards({}, 64) == []
