"""Data for pages: JSON in a script element, and scripts beside a page, which a page from a file can load too."""

import orjson


def script(function: str, fingerprint: str, *values: object) -> bytes:
    """A script that calls a function of the page; what it was made from comes first, so that ``verify`` finds it."""
    texts = [orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY) for value in (fingerprint, *values)]
    return b"maskgrid.%s(%s);\n" % (function.encode(), b",\n".join(texts))


def embedded(data: object) -> str:
    """Encode as JSON for a script element: without ``<``, nothing in it ends the element."""
    code = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return code.replace("<", "\\u003c")
