"""Number the objects of a video."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

_LARGEST_ID = 2**31 - 1  # object_id is an int32
# A whole number from 1 in its usual form, or as pandas writes it in a column with empty cells.
_WHOLE = re.compile(r"([1-9][0-9]*)(?:\.0+)?")


@dataclass(frozen=True, slots=True)
class ObjectName:
    """How a source names an object.

    Attributes:
        text: the id as written; for a row without an id, the row's number.
        row: for a row without an id, its number.
    """

    text: str
    row: int | None = None


def whole_id(text: str) -> int | None:
    """The number that an id is, as an object's number; None if it is none."""
    match = _WHOLE.fullmatch(text)
    number = int(match[1]) if match else 0
    return number if 0 < number <= _LARGEST_ID else None


def object_ids(names: Sequence[ObjectName]) -> dict[ObjectName, int]:
    """Number a video's objects.

    An id that is a whole number from 1 is kept, whatever the other ids are: ``7.0`` is 7. A row without an id gets its
    row's number unless an object has that id. All others get the lowest free numbers, in the order of the source.
    """
    numbers = {name: number for name in names if name.row is None and (number := whole_id(name.text)) is not None}
    taken = set(numbers.values())
    for name in names:
        if name.row is not None and name.row not in taken:
            numbers[name] = name.row
    taken.update(numbers.values())
    free = (number for number in count(1) if number not in taken)
    for name in names:
        if name not in numbers:
            numbers[name] = next(free)
    return numbers
