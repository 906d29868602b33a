"""Talk to an OpenEnv server: each WebSocket is a session with its own environment."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.protocol import State

from agent_r.errors import EnvironmentFault
from agent_r.loopback import is_loopback

MOST_BYTES = 4 * 2**20  # of one answer
CONNECT_S = 10.0
GOODBYE_S = 2.0  # for the server to end a session that is over
FULL_S = 3.0  # a server may still be ending sessions that we have left
_TOO_BIG = 1009  # WebSocket's code for it


class Lost(Exception):
    """The connection broke, or nothing came in time: what was under way may be tried again."""


class Full(EnvironmentFault):
    """The server has no place for another session."""


class ServerRefused(Exception):
    """The server did not do what it was asked to; its text says why."""


class Session:
    """One connection: one question at a time, each with its answer."""

    def __init__(self, socket: ClientConnection, *, name: str, timeout_s: float) -> None:
        self._socket, self._name, self._timeout_s = socket, name, timeout_s
        self._asking = False

    @classmethod
    async def open(cls, url: str, *, name: str, timeout_s: float) -> Session:
        """A session that the server has room for.

        Raises:
            Lost: nobody answers, or it is no OpenEnv server.
            Full: there is no room, now and a little later.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + FULL_S
        while True:
            session = cls(await _connected(url, timeout_s), name=name, timeout_s=timeout_s)
            try:
                # A full server says so after it has let us in: the first answer tells.
                with contextlib.suppress(ServerRefused):
                    await session.ask("state")
                return session
            except Full:
                await session.end()
                if loop.time() > until:
                    raise
            except BaseException:
                await session.end()
                raise
            await asyncio.sleep(0.1)

    @property
    def alive(self) -> bool:
        return self._socket.state is State.OPEN

    async def ask(self, kind: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """The data of the answer; after anything but a refusal, the session is of no more use.

        Raises:
            Lost, Full, Refused: as they say.
            EnvironmentFault: what came is not OpenEnv.
        """
        message = json.dumps({"type": kind} if data is None else {"type": kind, "data": data})
        self._asking = True
        try:
            async with asyncio.timeout(self._timeout_s):
                with contextlib.suppress(ConnectionClosed):  # its last words may be there to read
                    await self._socket.send(message)
                answer = await self._socket.recv()
        except TimeoutError as error:
            raise Lost(f"no answer to '{kind}' in {self._timeout_s:g} s") from error
        except ConnectionClosed as error:
            if error.sent is not None and error.sent.code == _TOO_BIG:
                raise self._fault(f"an answer of more than {MOST_BYTES:,} bytes") from error
            raise Lost("the connection was closed") from error
        found = self._data_of(answer)
        self._asking = False
        return found

    def _data_of(self, answer: str | bytes) -> dict[str, Any]:
        try:
            read = json.loads(answer)
            kind, data = read["type"], read["data"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._fault(f"not OpenEnv, but {answer[:60]!r}") from error
        if not isinstance(data, dict):
            raise self._fault(f"'{kind}' without data")
        if kind != "error":
            return data
        code, why = str(data.get("code", "")), _why(data)
        if code == "CAPACITY_REACHED":
            raise Full(
                f"{self._name} has no room for another session ({why}): lower env.sessions, or "
                "raise the server's own limit (max_concurrent_envs)"
            )
        if code in ("SESSION_ERROR", "FACTORY_ERROR"):
            raise self._fault(f"that it cannot begin a session: {why}")
        self._asking = False
        raise ServerRefused(why)

    def _fault(self, what: str) -> EnvironmentFault:
        return EnvironmentFault(f"{self._name} answered {what}")

    async def end(self) -> None:
        """End the session, so that its place is free on return; disconnect in mid-request."""
        try:
            if self.alive and not self._asking:
                with contextlib.suppress(ConnectionClosed, TimeoutError):
                    async with asyncio.timeout(GOODBYE_S):
                        await self._socket.send('{"type": "close"}')
                        await self._socket.wait_closed()
        finally:
            self._socket.transport.abort()
            await self._socket.wait_closed()


async def _connected(url: str, timeout_s: float) -> ClientConnection:
    try:
        return await connect(
            url,
            max_size=MOST_BYTES,
            open_timeout=min(timeout_s, CONNECT_S),
            ping_timeout=None,  # a world that computes in its server's event loop pongs late
            compression=None,
            proxy=None if is_loopback(url) else True,
        )
    except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
        text = " ".join(str(error).split())[:120] or type(error).__name__
        raise Lost(f"no WebSocket: {text}") from error


def _why(data: dict[str, Any]) -> str:
    """A refusal in a line: its message, and what was wrong with which field."""
    errors = data.get("errors")
    fields = [
        f"{'.'.join(map(str, one.get('loc', ())))}: {one.get('msg', '')}"
        for one in (errors if isinstance(errors, list) else ())
        if isinstance(one, dict)
    ]
    text = " ".join(str(data.get("message") or data.get("code") or "").split())
    return (f"{text} ({'; '.join(fields)})" if fields else text)[:500]


def addresses(base_url: str) -> tuple[str, str]:
    """Of the WebSocket, and of what is asked over HTTP.

    >>> addresses("https://user-echo.hf.space/")
    ('wss://user-echo.hf.space/ws', 'https://user-echo.hf.space')
    >>> addresses("ws://http-host:8000/ws")
    ('ws://http-host:8000/ws', 'http://http-host:8000')
    """
    parts = urlsplit(base_url)
    secure = "s" if parts.scheme in ("https", "wss") else ""
    rest = parts.netloc + parts.path.rstrip("/").removesuffix("/ws").rstrip("/")
    return f"ws{secure}://{rest}/ws", f"http{secure}://{rest}"
