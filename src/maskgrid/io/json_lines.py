"""JSON documents with long lists, an entry a line, holding one entry at a time."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from maskgrid.io.files import atomic_write


def write_head(stream: IO[bytes], head: Mapping[str, Any]) -> None:
    """Begin a document: an entry a line, numpy's numbers as the shortest decimals that read back to the same."""
    stream.write(b"{\n")
    for name, content in head.items():
        stream.write(b'"%s": %s,\n' % (name.encode(), orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)))


def write_list(stream: IO[bytes], name: bytes, parts: Iterable[bytes]) -> None:
    """Write a JSON list, an entry a line, from entries or from lines of several entries."""
    stream.write(b'"%s": [' % name)
    between = b"\n"
    for part in parts:
        stream.write(between)
        stream.write(part)
        between = b",\n"
    stream.write(b"\n]")


def write_document(path: Path, head: Mapping[str, Any], lists: Mapping[str, Iterable[bytes]]) -> None:
    """Write a document of a head and lists, replaced in one step when it is complete.

    Args:
        path: where to.
        head: what comes before the lists.
        lists: by name; the entries of each as JSON.
    """
    with atomic_write(path) as stream:
        write_head(stream, head)
        for number, (name, lines) in enumerate(lists.items()):
            stream.write(b",\n" if number else b"")
            write_list(stream, name.encode(), lines)
        stream.write(b"\n}\n")
