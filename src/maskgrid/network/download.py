"""Download large files: resumable, verified, and either absent or complete."""

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO

from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import sha256_of
from maskgrid.io.progress import shown_bytes
from maskgrid.io.wording import size

# Waits before each retry. They start over whenever an attempt gets further.
RETRY_WAITS_S = (1.0, 4.0, 15.0)
_TIMEOUT_S = 60.0
_BLOCK = 1 << 20
_TRANSIENT_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})


class _TransientError(Exception):
    """The network failed in a way that may pass."""


class _RefusedError(Exception):
    """The server refuses to send the file; a retry won't help."""


def fetch(url: str, target: Path, size_bytes: int, sha256: str) -> None:
    """Download a file to ``target``, which appears once it is complete and verified.

    Partial content is in ``<target>.part``, where the next call resumes. Only one process at a time may fetch to a
    target: the caller holds a lock.

    Args:
        url: where the file is, ``https`` or ``http``.
        target: where it goes; its folder exists.
        size_bytes: its size.
        sha256: its hash, hexadecimal.

    Raises:
        UserError: the server does not have the file, the network or the disk fails, or the content is wrong.
    """
    part = target.with_name(target.name + ".part")
    try:
        if _size(part) > size_bytes:
            part.unlink()
        with shown_bytes(target.name, _size(part), size_bytes) as show:
            _complete(url, part, size_bytes, show)
    except (_TransientError, _RefusedError) as error:
        done = _size(part)
        again = f"run again to get the rest ({size(done)} of {size(size_bytes)} are here)" if done else "run again"
        raise UserError(
            f"{target.name} could not be fetched: {error}; {again}, or download {url} on another machine and copy it "
            f"to {target}"
        ) from error
    if (found := sha256_of(part)) != sha256:
        part.unlink()
        raise UserError(
            f"{url} sent a wrong file (sha256 {found[:12]}..., not {sha256[:12]}...), which was removed; run again, "
            "and if that does not help, download it elsewhere: a proxy or the server changes it"
        )
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(target)


def _complete(url: str, part: Path, size_bytes: int, show: Callable[[int], None]) -> None:
    best, waits = _size(part), iter(RETRY_WAITS_S)
    while _size(part) < size_bytes:
        try:
            _continue(url, part, size_bytes, show)
        except _TransientError:
            if _size(part) > best:
                best, waits = _size(part), iter(RETRY_WAITS_S)
            wait = next(waits, None)
            if wait is None:
                raise
            time.sleep(wait)


def _continue(url: str, part: Path, size_bytes: int, show: Callable[[int], None]) -> None:
    """Append to ``part`` until it is complete.

    Raises:
        _TransientError: the connection fails or ends early.
        _RefusedError: a retry won't help.
        UserError: the disk fails.
    """
    done = _size(part)
    with _answer(url, part, done) as response:
        resumed = _is_resumed(response, done)
        _require_size(response, size_bytes)
        try:
            with part.open("ab" if resumed else "wb") as stream:
                _copy(response, stream, size_bytes, show)
        except OSError as error:  # the disk's: _copy catches the network's
            raise UserError(
                f"{part} could not be written: {error.strerror}. Make room, or set the environment variable "
                "MASKGRID_CACHE to another folder, and run again: the part downloaded so far is kept."
            ) from error
    if _size(part) < size_bytes:
        raise _TransientError("the connection was cut")


def _answer(url: str, part: Path, done: int) -> http.client.HTTPResponse:
    """Request the bytes from ``done`` on."""
    headers = {"User-Agent": "maskgrid"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        elif error.code not in _TRANSIENT_CODES:
            raise _RefusedError(f"the server answers {error.code} {error.reason}") from error
        raise _TransientError(f"the server answers {error.code}") from error
    except (http.client.HTTPException, OSError) as error:
        raise _TransientError(f"no connection ({_plain(error)})") from error
    return response


def _plain(error: BaseException) -> str:
    """What went wrong, without numbers and wrappers."""
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or str(inner)


def _is_resumed(response: http.client.HTTPResponse, done: int) -> bool:
    # A server without support for ranges answers 200 and sends the whole file, which is fine too.
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return False
    answered = response.getheader("Content-Range") or "nothing"
    if not answered.startswith(f"bytes {done}-"):
        raise _RefusedError(f"asked for the bytes from {done} on, but the server answers with {answered}")
    return True


def _require_size(response: http.client.HTTPResponse, size_bytes: int) -> None:
    # A login page, as of a hotel network, differs from a truncated file by the size that it announces.
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        total = (response.getheader("Content-Range") or "").rpartition("/")[2]
    else:
        total = response.getheader("Content-Length") or ""
    if total.isdecimal() and int(total) != size_bytes:
        raise _RefusedError(f"the server offers another file, of {total} bytes; a proxy or login page, perhaps")


def _copy(response: IO[bytes], stream: IO[bytes], size_bytes: int, show: Callable[[int], None]) -> None:
    while (left := size_bytes - stream.tell()) > 0:
        try:
            block = response.read(min(_BLOCK, left))
        except (http.client.HTTPException, OSError) as error:
            raise _TransientError(f"the connection broke ({error})") from error
        if not block:
            return
        stream.write(block)
        show(stream.tell())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
