"""Try a world: calls that are bounded in time, and episodes that can be played again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar

from agent_r.env_check.loop_watch import Watch
from agent_r.env_check.resources import Resources
from agent_r.env_check.texts import answer, brief, over, picked, shown
from agent_r.environment import Environment, Split, TaskSpec, World

T = TypeVar("T")
Verdict: TypeAlias = Literal["ok", "failed", "warned", "skipped"]

SPLITS: tuple[Split, ...] = ("warm_start", "train", "test")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is tried, and how long is waited."""

    episodes: int = 3
    steps: int = 20  # of an episode; the expert may take ten times as many
    timeout_s: float = 60.0  # for one answer of the world
    patience_s: float = 5.0  # for what is given back to be gone
    measure_s: float = 1.0  # for a fast world's times
    held_s: float = 0.2  # that a step may keep the event loop to itself


class CheckEnded(Exception):
    """Ends a check that did not simply hold; its text says why."""

    verdict: Verdict = "failed"


class Failed(CheckEnded):
    """The world breaks its contract."""


class Warned(CheckEnded):
    """It may be meant, and it costs something."""

    verdict: Verdict = "warned"


class Skipped(CheckEnded):
    """The world has no such thing, or it could not be tried."""

    verdict: Verdict = "skipped"


class Hung(Failed):
    """A call that never came back: nothing more is asked of the world."""


@dataclass(frozen=True, slots=True)
class Play:
    """An episode as it was answered; `trouble` is what the world raised instead of an answer."""

    task: str
    opening: str
    actions: tuple[str, ...]
    results: tuple[Any, ...]  # StepResults, if the world keeps its word
    trouble: str = ""

    @property
    def ended(self) -> bool:
        return bool(self.results) and over(self.results[-1])


@dataclass(slots=True)
class Bench:
    """The world under test, and what has been learnt of it so far."""

    world: World
    limits: Limits
    seed: int
    watch: Watch
    before: Resources  # what there was when nothing had been asked of the world
    hung: bool = False  # one of its calls never came back
    doing: str = ""  # the call that was made last
    held: tuple[float, str] = (0.0, "")  # the longest that a step kept the loop, and which one
    took_s: dict[str, list[float]] = field(default_factory=dict)  # by what was called
    _plays: list[Play] | None = None

    async def call(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Call the world, bounded in time; its answer, or its exception.

        Raises:
            Hung: it took too long.
        """
        self.doing, began = what, time.perf_counter()
        task = asyncio.create_task(_guarded(ask))
        try:
            done, _ = await asyncio.wait({task}, timeout=self.limits.timeout_s)
        finally:
            task.cancel()
        if not done:
            self.hung = True
            stopped, _ = await asyncio.wait({task}, timeout=1)
            more = "" if stopped else ", and it does not let itself be cancelled"
            raise Hung(f"{what}: no answer in {self.limits.timeout_s:g} s{more}")
        if task.cancelled():
            raise Failed(f"{what}: it cancelled itself instead of answering")
        self.took_s.setdefault(_name(what), []).append(time.perf_counter() - began)
        try:
            return task.result()
        except BaseException as error:
            error.add_note(what)
            raise

    def at_once(self, what: str, ask: Callable[[], T]) -> T:
        """Call what is not awaited; its answer, or its exception."""
        self.doing = what
        try:
            return ask()
        except BaseException as error:
            error.add_note(what)
            raise

    async def cancelled(
        self, what: str, ask: Callable[[], Awaitable[object]], *, after_s: float
    ) -> None:
        """Stop a call that is under way; what it then answers or raises is its own affair.

        Raises:
            Hung: it does not let itself be stopped.
        """
        self.doing = f"{what} that was cancelled"
        task = asyncio.create_task(_guarded(ask))
        await asyncio.sleep(0)  # it begins
        if after_s:
            await asyncio.wait({task}, timeout=after_s)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=self.limits.timeout_s)
        if not done:
            self.hung = True
            raise Hung(f"{self.doing} had not ended {self.limits.timeout_s:g} s later")
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain of it

    def half_s(self, name: str) -> float:
        """Half of what the longest call of that name took."""
        return max(self.took_s.get(name, [0.0])) / 2

    async def reset(self, env: Environment, task: str) -> str:
        return await self.call(f"reset({brief(task)})", partial(env.reset, task))

    async def step(self, env: Environment, action: str) -> Any:
        what = f"step({brief(action)})"
        self.watch.start()
        result = await self.call(what, partial(env.step, action))
        self.held = max(self.held, (self.watch.held_s(), what))
        return result

    def fresh(self) -> Environment:
        return self.at_once("environment()", self.world.environment)

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """As a fresh environment names them."""
        return self.at_once(f"tasks({split!r})", partial(self.fresh().tasks, split))

    @contextlib.asynccontextmanager
    async def environment(self) -> AsyncIterator[Environment]:
        """A fresh one, closed at the end; how it closes is found by another check."""
        env = self.fresh()
        try:
            yield env
        finally:
            await self.quietly("close()", env.close)

    async def quietly(self, what: str, ask: Callable[[], Awaitable[object]]) -> None:
        """Call the world, and ignore what another check reports; only a hang is raised."""
        try:
            await self.call(what, ask)
        except Hung:
            raise
        except Exception:  # noqa: BLE001 - whatever a world raises, it is another check's to tell
            return

    def texts_repeat(self) -> bool:
        """False where the world says that its scores alone do."""
        info = self.at_once("info", lambda: self.fresh().info)
        return getattr(info, "repeats", "text") == "text"

    def names(self) -> list[str]:
        """Of the tasks of all splits; `train` first, for that is what a run explores."""
        listed = [task.id for split in ("train", *SPLITS) for task in self.tasks(split)]
        return list(dict.fromkeys(listed))

    def chosen(self) -> list[str]:
        """The tasks that are tried: a few, by the seed."""
        ids = self.names()
        return random.Random(self.seed).sample(ids, min(self.limits.episodes, len(ids)))

    async def plays(self) -> list[Play]:
        """Some episodes, played once and kept: the expert's way first, then a mixture."""
        if self._plays is None:
            played = []
            for number, task in enumerate(self.chosen()):
                rng = random.Random(f"{self.seed} {number} {task}")
                straying = 0.0 if number == 0 else 0.4
                steps = self.limits.steps * (1 if number or not self.world.expert else 10)
                played.append(await self.play(task, rng, straying=straying, steps=steps))
            self._plays = played
        return self._plays

    async def play(self, task: str, rng: random.Random, *, straying: float, steps: int) -> Play:
        """One episode in an environment of its own."""
        opening, actions, results, trouble = "", list[str](), list[Any](), ""
        async with self.environment() as env:
            try:
                opening = await self.reset(env, task)
                seen = opening
                for _ in range(steps):
                    way = [] if rng.random() < straying else await self._way(opening, actions)
                    actions.append(way[0] if way else picked(rng, env.info.instruction, seen))
                    results.append(await self.step(env, actions[-1]))
                    seen = str(getattr(results[-1], "observation", ""))
                    if over(results[-1]):
                        break
            except Hung:
                raise
            except Exception as error:  # noqa: BLE001 - told by the check that asks for answers
                trouble = self.described(error)
        return Play(task, opening, tuple(actions), tuple(results), trouble)

    async def _way(self, opening: str, actions: Sequence[str]) -> Sequence[str]:
        expert = self.world.expert
        way: list[Sequence[str]] = []
        if expert is not None:
            ask = partial(expert.plan, opening, tuple(actions))
            await self.quietly("expert.plan()", partial(_kept, way, ask))
        return way[0] if way else ()

    async def again(self, env: Environment, play: Play, *, pause: bool = False) -> str:
        """Take an episode's actions again; the first answer that differs, or ""."""
        await self.reset(env, play.task)  # whether this repeats is a check of its own
        return await self.goes_on(env, play, pause=pause)

    async def goes_on(
        self, env: Environment, play: Play, start: int = 0, *, pause: bool = False
    ) -> str:
        """Replay the actions from `start` on; the first answer that differs, or ""."""
        text = self.texts_repeat()
        pairs = zip(play.actions, play.results, strict=False)  # a trouble has no result
        for number, (action, before) in enumerate(pairs):
            if number < start:
                continue
            if pause:
                await asyncio.sleep(0)  # a world that never waits would let nobody in between
            now = await self.step(env, action)
            if answer(now, text=text) != answer(before, text=text):
                return (
                    f"action {number + 1}, {brief(action)}, gave {shown(now)}, not {shown(before)}"
                )
        return ""

    def described(self, error: BaseException) -> str:
        """An exception out of a world, and the call that it came out of, in a line."""
        if isinstance(error, CheckEnded):
            return str(error)
        what = getattr(error, "__notes__", [self.doing])[-1]
        text = " ".join(str(error).split())[:200]
        return f"{what} raised {type(error).__name__}: {text}"


async def _guarded(ask: Callable[[], Awaitable[T]]) -> T:
    """`sys.exit()` in a world would end the loop's run, and the check with it."""
    try:
        return await ask()
    except SystemExit as error:
        raise Failed(f"it called sys.exit({error.code!r})") from error


def _name(what: str) -> str:
    return what.partition("(")[0]


async def _kept(into: list[T], ask: Callable[[], Awaitable[T]]) -> None:
    into.append(await ask())
