"""JSON documents with long lists: one entry per line, one entry in memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from maskgrid.io.files import atomic_write


def write_head(stream: IO[bytes], head: Mapping[str, Any]) -> None:
    """Write the start of a document, one entry per line; numpy numbers as the shortest decimals that round-trip."""
    stream.write(b"{\n")
    for name, content in head.items():
        stream.write(b'"%s": %s,\n' % (name.encode(), orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)))


def write_list(stream: IO[bytes], name: bytes, parts: Iterable[bytes]) -> None:
    """Write a JSON list, one entry per line. A part may also hold several entries, already joined."""
    stream.write(b'"%s": [' % name)
    between = b"\n"
    for part in parts:
        stream.write(between)
        stream.write(part)
        between = b",\n"
    stream.write(b"\n]")


def write_document(path: Path, head: Mapping[str, Any], lists: Mapping[str, Iterable[bytes]]) -> None:
    """Write a document of a head and lists.

    Args:
        path: the output file; replaced atomically once complete.
        head: the entries before the lists.
        lists: by name; each entry as JSON.
    """
    with atomic_write(path) as stream:
        write_head(stream, head)
        for number, (name, lines) in enumerate(lists.items()):
            stream.write(b",\n" if number else b"")
            write_list(stream, name.encode(), lines)
        stream.write(b"\n}\n")
