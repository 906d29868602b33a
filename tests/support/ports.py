"""Ports on loopback for programs that cannot be told to let the system choose one."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

_held: list[socket.socket] = []  # for as long as the tests run


def free_port() -> int:
    """One that nobody listens on, outside the range from which the system gives its own.

    A program takes seconds to listen on it; no server that another test starts meanwhile gets it.
    """
    while True:
        port = random.SystemRandom().randint(20_000, 29_999)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def closed_port() -> int:
    """One that refuses every connection: it is taken, and nobody listens there."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    _held.append(taken)
    return int(taken.getsockname()[1])
