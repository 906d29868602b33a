"""Manage the worlds of one run: share out tasks among them, and close them all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType

from agent_r.algorithm.episode import broken
from agent_r.closing import close
from agent_r.environment import EnvInfo, Environment, Split, TaskSpec, World
from agent_r.errors import AgentRError, ConfigError
from agent_r.loading import one_line
from agent_r.settings import EnvSpec, SingleEnv, env_specs


@dataclass(frozen=True, slots=True)
class Member:
    """One world of a run."""

    spec: SingleEnv
    world: World
    info: EnvInfo

    def tasks(self, split: Split) -> list[TaskSpec]:
        """All of a split, each knowing its world."""
        try:
            tasks = self.world.environment().tasks(split)
            return [replace(task, world=self.info.name) for task in tasks]
        except AgentRError:
            raise
        except Exception as error:
            raise broken(self.info, error) from error


@dataclass(frozen=True, slots=True)
class Worlds:
    """All worlds of a run, by name; as a context it closes them at its end."""

    members: dict[str, Member]
    unclosed: Counter[str] = field(default_factory=Counter)  # closings that failed, by world

    @classmethod
    def of(cls, spec: EnvSpec, world_of: Callable[[SingleEnv], World]) -> Worlds:
        """Worlds that nothing has been asked of yet.

        Raises:
            ConfigError: two have the same name: rows would not tell them apart.
        """
        members: dict[str, Member] = {}
        for one in env_specs(spec):
            world = world_of(one)
            info = _info(one, world)
            if info.name in members:
                raise ConfigError(f"env.worlds has two worlds called '{info.name}'")
            members[info.name] = Member(one, world, info)
        return cls(members)

    @property
    def infos(self) -> list[EnvInfo]:
        return [member.info for member in self.members.values()]

    def world(self, name: str = "") -> World:
        """The world of that name; "" where there is but one.

        Raises:
            ConfigError: no world of this run is called so.
        """
        if not name and len(self.members) == 1:
            name = next(iter(self.members))
        if name not in self.members:
            raise ConfigError(f"no world of this run is called '{name}'")
        return self.members[name].world

    def environment(self, name: str = "") -> Environment:
        """A fresh environment of the world of that name; "" where there is but one.

        Raises:
            ConfigError: no world of this run is called so.
        """
        return self.world(name).environment()

    def tasks(
        self, split: Split, count: int, *, turn: int = 0, repeats: bool = True
    ) -> list[TaskSpec]:
        """`count` tasks of a split, shared out by the worlds' weights; the next ones each `turn`.

        A world gives its own in their order, and after the last from the first again: no turn
        has the same tree as another.

        Raises:
            ConfigError: a world has no task in that split.
        """
        shares = self._shares(count)
        waiting = {
            name: iter(_taken(self.members[name], split, shares.count(name), turn))
            for name in self.members
        }
        tasks = [next(waiting[name]) for name in shares]
        return tasks if repeats else [task for task in tasks if not task.repeat]

    def _shares(self, count: int) -> list[str]:
        """Choose each tree's world: always the one furthest behind its weight."""
        weights = {name: member.spec.weight for name, member in self.members.items()}
        total, had = sum(weights.values()), dict.fromkeys(weights, 0)
        order: list[str] = []
        for drawn in range(1, count + 1):
            name = max(weights, key=lambda n: weights[n] * drawn / total - had[n])
            had[name] += 1
            order.append(name)
        return order

    def called(self, task: str, world: str) -> str:
        """A task's name, unique also among several worlds."""
        return task if len(self.members) == 1 else f"{world}/{task}"

    async def check(self) -> None:
        """Ask each world whether it can be had.

        Raises:
            AgentRError: what is missing first.
        """
        for member in self.members.values():
            await member.world.check()

    async def __aenter__(self) -> Worlds:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close every world; one that cannot be closed is logged, and affects no other."""
        ends = (close(m.world.aclose, name, self.unclosed) for name, m in self.members.items())
        failures = await asyncio.gather(*ends, return_exceptions=True)
        if error is None and (ended := next(filter(None, failures), None)):
            raise ended  # a cancelled closing, and no mistake of a world's


def _info(spec: SingleEnv, world: World) -> EnvInfo:
    """What a world says of itself; one of somebody's own may say it wrong."""
    try:
        info = world.environment().info
    except AgentRError:
        raise
    except Exception as error:
        line = f"the world of kind '{spec.kind}' cannot say what it is: {one_line(error)}"
        raise ConfigError(line) from error
    if not isinstance(info, EnvInfo):
        raise ConfigError(f"the world of kind '{spec.kind}' says what it is by no EnvInfo")
    return info


def _taken(member: Member, split: Split, count: int, turn: int) -> list[TaskSpec]:
    tasks = member.tasks(split)
    if count and not tasks:
        raise ConfigError(f"the world '{member.info.name}' has no {split} tasks")
    places = range(turn * count, (turn + 1) * count)
    return [replace(tasks[i % len(tasks)], repeat=i // len(tasks)) for i in places]
