"""A loopback server that speaks OpenEnv's wire, and breaks it where a test asks for that."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

SCHEMA = {
    "action": {
        "properties": {"metadata": {"type": "object"}, "message": {"type": "string"}},
        "required": ["message"],
        "additionalProperties": False,
    },
    "observation": {
        "properties": {"done": {"type": "boolean"}, "text": {"type": "string"}, "rest": {}}
    },
}

BASE = {
    "kind": "openenv",
    "name": "counting",
    "base_url": "http://127.0.0.1:1",
    "instruction": "Count. Action: 1 | 2 | 3",
    "action": {"message": "{action}"},
    "observation": "text",
    "train": [{"seed": 0}, {"seed": 1}],
    "test": [{"seed": 2}],
    "timeout_s": 5.0,
}


@dataclass
class Counting:
    """Say 1, 2, 3, … up to the goal; each right word is a reward of 1."""

    goal: int = 3
    said: int = 0

    def answer(self, action: dict[str, Any]) -> dict[str, Any]:
        word = str(action["message"])
        right = word == str(self.said + 1)
        self.said += right
        given: Any = {"nothing": None, "nan": float("nan"), "words": "much"}.get(word, right)
        text = f"You said {word[:40]}, and are at {self.said}."
        return {
            "observation": {"text": text, "rest": {"said": self.said, "empty": None}},
            "reward": given if word in ("nothing", "nan", "words") else float(right),
            "done": self.said == self.goal,
        }


@dataclass
class LoopbackOpenEnv:
    """One world in as many sessions as it has room for; the fields are what it may be made to do.

    Asked to `hang`, `die`, `babble`, `swell` or `fail`, it does so as often as `troubles` says.
    """

    room: int = 8
    frees_after_s: float = 0.0  # how long the place of a session stays taken after its end
    troubles: int = 10**6
    drifts: bool = False  # what it says is of the connection, too
    schema: Any = field(default_factory=lambda: SCHEMA)
    asked: list[str] = field(default_factory=list)  # every message, in order
    sessions: int = 0  # now
    most: int = 0  # at once
    opened: int = 0  # ever

    async def __aenter__(self) -> LoopbackOpenEnv:
        self._server: Server = await serve(
            self._session, "127.0.0.1", 0, process_request=self._http, close_timeout=0.5
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut_all(self) -> None:
        """As a server does that is started anew."""
        for connection in self._server.connections:
            connection.transport.abort()

    def _http(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ws":
            return None
        if request.path == "/schema" and self.schema is not None:
            return connection.respond(HTTPStatus.OK, json.dumps(self.schema))
        return connection.respond(HTTPStatus.NOT_FOUND, "nothing here\n")

    async def _session(self, connection: ServerConnection) -> None:
        self.opened += 1
        if self.sessions >= self.room:
            text = f"Server at capacity: {self.sessions}/{self.room} sessions active."
            await connection.send(_error(text, "CAPACITY_REACHED"))
            return
        self.sessions += 1
        self.most = max(self.most, self.sessions)
        try:
            await self._talk(connection, Counting(), self.opened)
        except ConnectionClosed:
            pass
        finally:
            await asyncio.sleep(self.frees_after_s)
            self.sessions -= 1

    async def _talk(self, connection: ServerConnection, world: Counting, number: int) -> None:
        async for received in connection:
            message = json.loads(received)
            kind, data = message["type"], message.get("data", {})
            word = str(data.get("message", ""))
            self.asked.append(f"{kind} {word}".strip())
            if kind == "close":
                return
            if kind == "state":
                await connection.send(json.dumps({"type": "state", "data": {"step_count": 0}}))
            elif kind == "reset":
                await self._reset(connection, world, data)
            elif word in ("hang", "die", "babble", "swell", "fail") and self.troubles > 0:
                self.troubles -= 1
                await self._trouble(connection, word)
            else:
                answer = world.answer(data)
                if self.drifts:
                    answer["observation"]["text"] += f" This is connection {number}."
                await connection.send(json.dumps({"type": "observation", "data": answer}))

    async def _reset(self, connection: ServerConnection, world: Counting, data: Any) -> None:
        if data.get("seed") == "bad":
            await connection.send(_error("seed: a number, please", "EXECUTION_ERROR"))
            return
        world.goal, world.said = 3 + data.get("seed", 0), 0
        seen = {"text": f"Count to {world.goal}.", "rest": {}}
        reply = {"observation": seen, "reward": None, "done": data.get("seed") == -3}
        await connection.send(json.dumps({"type": "observation", "data": reply}))

    async def _trouble(self, connection: ServerConnection, word: str) -> None:
        if word == "hang":
            await connection.wait_closed()
        elif word == "die":
            connection.transport.abort()
        elif word == "babble":
            await connection.send("<html>502 Bad Gateway</html>")
        elif word == "swell":
            await connection.send("x" * 5 * 2**20)
        else:
            errors = [{"loc": ["message"], "msg": "too short", "input": "secret"}]
            await connection.send(_error("Invalid message", "VALIDATION_ERROR", errors=errors))


def _error(message: str, code: str, **more: Any) -> str:
    return json.dumps({"type": "error", "data": {"message": message, "code": code, **more}})
