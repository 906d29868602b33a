"""Recognise addresses of this machine, which are called without a proxy."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

NAMES = ("localhost", "127.0.0.1", "::1", "0.0.0.0")


def is_loopback(url: str) -> bool:
    """Whether a URL is of this very machine.

    >>> is_loopback("http://127.0.0.1:8000/v1"), is_loopback("https://[::1]/"), is_loopback("")
    (True, True, False)
    >>> is_loopback("ws://my.localhost:80"), is_loopback("http://localhost.example.org")
    (True, False)
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    if host in NAMES or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
