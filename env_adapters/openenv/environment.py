"""OpenEnv servers (https://github.com/meta-pytorch/OpenEnv), over their WebSocket.

An episode lives in one session; the server's HTTP routes make a fresh environment each request,
and so have no episodes. Where a session is lost, the episode is played again in a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

import aiohttp

from agent_r.algorithm.replay import normalised
from agent_r.environment import EnvInfo, Environment, Expert, Split, StepResult, TaskSpec
from agent_r.errors import ConfigError, EnvironmentFault, UnknownTask
from agent_r.grammar import DEFAULT
from agent_r.loopback import is_loopback
from agent_r.settings import OpenEnvEnv
from env_adapters.openenv.texts import (
    NotANumber,
    SessionAnswer,
    digest,
    filled,
    has_a_place,
    misfit,
    name_of,
    session_answer,
)
from env_adapters.openenv.wire import Full, Lost, ServerRefused, Session, addresses
from env_adapters.pool import Pool
from env_adapters.written import clean

VERSION = 1  # raised when the same actions could give other observations
TRIES = 3  # sessions in which one step is tried
PAUSE_S = 0.2  # before the second try; longer before the third

Asked: TypeAlias = tuple[str, dict[str, Any]]  # `reset` or `step`, and its data


class OpenEnv:
    """Implements Environment: one episode at a time, in a session that is lent for it."""

    def __init__(self, world: OpenEnvWorld) -> None:
        self._world, self._spec = world, world.spec
        self._session: Session | None = None
        self._past: list[tuple[Asked, SessionAnswer]] = []  # of this episode, to be played again
        self._earned: float | None = None
        self._running = False

    @property
    def info(self) -> EnvInfo:
        return self._world.info

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """What the settings list."""
        listed = {"train": self._spec.train, "test": self._spec.test}.get(split, ())
        return [TaskSpec(name_of(data), split) for data in listed]

    async def reset(self, task: str) -> str:
        if task not in self._world.resets:
            raise UnknownTask(f"{self._spec.name} has no task {task[:80]!r}")
        self._past, self._earned, self._running = [], None, False
        opening = await self._ask(("reset", self._world.resets[task]))
        if opening.done:
            raise EnvironmentFault(f"{self._world.name}: '{task}' is over before it begins")
        self._running = True
        return opening.text

    async def step(self, action: str) -> StepResult:
        if not self._running:
            raise ValueError("no episode is under way: reset first")
        try:
            data = filled(self._spec.action, action)
        except NotANumber as refusal:
            return StepResult(str(refusal), self._spec.fraction(self._earned), terminated=False)
        answer = await self._ask(("step", data))
        self._earned = self._spec.earned(self._earned, answer.reward)
        self._running = not answer.done
        return StepResult(answer.text, self._spec.fraction(self._earned), answer.done)

    async def close(self) -> None:
        self._running = False
        session, self._session = self._session, None
        if session is not None:
            self._world.sessions.give_back(session)

    async def _ask(self, asked: Asked) -> SessionAnswer:
        """The answer; where the session is lost, that of another one brought to the same place."""
        lost = Lost()
        for tried in range(TRIES):
            await asyncio.sleep(PAUSE_S * tried)
            try:
                answer = await self._answer(await self._ready(), asked)
            except Lost as error:
                lost = error
                await self._drop()
            except BaseException:  # cancelled, too: an answer may come that nobody waits for
                self._running = False
                await self._drop()
                raise
            else:
                self._past.append((asked, answer))
                return answer
        self._running = False
        raise EnvironmentFault(f"{self._world.name}: {lost} ({TRIES} tries)") from lost

    async def _ready(self) -> Session:
        """A session in which all of the episode so far has happened."""
        if self._session is None:
            session = self._session = await self._world.session()
            for asked, before in self._past:
                now = await self._answer(session, asked)
                if (normalised(now.text), now.reward, now.done) != (
                    normalised(before.text), before.reward, before.done
                ):  # fmt: skip
                    raise EnvironmentFault(
                        f"{self._world.name}: the session was lost, and the same actions give "
                        "other answers in a new one"
                    )
        return self._session

    async def _answer(self, session: Session, asked: Asked) -> SessionAnswer:
        kind, data = asked
        try:
            return session_answer(await session.ask(kind, data), self._spec.observation)
        except ServerRefused as refusal:
            if kind == "step":
                return SessionAnswer(clean(f"That was refused: {refusal}"))
            raise EnvironmentFault(f"{self._world.name} refuses to reset: {refusal}") from refusal
        except (ValueError, OverflowError) as error:
            raise EnvironmentFault(f"{self._world.name} answered {error}") from error

    async def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await self._world.sessions.drop(session)


class OpenEnvWorld:
    """Implements World: the sessions of one server."""

    expert: Expert | None = None

    def __init__(self, spec: OpenEnvEnv) -> None:
        self.spec = spec
        self.resets = {name_of(data): data for data in (*spec.train, *spec.test)}
        self._socket_url, self._http_url = addresses(spec.base_url)
        self.name = f"openenv '{spec.name}' ({self._http_url.partition('://')[2]})"
        self.sessions: Pool[Session] = Pool(self._open, Session.end, limit=spec.sessions)
        how = {"action", "observation", "reward", "reward_range"}
        self.info = EnvInfo(
            name=spec.name,
            version=f"{VERSION}-{spec.version}-{digest(spec.model_dump(mode='json', include=how))}",
            instruction=spec.instruction,
            licence=spec.licence,
            grammar=spec.grammar.grammar() if spec.grammar else DEFAULT,
            source="an OpenEnv server (https://github.com/meta-pytorch/OpenEnv)",
        )

    def environment(self) -> Environment:
        return OpenEnv(self)

    async def session(self) -> Session:
        """One that was alive a moment ago: a server that was started anew has forgotten ours."""
        while not (session := await self.sessions.take()).alive:
            await self.sessions.drop(session)
        return session

    async def _open(self) -> Session:
        return await Session.open(self._socket_url, name=self.name, timeout_s=self.spec.timeout_s)

    async def check(self) -> None:
        """Whether the server is there, takes these actions, and has room for all sessions.

        Raises:
            ConfigError: it takes others, or has not.
            EnvironmentFault: nobody answers.
        """
        if wrong := misfit(await self._schema(), self.spec.action, self.spec.observation):
            raise ConfigError(f"{self.name}: {wrong}")
        opened = await asyncio.gather(
            *(self._open() for _ in range(self.spec.sessions)), return_exceptions=True
        )
        await asyncio.gather(*(one.end() for one in opened if isinstance(one, Session)))
        for one in opened:
            if isinstance(one, Full):
                raise ConfigError(str(one)) from one
            if isinstance(one, Lost):
                raise EnvironmentFault(f"{self.name}: {one}") from one
            if isinstance(one, BaseException):
                raise one

    async def _schema(self) -> dict[str, Any]:
        """Of actions and observations; empty where the server does not tell."""
        limit = aiohttp.ClientTimeout(total=self.spec.timeout_s)
        proxied = not is_loopback(self._http_url)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, trust_env=proxied) as http,
                http.get(f"{self._http_url}/schema") as answer,
            ):
                found = await answer.json(content_type=None) if answer.status == 200 else {}
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = " ".join(str(error).split())[:120] or type(error).__name__
            raise EnvironmentFault(f"{self.name} does not answer: {why}") from error
        except ValueError:  # no JSON: whatever that is, the WebSocket will tell
            found = {}
        return found if isinstance(found, dict) else {}

    async def aclose(self) -> None:
        await self.sessions.aclose()


def openenv(spec: OpenEnvEnv) -> OpenEnvWorld:
    """The world of these settings.

    Raises:
        ConfigError: the action has no place for the actor's, or a task is listed twice.
    """
    if not has_a_place(spec.action):
        raise ConfigError("env.action says nowhere `{action}`: the actor's would not be sent")
    world = OpenEnvWorld(spec)
    if len(world.resets) < len(spec.train) + len(spec.test):
        raise ConfigError("env.train and env.test list a task twice")
    return world
