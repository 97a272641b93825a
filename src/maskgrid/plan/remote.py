"""Sources given by URL: their files, and where the workflow puts them.

The library does not fetch them itself: the workflow's rule ``fetch`` puts each file into ``results/fetched``, by one of
Snakemake's storage plugins, and the code that reads a source finds it there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from maskgrid.config.models import Config
from maskgrid.io.errors import UserError
from maskgrid.io.listings import ARCHIVE_SUFFIX, VIDEO_SUFFIXES, has_magic, in_braces

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)", re.DOTALL)
_TABLES = frozenset({".json", ".csv", ".parquet", ".jsonl"})
# By config key: the suffixes that a URL may have, and advice for any other.
_ALLOWED = {
    "dataset.source": (
        frozenset({ARCHIVE_SUFFIX}),
        "tar archives, https://host/images-000.tar or images-{000..009}.tar: a server's folders cannot be listed",
    ),
    "dataset.ground_truth": (frozenset({".json"}), "a COCO .json"),
    "prompts.source": (_TABLES, "a file .json, .csv, .parquet or .jsonl"),
    "tracking.source": (VIDEO_SUFFIXES, "one video file: a server's folders cannot be listed"),
    "tracking.prompts": (_TABLES, "a file .json, .csv, .parquet or .jsonl"),
    "tracking.ground_truth": (frozenset({".json"}), "a .json: a server's folders cannot be listed"),
}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that a config names by URL.

    Attributes:
        key: the config's key.
        url: the URL, as the storage plugin takes it.
        path: where the file is fetched to, relative to the folder of fetched files.
    """

    key: str
    url: str
    path: str


def is_url(source: str | None) -> bool:
    """Return whether a source is a URL, of any scheme."""
    return source is not None and _URL.match(source) is not None


def fetched_path(url: str, folder: Path) -> Path:
    """The path of a URL's file in the folder of fetched files; numbers in braces stay as they are."""
    return folder / url.partition("://")[2].partition("?")[0]


def remote_files(config: Config) -> list[RemoteFile]:
    """The files that a config names by URL, each once.

    Raises:
        UserError: a URL cannot be fetched for its key, or leads out of the folder of fetched files.
    """
    sources = {
        "dataset.source": config.dataset.source,
        "dataset.ground_truth": config.dataset.ground_truth,
        "prompts.source": config.prompts.source if config.prompts else None,
        "tracking.source": config.tracking.source if config.tracking else None,
        "tracking.prompts": config.tracking.prompts if config.tracking else None,
        "tracking.ground_truth": config.tracking.ground_truth if config.tracking else None,
    }
    files = {file.url: file for key, source in sources.items() for file in _files(key, source)}
    return list(files.values())


def _files(key: str, source: str | None) -> Iterator[RemoteFile]:
    found = _URL.match(source) if source else None
    if found is None:
        return
    scheme, location = found.groups()
    path, mark, query = location.partition("?")
    suffixes, advice = _ALLOWED[key]
    pure = PurePosixPath(path)
    if pure.suffix.lower() not in suffixes or len(pure.parts) < 2 or has_magic(path):
        raise UserError(f"{key}: {source} cannot be fetched. Give {advice}.")
    if ".." in pure.parts:
        raise UserError(f"{key}: {source} contains '..'; give the URL without it.")
    root = PurePosixPath(path.partition("{")[0] + "x").parent
    names = [name for name, _ in in_braces(f"/{path}")] if "{" in path else [pure.name]
    for name in names:
        yield RemoteFile(key, f"{scheme}://{root / name}{mark}{query}", str(root / name))
