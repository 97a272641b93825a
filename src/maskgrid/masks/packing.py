"""Numbers and masks as short text for a page: deflated, then base64."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from maskgrid.masks import rle

_LEVEL = 6
_LONGEST = 0xFFFF  # of a run in two bytes; longer ones follow in four


def packed(columns: Mapping[str, Any], codes: Sequence[bytes | None]) -> str:
    """Pack columns with masks; ``pages/explorer/packing.js`` unpacks them.

    The bytes before deflation: the length of the JSON (4 bytes, little-endian), the JSON of the columns with
    ``n_runs`` for each mask, the lower bytes of all run lengths, their upper bytes, and the runs that do not fit into
    two bytes (4 bytes each). Lower and upper bytes apart deflate to three quarters of COCO's compressed codes.

    Args:
        columns: plain values and NumPy arrays.
        codes: COCO's compressed run-length codes; None for a mask that is not drawn.
    """
    runs = [rle.run_lengths(code or b"") for code in codes]
    head = {**columns, "n_runs": [len(one) for one in runs]}
    content = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    every = np.concatenate([np.zeros(0, np.int64), *runs])
    short = np.minimum(every, _LONGEST)
    planes = [(short & 0xFF).astype(np.uint8), (short >> 8).astype(np.uint8)]
    long = every[every >= _LONGEST].astype("<u4")
    parts = [len(content).to_bytes(4, "little"), content, *(one.tobytes() for one in (*planes, long))]
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    squeezed = b"".join([*map(deflate.compress, parts), deflate.flush()])
    return base64.b64encode(squeezed).decode("ascii")
