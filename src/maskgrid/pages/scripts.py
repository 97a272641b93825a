"""Data for pages: scripts beside them, since a page opened as a file can read no other kind of file."""

import orjson


def script(function: str, fingerprint: str, *values: object) -> bytes:
    """A script that calls a function of the page; what it was made from comes first, so that ``verify`` finds it."""
    texts = [orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY) for value in (fingerprint, *values)]
    return b"maskgrid.%s(%s);\n" % (function.encode(), b",\n".join(texts))
