"""Worlds that keep what they took, do not close, or own an expert who knows nothing."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from agent_r.environment import Environment, Expert, StepResult
from agent_r.errors import ExtraMissing
from agent_r.testing import Corridor, ForkableCorridor


@dataclass
class Owning:
    """A world that owns something, or pretends to."""

    make: Callable[[Owning], Environment]
    expert: Expert | None = None
    held: list[Any] = field(default_factory=list)
    closed: int = 0

    def environment(self) -> Environment:
        return self.make(self)

    async def check(self) -> None: ...

    async def aclose(self) -> None:
        self.closed += 1


class WithoutJava(Owning):
    async def check(self) -> None:
        raise ExtraMissing("this world", "java")


class ClosesOnce(Owning):
    async def aclose(self) -> None:
        self.closed += 1
        if self.closed > 1:
            raise RuntimeError("closed already")


@dataclass
class Lost:
    """An expert whose way leads nowhere."""

    async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        return ["west", "west"][len(actions) :]

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        return ["jump"]


class Dumb(Lost):
    async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        raise RuntimeError("no plan")


class Spoilt(Corridor):
    """A call that is cancelled leaves what all share in disorder."""

    spoilt = False

    async def step(self, action: str) -> StepResult:
        try:
            await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            Spoilt.spoilt = True
            raise
        result = await super().step(action)
        return replace(result, observation="Broken pipe.") if Spoilt.spoilt else result


class Holding(Corridor):
    """Takes something at its reset, and gives it back at its close alone."""

    def __init__(self, world: Owning, take: Callable[[], Any], end: Callable[[Any], None]) -> None:
        super().__init__()
        self._world, self._take, self._end = world, take, end
        self._mine: list[Any] = []

    async def reset(self, task: str) -> str:
        opening = await super().reset(task)
        if not self._mine:
            self._mine.append(self._take())
            self._world.held.append(partial(self._end, self._mine[0]))
        return opening

    async def close(self) -> None:
        await super().close()
        for thing in self._mine:
            self._end(thing)
        self._mine.clear()
        await asyncio.sleep(0.01)


def thread() -> threading.Event:
    stop = threading.Event()
    threading.Thread(target=stop.wait, name="left behind", daemon=True).start()
    return stop


def process() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "30"])


def ended(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()


def leaking(take: Callable[[], Any], end: Callable[[Any], None]) -> Owning:
    return Owning(lambda world: Holding(world, take, end))


def eager(world: Owning) -> Environment:
    """An environment that starts a thread when it is made."""
    world.held.append(thread().set)
    return ForkableCorridor()


class ClosesEager(Owning):
    async def aclose(self) -> None:
        for end in self.held:
            end()


def task() -> asyncio.Task[None]:
    return asyncio.create_task(asyncio.sleep(60), name="left behind")
