"""JSON documents with long lists: one entry per line, one entry in memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from maskgrid.io.files import atomic_write


def dumps(entry: dict[str, Any] | list[Any]) -> bytes:
    """JSON on one line; numpy's float32 as the shortest decimals that read back to the same float32."""
    return orjson.dumps(entry, option=orjson.OPT_SERIALIZE_NUMPY)


def write_document(path: Path, head: Mapping[str, Any], lists: Mapping[str, Iterable[bytes]]) -> None:
    """Write a document of a head and lists.

    Args:
        path: the output file; replaced atomically once complete.
        head: the entries before the lists.
        lists: by name; the entries of each as JSON, one at a time or several joined lines at once.
    """
    with atomic_write(path) as stream:
        stream.write(b"{\n")
        for name, content in head.items():
            stream.write(b'"%s": %s,\n' % (name.encode(), dumps(content)))
        for number, (name, parts) in enumerate(lists.items()):
            stream.write(b",\n" if number else b"")
            _write_list(stream, name, parts)
        stream.write(b"\n}\n")


def _write_list(stream: IO[bytes], name: str, parts: Iterable[bytes]) -> None:
    stream.write(b'"%s": [' % name.encode())
    between = b"\n"
    for part in parts:
        stream.write(between)
        stream.write(part)
        between = b",\n"
    stream.write(b"\n]")
