"""Worlds that break one thing each: small, and honest in all else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agent_r.environment import Embedded, EnvInfo, Environment, Expert, Split, StepResult, TaskSpec
from agent_r.errors import EnvironmentFault, UnknownTask
from agent_r.testing import Corridor, ForkableCorridor
from tests.support.broken_owners import (
    ClosesEager,
    ClosesOnce,
    Dumb,
    Lost,
    Spoilt,
    WithoutJava,
    eager,
    ended,
    leaking,
    process,
    task,
    thread,
)


class NoTasks(ForkableCorridor):
    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        return []


class SameNames(ForkableCorridor):
    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        return [TaskSpec(f"corridor {length}", split) for length in (1, 2)]


class OtherOrder(ForkableCorridor):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        OtherOrder.made += 1
        self.turned = OtherOrder.made % 2

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        tasks = list(super().tasks(split))
        return tasks[::-1] if self.turned else tasks


class NoLicence(ForkableCorridor):
    @property
    def info(self) -> EnvInfo:
        return replace(super().info, licence="")


class NoOpening(ForkableCorridor):
    async def reset(self, task: str) -> str:
        await super().reset(task)
        return ""


class NoBegin(ForkableCorridor):
    async def reset(self, task: str) -> str:
        raise EnvironmentFault("the server is down")


class KeyErrors(ForkableCorridor):
    async def reset(self, task: str) -> str:
        try:
            return await super().reset(task)
        except UnknownTask:
            raise KeyError(task[:20]) from None


class AnswersAtOnce(ForkableCorridor):
    def __init__(self) -> None:
        super().__init__()
        self._ended = False


class GoesOn(ForkableCorridor):
    begun = False

    async def reset(self, task: str) -> str:
        self.begun = True
        return await super().reset(task)

    async def step(self, action: str) -> StepResult:
        if self._ended and self.begun:
            return StepResult("It is over.", 0.0, True)
        return await super().step(action)

    async def close(self) -> None:
        self.begun = False
        await super().close()


class CountsResets(ForkableCorridor):
    async def reset(self, task: str) -> str:
        return f"{await super().reset(task)} This is visit {self.resets}."


class Remembers(Corridor):
    async def step(self, action: str) -> StepResult:
        result = await super().step(action)
        return replace(result, observation=f"{result.observation} Visit {self.resets}.")


class Asks(ForkableCorridor):
    """Does something to the action before it is answered."""

    def do(self, action: str) -> None: ...

    async def step(self, action: str) -> StepResult:
        result = await super().step(action)
        self.do(action)
        return result


class AsciiOnly(Asks):
    def do(self, action: str) -> None:
        action.encode("ascii")


class Leaves(Asks):
    def do(self, action: str) -> None:
        if "\x00" in action:
            sys.exit(3)


class Spins(Asks):
    def do(self, action: str) -> None:
        while "\x00" in action:
            try:
                time.sleep(0.01)
            except Exception:  # noqa: BLE001 - what makes it hard to stop
                continue


class Dozes(Asks):
    """Once: the check takes no longer for it."""

    dozed = False

    def do(self, action: str) -> None:
        if not Dozes.dozed:
            Dozes.dozed = True
            time.sleep(0.3)


class Waits(ForkableCorridor):
    async def step(self, action: str) -> StepResult:
        if "\x00" in action:
            await asyncio.Event().wait()
        return await super().step(action)


class Stubborn(ForkableCorridor):
    """Does not let itself be cancelled, once."""

    async def step(self, action: str) -> StepResult:
        if "\x00" in action:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()
        return await super().step(action)


class StartsStubbornly(ForkableCorridor):
    async def reset(self, task: str) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        return await super().reset(task)


class Turns(ForkableCorridor):
    """Turns an answer into another."""

    def turn(self, result: StepResult, action: str) -> Any:
        return result

    async def step(self, action: str) -> Any:
        return self.turn(await super().step(action), action)


class Echoes(Turns):
    def turn(self, result: StepResult, action: str) -> Any:
        return replace(result, observation=f"What is {action}?")


class TooMuch(Turns):
    def turn(self, result: StepResult, action: str) -> Any:
        return replace(result, reward=result.reward + 1.5)


class WholeNumbers(Turns):
    def turn(self, result: StepResult, action: str) -> Any:
        return replace(result, reward=int(result.reward))


class NoNumber(Turns):
    def turn(self, result: StepResult, action: str) -> Any:
        return replace(result, reward=float("nan"))


class OneForTrue(Turns):
    def turn(self, result: StepResult, action: str) -> Any:
        return replace(result, terminated=int(result.terminated))


class HalfASign(Turns):
    def turn(self, result: StepResult, action: str) -> Any:
        return replace(result, observation=f"{result.observation} \ud83e")


class NotAsync(ForkableCorridor):
    def step(self, action: str) -> Any:
        if self._ended:
            raise ValueError("no episode")
        return StepResult("Yes.", 0.0, False)


class ClosesNotTwice(ForkableCorridor):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
        await super().close()


class NeverCloses(ForkableCorridor):
    async def close(self) -> None: ...


class SharedRoom(Corridor):
    """All its environments are in one room."""

    here = 0

    async def reset(self, task: str) -> str:
        SharedRoom.here = 0
        return await super().reset(task)

    async def step(self, action: str) -> StepResult:
        result = await super().step(action)
        SharedRoom.here += 1
        return replace(result, observation=f"{result.observation} Step {SharedRoom.here}.")


class LiveSnapshots(ForkableCorridor):
    def snapshot(self) -> object:
        return self.__dict__

    def restore(self, snapshot: object) -> None:
        if not isinstance(snapshot, dict) or "_room" not in snapshot:
            raise ValueError("not a snapshot")
        self.__dict__.update(snapshot)

    async def step(self, action: str) -> StepResult:
        result = await super().step(action)
        return replace(result, observation=f"{result.observation} Step {self.steps}.")

    async def reset(self, task: str) -> str:
        self.steps = 0
        return await super().reset(task)


class TakesAnySnapshot(ForkableCorridor):
    def restore(self, snapshot: object) -> None:
        if isinstance(snapshot, tuple) and snapshot:
            super().restore(snapshot)


class HalfForkable(Corridor):
    def snapshot(self) -> object:
        return self._room


def embedded(make: Callable[[], Environment], expert: Expert | None = None) -> Embedded:
    return Embedded(make, expert)


# What is broken: the one check that must say so, and the world.
BROKEN: dict[str, tuple[str, Callable[[], Any]]] = {
    "an extra is missing": ("nothing is missing", lambda: WithoutJava(lambda w: Corridor())),
    "no tasks": ("tasks exist", lambda: embedded(NoTasks)),
    "a thread before any episode": (
        "an environment costs nothing at first",
        lambda: ClosesEager(eager),
    ),
    "an empty opening": ("an episode begins", lambda: embedded(NoOpening)),
    "no episode at all": ("an episode begins", lambda: embedded(NoBegin)),
    "a task of two splits": ("a task has a name of its own", lambda: embedded(SameNames)),
    "tasks in another order": ("tasks stay the same", lambda: embedded(OtherOrder)),
    "no licence": ("info says what a stranger needs", lambda: embedded(NoLicence)),
    "KeyError for a task": ("an unknown task is refused", lambda: embedded(KeyErrors)),
    "a step before reset": ("a step needs an episode", lambda: embedded(AnswersAtOnce)),
    "steps after the end": ("an end is final", lambda: embedded(GoesOn)),
    "openings that differ": ("a reset repeats", lambda: embedded(CountsResets)),
    "a memory of episodes": ("a replay answers the same", lambda: embedded(Remembers)),
    "raises on garbage": ("any action is answered", lambda: embedded(AsciiOnly)),
    "exits on garbage": ("any action is answered", lambda: embedded(Leaves)),
    "repeats 100,000 characters": ("any action is answered", lambda: embedded(Echoes)),
    "a step that is not async": ("any action is answered", lambda: embedded(NotAsync)),
    "a reward of 1.5": ("rewards are fractions", lambda: embedded(TooMuch)),
    "a reward of int": ("rewards are fractions", lambda: embedded(WholeNumbers)),
    "a reward of nan": ("rewards are fractions", lambda: embedded(NoNumber)),
    "1 for True": ("answers are of their types", lambda: embedded(OneForTrue)),
    "half a character": ("answers are of their types", lambda: embedded(HalfASign)),
    "an expert who is lost": (
        "the expert knows a way",
        lambda: embedded(ForkableCorridor, Lost()),
    ),
    "an expert who raises": ("the expert knows a way", lambda: embedded(ForkableCorridor, Dumb())),
    "a second close raises": ("closing twice does no harm", lambda: embedded(ClosesNotTwice)),
    "steps after close": ("a closed environment says so", lambda: embedded(NeverCloses)),
    "a room for all": ("episodes at once are apart", lambda: embedded(SharedRoom)),
    "a snapshot that lives on": ("a snapshot restores exactly", lambda: embedded(LiveSnapshots)),
    "any snapshot will do": (
        "a strange snapshot is refused",
        lambda: embedded(TakesAnySnapshot),
    ),
    "spoilt by a cancel": ("a cancelled call spoils nothing", lambda: embedded(Spoilt)),
    "a thread left": (
        "nothing is left of what was cancelled",
        lambda: leaking(thread, threading.Event.set),
    ),
    "a process left": ("nothing is left of what was cancelled", lambda: leaking(process, ended)),
    "a socket left": (
        "nothing is left of what was cancelled",
        lambda: leaking(socket.socket, socket.socket.close),
    ),
    "a task left": (
        "nothing is left of what was cancelled",
        lambda: leaking(task, asyncio.Task.cancel),
    ),
    "a second aclose raises": (
        "a world closes twice",
        lambda: ClosesOnce(lambda w: ForkableCorridor()),
    ),
}
HANGING: dict[str, tuple[str, Callable[[], Embedded]]] = {
    "waits for ever": ("any action is answered", lambda: embedded(Waits)),
    "will not be cancelled": ("any action is answered", lambda: embedded(Stubborn)),
    "never lets go of the loop": ("any action is answered", lambda: embedded(Spins)),
    "starts, and will not be stopped": (
        "a first reset can be cancelled",
        lambda: embedded(StartsStubbornly),
    ),
}
DUBIOUS: dict[str, tuple[str, Callable[[], Embedded]]] = {
    "holds the loop": ("the event loop stays free", lambda: embedded(Dozes)),
    "only half of a fork": ("a snapshot restores exactly", lambda: embedded(HalfForkable)),
}
