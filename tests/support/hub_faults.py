"""Faults for the loopback Hub: statuses, hangs, lost connections; and a log of all requests."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status and do nothing."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    code_name: str = ""  # sent as X-Error-Code


@dataclass(frozen=True, slots=True)
class Hang:
    """Hold the request, then do it; one whose client has given up by then is not done."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Do the request, then cut the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the connection and do nothing."""


@dataclass(frozen=True, slots=True)
class Page:
    """Answer 200 with a web page and do nothing: a captive portal does, and many a proxy."""

    text: str = "<!DOCTYPE html><html><title>Hotel WiFi</title><form>Please log in</form></html>"


@dataclass(frozen=True, slots=True)
class Short:
    """Do the request, and answer with a byte less than there is, as a proxy with a torn copy."""


Action: TypeAlias = Status | Hang | Lost | Cut | Page | Short
# Both are called with the method, the path and the number of the request, from 1.
Before: TypeAlias = Callable[[str, str, int], Action | None]
After: TypeAlias = Callable[[str, str, int], None]


@dataclass(slots=True)
class Fault:
    """An action for the requests that match, from the nth one on and so many times.

    >>> fault = Fault("POST", r"/commit/", Cut(), nth=2)
    >>> [fault.strikes(method, "/api/commit/main") for method in ("POST", "GET", "POST", "POST")]
    [False, False, True, False]
    """

    method: str  # "*" is any
    path_pattern: str  # searched in the path as it was sent, without its query
    action: Action
    nth: int = 1
    times: int = 1
    seen: int = field(default=0, init=False)

    def strikes(self, method: str, path: str) -> bool:
        """Count the request, and say whether this one gets the action."""
        if self.method not in {"*", method} or not re.search(self.path_pattern, path):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


class Watch:
    """What a test sets and reads, at any time and from its own thread."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []  # rules in force: append to it, or clear it
        self.requests: list[tuple[str, str]] = []  # method and path, as sent, without query
        # Before the request is done. It may return an action: a request whose client was just
        # killed is done all the same if it had arrived, unless the answer is Cut().
        self.on_request: Before | None = None
        self.on_done: After | None = None  # after it is done, before the client hears of it


class FaultyHub:
    """Middleware around a whole Hub: logs every request, calls the hooks, and does the faults."""

    def __init__(self, app: ASGIApp, watch: Watch) -> None:
        self.app, self.watch = app, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/_stats":
            await self.app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        watch = self.watch
        watch.requests.append((method, path))
        number = len(watch.requests)
        told = watch.on_request(method, path, number) if watch.on_request else None
        # All rules count all requests: no short cut here.
        struck = [fault.action for fault in list(watch.faults) if fault.strikes(method, path)]
        inner = _announced(self.app, lambda: self._done(method, path, number))
        action = told or (struck[0] if struck else None)
        await _act(action, inner, scope, receive, send)

    def _done(self, method: str, path: str, number: int) -> None:
        if self.watch.on_done is not None:
            self.watch.on_done(method, path, number)


def _announced(app: ASGIApp, done: Callable[[], None]) -> ASGIApp:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                done()
            await send(message)

        await app(scope, receive, told)

    return inner


async def _act(
    action: Action | None, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    transport: asyncio.Transport = scope["state"]["transport"]
    match action:
        case Status():
            await _answer(action, receive, send)
        case Cut():
            await _cut(transport, receive)
        case Lost():
            await app(scope, receive, _nowhere)
            await _cut(transport, receive)
        case Hang(seconds):
            await _hold(transport, seconds)
            if not transport.is_closing():
                await app(scope, receive, send)
        case Page(text):
            await _page(text, receive, send)
        case Short():
            await app(scope, receive, _shortened(send))
        case None:
            await app(scope, receive, send)


async def _hold(transport: asyncio.Transport, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not transport.is_closing() and (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(left, 0.02))


async def _nowhere(message: Message) -> None:
    """An answer that nobody gets."""


async def _cut(transport: asyncio.Transport, receive: Receive) -> None:
    """Reset the connection, and return when the server knows: else it would answer with a 500."""
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _shortened(send: Send) -> Send:
    """Announces and sends a byte less: HTTP itself finds nothing wrong with such an answer."""
    start: Message = {}
    body = b""

    async def inner(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if not message.get("more_body", False):
            rest = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
            size = (b"content-length", str(len(body) - 1).encode())
            await send({**start, "headers": [*rest, size]})
            await send({"type": "http.response.body", "body": body[:-1]})

    return inner


async def _page(text: str, receive: Receive, send: Send) -> None:
    await _arrived(receive)
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def _arrived(receive: Receive) -> None:
    """A client that is still sending must not meet a closed connection instead of an answer."""
    while (await receive()).get("more_body", False):
        pass


async def _answer(status: Status, receive: Receive, send: Send) -> None:
    await _arrived(receive)
    error = json.dumps({"error": f"injected {status.code}"}).encode()
    named = {"X-Error-Code": status.code_name} if status.code_name else {}
    sent = {
        "Content-Type": "application/json",
        "X-Error-Message": f"injected {status.code}",
        "Content-Length": str(len(error)),
        **named,
        **status.headers,
    }
    headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in sent.items()]
    await send({"type": "http.response.start", "status": status.code, "headers": headers})
    await send({"type": "http.response.body", "body": error})
