"""Damage: of bytes as disks and networks do it, and of values as people do it."""

import copy
import datetime
import random
from collections.abc import Iterator, Sequence
from typing import Any

Path = tuple[str | int, ...]

# Values that somebody could write where another is meant.
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 64, 1000, 2**31, 2**63, 2**64, 10**30, -(2**63)),
    *(0.0, 0.5, 1.0, 1.5, -0.1, 1e-9, 1e-320, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", " ", "0", "1", "-1", "0.5", "1e-3", "50%", "0,5", "nan", "null", "true", "yes", "demo", "all", "baseline"),
    *("a", "none", "auto", ".", "..", "/", "../x", "~", "~nobody/x", "a\0b", "a\nb", "{x}", "{", "[", "*", "?", "[a"),
    *(
        "é",
        "名",
        "x" * 300,
        "x.json",
        "x.csv",
        "x.parquet",
        "x.jsonl",
        "x.pt",
        "https://",
        "https://x/y.json",
        "s3://a",
    ),
    *([], [[]], [None], {}, {"a": 1}, [1, 2, 3], [0.5], [[0.5, 0.5]], ["a", "b"], [True], {"": None}, [[1, 2], [3]]),
    *({"start": 0, "stop": 1, "step": 0}, {"start": 0, "stop": 1, "step": 0.25}, {"low": 0, "high": 0}),
    *({1: 2}, {None: None}, {True: 1}, {"a": {"b": {"c": []}}}, datetime.date(2024, 1, 31)),
)


def damaged_bytes(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A file's content with some damage; ``others`` are files that a part may come from."""
    if not content:
        return content
    place, other = chance.randrange(len(content)), chance.randrange(len(content))
    match chance.randrange(7):
        case 0:
            return flipped(content, chance, chance.randint(1, 30), len(content))
        case 1:  # in the header, which has the sizes and offsets
            return flipped(content, chance, chance.randint(1, 6), 64)
        case 2:
            return content[:place]
        case 3:  # a part is missing, or repeated
            return content[:place] + content[other:]
        case 4:  # a hole
            first, last = sorted((place, other))
            return content[:first] + bytes(last - first) + content[last:]
        case 5:  # at the end, where Parquet, ZIP and MP4 have their lists
            tail = content[-200:]
            return content[:-200] + flipped(tail, chance, chance.randint(1, 6), len(tail))
        case _:
            foreign = chance.choice(others)
            return content[:place] + foreign[chance.randrange(len(foreign) + 1) :]


def flipped(content: bytes, chance: random.Random, count: int, below: int) -> bytes:
    """Content with some bytes changed, all of them before a position."""
    found = bytearray(content)
    for _ in range(count):
        found[chance.randrange(min(below, len(found)))] ^= chance.randrange(1, 256)
    return bytes(found)


def places(values: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all values in a tree of mappings and lists, without its root."""
    parts = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for name, inner in parts:
        yield (*path, name)
        yield from places(inner, (*path, name))


def at(values: Any, path: Path) -> Any:
    for part in path:
        values = values[part]
    return values


def edited(values: Any, chance: random.Random, junk: Sequence[Any] = JUNK) -> tuple[Any, Path]:
    """A copy of a tree with one edit, and the path of what was edited."""
    found = copy.deepcopy(values)
    everywhere = list(places(found))
    if not everywhere:
        return found, ()
    path = chance.choice(everywhere)
    around, name = at(found, path[:-1]), path[-1]
    value, key = copy.deepcopy(chance.choice(junk)), None
    match chance.randrange(10):
        case 0 | 1 | 2 | 3:
            around[name] = value
        case 4:
            del around[name]
        case 5:  # a typing mistake, or another key
            key = _mistyped(str(name), chance)
        case 6:
            key = str(chance.choice(everywhere)[-1])
        case 7:
            around[name] = copy.deepcopy(at(found, chance.choice(everywhere)))
        case 8:
            around[name] = [around[name]] if chance.random() < 0.5 else {str(name): around[name]}
        case _:
            _add(around[name], value, chance)
    if key is not None and isinstance(around, dict) and key != name:
        around[key] = around.pop(name)
        path = (*path[:-1], key)
    return found, path


def _mistyped(name: str, chance: random.Random) -> str:
    place = chance.randrange(len(name) + 1)
    return chance.choice(
        (name[:place] + name[place + 1 :], name[:place] + "x" + name[place:], name.upper(), name + " ")
    )


def _add(inside: Any, value: Any, chance: random.Random) -> None:
    if isinstance(inside, list):
        inside.insert(chance.randrange(len(inside) + 1), value)
    elif isinstance(inside, dict):
        inside[chance.choice(("extra", "name", "source", "sweep", "grid", "a.b", "", "class"))] = value
