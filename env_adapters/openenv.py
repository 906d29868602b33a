"""OpenEnv servers (https://github.com/meta-pytorch/OpenEnv), over their WebSocket.

An episode lives in one connection; the server's HTTP routes make a fresh environment each request,
and so have no episodes. Where a connection is lost, the episode is played again in a new one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

from agent_r.environment import EnvInfo, Environment, Expert, Split, StepResult, TaskSpec
from agent_r.errors import ConfigError, EnvironmentFault, UnknownTask
from agent_r.leases import Leases
from agent_r.replay import normalised
from agent_r.settings import OpenEnvEnv

VERSION = 1  # raised when the same actions could give other observations
MOST_SENT = 2000  # characters of an action
MOST_RECEIVED = 2**22  # bytes of an answer
TRIES = 3  # connections in which one step is tried


class OpenEnv:
    """Implements Environment: one episode at a time, in a connection that is lent for it."""

    def __init__(self, world: OpenEnvWorld) -> None:
        self._world, self._spec = world, world.spec
        self._held: ClientConnection | None = None
        self._opening: dict[str, Any] = {}
        self._sent: list[tuple[dict[str, Any], str]] = []  # actions, and what was seen then
        self._total = 0.0  # of the rewards as the server gives them
        self._done = True

    @property
    def info(self) -> EnvInfo:
        return self._world.info

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """What the settings list, named by what `reset` is sent."""
        listed = {"train": self._spec.train, "test": self._spec.test}.get(split, ())
        return [TaskSpec(name_of(data), split) for data in listed]

    async def reset(self, task: str) -> str:
        listed = {name_of(data): data for data in (*self._spec.train, *self._spec.test)}
        if task not in listed:
            raise UnknownTask(f"{self._spec.name} has no task '{task[:80]}'")
        self._opening, self._sent, self._total, self._done = listed[task], [], 0.0, True
        answer = await self._again({"type": "reset", "data": self._opening})
        self._done = False
        return self._text(answer)

    async def step(self, action: str) -> StepResult:
        if self._done:
            raise ValueError("the episode has ended: reset first")
        try:
            sent = fill(self._spec.action, action[:MOST_SENT])
        except ValueError as refusal:
            return StepResult(str(refusal), self._reward(), terminated=False)
        try:
            answer = await self._again({"type": "step", "data": sent})
        except _Refused as refusal:
            return StepResult(str(refusal), self._reward(), terminated=False)
        seen = self._text(answer)
        self._sent.append((sent, seen))
        if answer.get("reward") is not None:
            kept = self._total if self._spec.reward == "sum" else 0.0
            self._total = kept + float(answer["reward"])
        self._done = bool(answer.get("done"))
        return StepResult(seen, self._reward(), self._done)

    def _reward(self) -> float:
        low, high = self._spec.reward_range
        return min(max((self._total - low) / (high - low), 0.0), 1.0)

    def _text(self, answer: dict[str, Any]) -> str:
        found: Any = answer.get("observation")
        for part in filter(None, self._spec.observation.split(".")):
            found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            found = answer.get("observation")
        return found if isinstance(found, str) else json.dumps(found, sort_keys=True)

    async def _again(self, message: dict[str, Any]) -> dict[str, Any]:
        """Ask; in another connection if this one is lost, after the episode's steps so far."""
        lost: Exception | None = None
        for tried in range(TRIES):
            try:
                if self._held is None:
                    self._held = await self._world.sessions.take()
                    if message["type"] == "step":
                        await self._catch_up()
                return await self._ask(message)
            except (websockets.WebSocketException, OSError, TimeoutError, _Garbled) as error:
                lost = error
                await self._drop()
                await asyncio.sleep(0.2 * tried)
            except _Refused:
                raise
            except BaseException:
                await self._drop()
                raise
        why = "time-out" if isinstance(lost, TimeoutError) else type(lost).__name__
        raise EnvironmentFault(f"{self._spec.base_url} does not answer ({why}, {TRIES} tries)")

    async def _catch_up(self) -> None:
        """Bring a new connection to where the lost one was.

        Raises:
            EnvironmentFault: it answers otherwise now.
        """
        await self._ask({"type": "reset", "data": self._opening})
        for sent, seen in self._sent:
            answer = await self._ask({"type": "step", "data": sent})
            if normalised(self._text(answer)) != normalised(seen):
                raise EnvironmentFault(
                    f"{self._spec.base_url} was lost, and answers otherwise when played again"
                )

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """One message, and its answer's data."""
        if self._held is None:
            raise ValueError("no connection is held")
        async with asyncio.timeout(self._spec.timeout_s):
            await self._held.send(json.dumps(message))
            received = await self._held.recv()
        return data_of(received, self._spec.base_url)

    async def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            await self._world.sessions.drop(held)

    async def close(self) -> None:
        self._done = True
        held, self._held = self._held, None
        if held is not None:
            self._world.sessions.give_back(held)


class _Garbled(Exception):
    """An answer that is none."""


class _Refused(Exception):
    """The server does not take that action; its text is the observation."""


def data_of(received: str | bytes, where: str) -> dict[str, Any]:
    """What an answer holds: observation, reward, done."""
    try:
        answer = json.loads(received)
        kind, data = answer["type"], answer["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise _Garbled("no JSON, or no answer") from error
    if kind == "error":
        message = str(data.get("message", ""))[:300] if isinstance(data, dict) else str(data)[:300]
        code = data.get("code", "") if isinstance(data, dict) else ""
        if code == "CAPACITY_REACHED":
            raise EnvironmentFault(
                f"{where} has no room for another episode: lower env.sessions, or raise the "
                "server's own limit"
            )
        raise _Refused(f"That is not possible: {message or code}")
    if not isinstance(data, dict):
        raise _Garbled("an answer without data")
    return data


def fill(template: Any, action: str) -> Any:
    """An action as the server takes it: the settings' template, with what the actor does in it.

    >>> fill({"message": "{action}", "n": 1}, "hello")
    {'message': 'hello', 'n': 1}
    >>> fill({"action_id": "{action:int}"}, " 3 ")
    {'action_id': 3}

    Raises:
        ValueError: a number is wanted, and this is none.
    """
    if isinstance(template, dict):
        return {key: fill(value, action) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, action) for value in template]
    if template == "{action:int}":
        digits = action.strip().removeprefix("-")
        if not (digits.isdecimal() and digits.isascii() and len(digits) < 10):
            raise ValueError("That is no action here: answer with a number.")
        return int(action)
    # Half of a surrogate pair is no text that JSON could carry.
    clean = action.encode("utf-8", "replace").decode("utf-8")
    return template.replace("{action}", clean) if isinstance(template, str) else template


def name_of(data: dict[str, Any]) -> str:
    """A task's name: what its `reset` is sent, or a digest where that is long.

    >>> name_of({}), name_of({"seed": 3, "level": "easy"})
    ('default', 'level=easy,seed=3')
    """
    said = ",".join(f"{key}={data[key]}" for key in sorted(data)) or "default"
    canonical = json.dumps(data, sort_keys=True)
    short = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    return said if len(said) <= 60 and said.isprintable() else f"{said[:40]}-{short}"


class OpenEnvWorld:
    """Implements World: the connections to one server."""

    expert: Expert | None = None

    def __init__(self, spec: OpenEnvEnv) -> None:
        self.spec = spec
        self.url = spec.base_url.rstrip("/").replace("http", "ws", 1) + "/ws"
        self.sessions: Leases[ClientConnection] = Leases(
            self._connect, _hang_up, limit=spec.sessions
        )
        told = spec.model_dump_json(include={"action", "observation", "reward", "reward_range"})
        self.info = EnvInfo(
            name=f"openenv-{spec.name}",
            version=f"{VERSION}-{hashlib.sha256(told.encode()).hexdigest()[:12]}",
            instruction=spec.instruction,
            licence=spec.licence,
            source="https://github.com/meta-pytorch/OpenEnv",
        )

    def environment(self) -> Environment:
        return OpenEnv(self)

    async def _connect(self) -> ClientConnection:
        return await connect(
            self.url, max_size=MOST_RECEIVED, open_timeout=self.spec.timeout_s, close_timeout=2
        )

    async def check(self) -> None:
        """Begin an episode and end it.

        Raises:
            ConfigError: nothing answers there, or something else.
        """
        env = self.environment()
        first = [task for split in ("train", "test") for task in env.tasks(split)][:1]
        try:
            for task in first:
                await env.reset(task.id)
        except (EnvironmentFault, _Refused) as error:
            raise ConfigError(f"no OpenEnv server at {self.spec.base_url}: {error}") from error
        finally:
            await env.close()

    async def aclose(self) -> None:
        await self.sessions.aclose()


async def _hang_up(connection: ClientConnection) -> None:
    """Say good-bye, and do not wait long for an answer."""
    try:
        await connection.send('{"type": "close", "data": {}}')
    except (websockets.WebSocketException, OSError):
        return
    finally:
        await connection.close()


def openenv(spec: OpenEnvEnv) -> OpenEnvWorld:
    """The world of these settings.

    Raises:
        ConfigError: the rewards have no range, or two tasks the same name.
    """
    if spec.reward_range[0] >= spec.reward_range[1]:
        raise ConfigError(f"env.reward_range {spec.reward_range}: the first must be the lower one")
    names = [name_of(data) for data in (*spec.train, *spec.test)]
    if len(set(names)) < len(names):
        raise ConfigError("env.train and env.test list the same task twice")
    return OpenEnvWorld(spec)
