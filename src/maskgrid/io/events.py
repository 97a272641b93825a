"""Tell the process that started the workflow what happens in its jobs, if it listens.

``maskgrid run`` opens a Unix datagram socket and names it in an environment variable. Each event is one JSON object. A
job whose parent does not listen, as on another machine, works on in silence.
"""

import os
import socket
from typing import Any

import orjson

SOCKET = "MASKGRID_EVENTS"
_WAIT_S = 5.0  # a listener that is stopped, as by Ctrl-Z, must not hold up the work for long


def listened() -> bool:
    """Return whether a listener is named."""
    return SOCKET in os.environ


def send(event: dict[str, Any], wait: bool = False) -> None:
    """Send an event, or drop it: if nobody listens, or if the listener is busy and ``wait`` is False."""
    path = os.environ.get(SOCKET)
    if path is None:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(_WAIT_S if wait else 0.0)
            channel.sendto(orjson.dumps(event, default=str), path)
    except OSError:
        return  # not an error: events are for display alone
