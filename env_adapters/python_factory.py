"""A world of one's own, by import path: a factory of an Environment, or of a World."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from agent_r.environment import (
    Embedded,
    EnvInfo,
    Environment,
    Expert,
    Forkable,
    Snapshot,
    Split,
    StepResult,
    TaskSpec,
    World,
)
from agent_r.grammar import Grammar
from agent_r.loading import call, require
from agent_r.settings import PythonEnv

_ENVIRONMENT = ("info", "tasks", "reset", "step", "close")
_WORLD = ("expert", "environment", "check", "aclose")


def python(spec: PythonEnv) -> World:
    """The world that a factory makes; of environments, each call makes a fresh one.

    Raises:
        ConfigError: the factory fails, or what it makes lacks something.
    """
    world = _world(spec)
    return Respelt(world, spec.grammar.grammar()) if spec.grammar else world


def _world(spec: PythonEnv) -> World:
    product = call(spec.factory, spec.arguments)
    if hasattr(product, "environment"):
        require(product, _WORLD, "a World (agent_r/environment.py)", spec.factory)
        return cast(World, product)
    require(product, _ENVIRONMENT, "an Environment (docs/worlds.md)", spec.factory)
    return Embedded(lambda: cast(Environment, call(spec.factory, spec.arguments)))


@dataclass(frozen=True, slots=True)
class Respelt:
    """A world whose replies are read otherwise than it says itself."""

    world: World
    grammar: Grammar

    @property
    def expert(self) -> Expert | None:
        return self.world.expert

    def environment(self) -> Environment:
        env = self.world.environment()
        return (_Forkable if isinstance(env, Forkable) else _Plain)(env, self.grammar)

    async def check(self) -> None:
        await self.world.check()

    async def aclose(self) -> None:
        await self.world.aclose()


class _Plain:
    """An environment that is as it was but for its grammar."""

    def __init__(self, env: Environment, grammar: Grammar) -> None:
        self._env, self._grammar = env, grammar

    @property
    def info(self) -> EnvInfo:
        return replace(self._env.info, grammar=self._grammar)

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        return self._env.tasks(split)

    async def reset(self, task: str) -> str:
        return await self._env.reset(task)

    async def step(self, action: str) -> StepResult:
        return await self._env.step(action)

    async def close(self) -> None:
        await self._env.close()


class _Forkable(_Plain):
    def snapshot(self) -> Snapshot:
        return cast(Forkable, self._env).snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        cast(Forkable, self._env).restore(snapshot)
