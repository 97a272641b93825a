"""JSON documents with long lists, an entry a line, holding one entry at a time."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from maskgrid.files import atomic_write


def write_head(stream: IO[bytes], head: Mapping[str, Any]) -> None:
    """Begin a document: an entry a line, numpy's numbers as the shortest decimals that read back to the same."""
    stream.write(b"{\n")
    for name, content in head.items():
        stream.write(b'"%s": %s,\n' % (name.encode(), orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)))


def write_list(stream: IO[bytes], name: bytes, lines: Iterable[bytes]) -> int:
    """Write a JSON list, an entry a line; returns how many there were."""
    n_lines = 0
    stream.write(b'"%s": [' % name)
    for line in lines:
        stream.write(b",\n" if n_lines else b"\n")
        stream.write(line)
        n_lines += 1
    stream.write(b"\n]")
    return n_lines


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
