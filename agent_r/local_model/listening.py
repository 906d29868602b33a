"""Open the server's listening socket."""

from __future__ import annotations

import socket


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket that sends its answers without delay.

    Asyncio switches Nagle's algorithm off only where a socket says that its protocol is TCP, which
    `socket.create_server` does not: an answer in two parts would wait 40 ms for the second.
    """
    [(family, kind, _, _, address), *_] = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener
