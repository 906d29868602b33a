"""Gymnasium-style environments whose observations are text, and whose actions are text or numbers.

Nothing of the gymnasium package is needed: an object with its `reset` and `step` will do. A task is
a seed. Such environments cannot be trusted to copy themselves (they may hold files, threads, other
processes), so only one with methods `snapshot` and `restore` of its own is forked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from agent_r.environment import EnvInfo, Environment, Expert, Split, StepResult, TaskSpec
from agent_r.errors import ConfigError, EnvironmentFault, UnknownTask
from agent_r.loading import call, one_line
from agent_r.settings import GymnasiumEnv

R = TypeVar("R")
VERSION = 1  # raised when the same actions could give other observations
THREADS = 4
_SHARES: tuple[tuple[Split, int], ...] = (("warm_start", 20), ("train", 75), ("test", 100))


class GymText:
    """Implements Environment over one gymnasium.Env, which is made at the first reset."""

    def __init__(self, world: GymWorld) -> None:
        self._world, self._spec = world, world.spec
        self._env: Any = None
        self._total = 0.0  # of the rewards as the environment gives them
        self._done = True

    @property
    def info(self) -> EnvInfo:
        return self._world.info

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """Seeds, split by a hash of their number."""
        return [
            TaskSpec(f"seed/{seed}", split)
            for seed in range(self._spec.seeds)
            if _of(seed) == split
        ]

    async def reset(self, task: str) -> str:
        word, _, number = task.partition("/")
        known = word == "seed" and number.isdecimal() and number == str(int(number))
        if not known or int(number) >= self._spec.seeds:
            raise UnknownTask(f"no task '{task[:80]}': they are seed/0 to {self._spec.seeds - 1}")
        self._done = True  # until it has really begun
        if self._env is None:
            self._env = await self._world.run(self._make)
        seed = int(number)
        observation, _ = await self._ask(lambda env: env.reset(seed=seed))
        self._total, self._done = 0.0, False
        return text(observation)

    async def _ask(self, blocking: Callable[[Any], R]) -> R:
        """Call the environment; after a call that was left alone or failed, it is used no more."""
        env = self._env
        try:
            return await self._world.run(lambda: blocking(env))
        except BaseException:
            self._env, self._done = None, True
            raise

    def _make(self) -> Any:
        return call(self._spec.factory, self._spec.arguments)

    async def step(self, action: str) -> StepResult:
        if self._done:
            raise ValueError("the episode has ended: reset first")
        try:
            taken = read(action, self._env)
        except _Refused as refusal:
            return StepResult(str(refusal), self._reward(), terminated=False)
        observation, reward, terminated, truncated, _ = await self._ask(lambda env: env.step(taken))
        self._total = float(reward) + (self._total if self._spec.reward == "sum" else 0.0)
        self._done = bool(terminated or truncated)
        return StepResult(text(observation), self._reward(), bool(terminated), bool(truncated))

    def _reward(self) -> float:
        low, high = self._spec.reward_range
        return min(max((self._total - low) / (high - low), 0.0), 1.0)

    async def close(self) -> None:
        self._done = True
        env, self._env = self._env, None
        if env is not None and hasattr(env, "close"):
            await self._world.run(env.close)


class ForkableGymText(GymText):
    """The same, where the environment keeps and restores its own state."""

    def snapshot(self) -> object:
        return self._env.snapshot(), self._total, self._done

    def restore(self, snapshot: object) -> None:
        if not isinstance(snapshot, tuple) or len(snapshot) != 3:
            raise ValueError(f"not a snapshot of this world: {type(snapshot).__name__}")
        self._env.restore(snapshot[0])
        self._total, self._done = snapshot[1], snapshot[2]


class _Refused(Exception):
    """The action is none; its text is the observation."""


def read(action: str, env: Any) -> Any:
    """What an environment is given for an action: its text, or the number that it names."""
    count = getattr(getattr(env, "action_space", None), "n", None)
    if count is None:
        return action
    names = [str(name) for name in getattr(_unwrapped(env), "action_names", ())]
    first = int(getattr(env.action_space, "start", 0))
    wanted = action.strip().lower()
    if wanted in [name.lower() for name in names]:
        return first + [name.lower() for name in names].index(wanted)
    if wanted.isdecimal() and len(wanted) < 10 and first <= int(wanted) < first + int(count):
        return int(wanted)
    choices = ", ".join(names) if names else f"a number from {first} to {first + int(count) - 1}"
    raise _Refused(f"That is no action here: {choices}.")


def text(observation: Any) -> str:
    """An observation as the actor reads it: text as it is, all else as compact JSON.

    >>> text("a room"), text({"b": 1, "a": [2]})
    ('a room', '{"a": [2], "b": 1}')
    """
    if isinstance(observation, str):
        return observation
    plain = observation.tolist() if hasattr(observation, "tolist") else observation
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str)


def _unwrapped(env: Any) -> Any:
    return getattr(env, "unwrapped", env)


def _of(seed: int) -> Split:
    """The split of a seed: disjoint, and the same however many seeds there are."""
    drawn = int(hashlib.sha256(f"seed/{seed}".encode()).hexdigest(), 16) % 100
    return next(split for split, up_to in _SHARES if drawn < up_to)


class GymWorld:
    """Implements World: the threads in which its environments run, so that none blocks another."""

    expert: Expert | None = None

    def __init__(self, spec: GymnasiumEnv, *, forks: bool) -> None:
        self.spec, self._forks = spec, forks
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gym")
        settings = spec.model_dump_json(exclude={"weight", "licence"})
        digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
        self.info = EnvInfo(
            name=f"gymnasium-{spec.factory.replace(':', '.')}",
            version=f"{VERSION}-{digest}",
            instruction=spec.instruction,
            licence=spec.licence,
            source=spec.factory,
        )

    def environment(self) -> Environment:
        return (ForkableGymText if self._forks else GymText)(self)

    async def check(self) -> None:
        """What could be missing was missing when it was made."""

    async def run(self, blocking: Callable[[], R]) -> R:
        """Run what blocks in a thread.

        Raises:
            EnvironmentFault: it failed.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, blocking)
        except Exception as error:
            raise EnvironmentFault(f"{self.spec.factory} fails: {one_line(error)}") from error

    async def aclose(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)


def gymnasium(spec: GymnasiumEnv) -> GymWorld:
    """The world of these settings.

    Raises:
        ConfigError: the factory fails, or makes something else; or the rewards have no range.
    """
    if spec.reward_range[0] >= spec.reward_range[1]:
        raise ConfigError(f"env.reward_range {spec.reward_range}: the first must be the lower one")
    made = call(spec.factory, spec.arguments)
    if missing := [name for name in ("reset", "step") if not hasattr(made, name)]:
        raise ConfigError(f"'{spec.factory}' made {type(made).__name__}, without {missing}")
    forks = all(hasattr(made, name) for name in ("snapshot", "restore"))
    if hasattr(made, "close"):
        made.close()
    return GymWorld(spec, forks=forks)
