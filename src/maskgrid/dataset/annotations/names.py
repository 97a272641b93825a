"""Find the dataset's images by the names that users' files give them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from maskgrid.io.listings import find_key, named_key, one_name, valid_key

_MOST_COMPARED = 1000  # names, letter by letter


@dataclass(frozen=True, slots=True)
class NamedImages:
    """The names of the dataset's images.

    Attributes:
        by_path: image keys by absolute path.
        keys: all image keys.
        by_form: keys by their composed Unicode form (:func:`maskgrid.io.listings.one_name`).
        folder: the folder of the file that names images, absolute.
    """

    by_path: Mapping[str, str]
    keys: frozenset[str]
    by_form: Mapping[str, str]
    folder: str

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], folder: Path) -> "NamedImages":
        """Take the names from rows with ``image_key``, ``path`` and, for members of archives, ``archive``."""
        named = [(str(row["image_key"]), row["path"]) for row in rows]
        # Members of an archive have its path; so a path with several keys names none of them.
        keys_of: dict[str, str | None] = {}
        for key, path in named:
            text = valid_key(os.fsdecode(path))
            keys_of[text] = None if text in keys_of else key
        by_path = {path: key for path, key in keys_of.items() if key is not None}
        keys = frozenset(key for key, _ in named)
        return cls(by_path, keys, one_name(keys), os.path.abspath(folder))  # noqa: PTH100 - links stay

    def key(self, name: str) -> str:
        """The key that a name means; for a name of no image, the key that such an image would have.

        A name is an image key, an absolute path, or a path from the folder of the file that names it. Names that differ
        only in how Unicode composes their letters are one, if one image alone is called so.
        """
        found = self.by_path.get(valid_key(name)) or find_key(named_key(name), self.keys, self.by_form)
        if found in self.keys:
            return found
        there = os.path.normpath(os.path.join(self.folder, name))  # noqa: PTH118 - as normpath
        return self.by_path.get(valid_key(there), found)


@dataclass(frozen=True, slots=True)
class NearestNames:
    """Finds the image that a wrong name probably means.

    Attributes:
        by_name: image keys by their file names in lower case, without folder.
        by_stem: the same without suffix.
    """

    by_name: Mapping[str, str]
    by_stem: Mapping[str, str]

    @classmethod
    def of(cls, keys: Iterable[str]) -> "NearestNames":
        """Take all keys."""
        paths = {key: PurePosixPath(key.lower()) for key in keys}
        return cls({path.name: key for key, path in paths.items()}, {path.stem: key for key, path in paths.items()})

    def hint(self, name: str) -> str:
        """``; did you mean 'truck.jpg'?``; empty if no name is near."""
        path = PurePosixPath(name.lower())
        found = self.by_name.get(path.name) or self.by_stem.get(path.name) or self.by_stem.get(path.stem)
        if found is None and len(self.by_name) <= _MOST_COMPARED:
            found = next((self.by_name[near] for near in get_close_matches(path.name, self.by_name, n=1)), None)
        return "" if found is None else f"; did you mean {found!r}?"
