"""The forests of a run of several worlds: one each, and a tree is found in its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

from agent_r.actor import Actor
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.revise_tree import Harvest
from agent_r.collection.tree_store import Forest
from agent_r.config import digest
from agent_r.environment import EnvInfo, TaskSpec
from agent_r.settings import Config


class Trees(Protocol):
    """What is asked of one forest, or of several."""

    @property
    def config(self) -> Config: ...

    @property
    def worlds(self) -> list[dict[str, Any]]:
        """What a manifest says of them."""
        ...

    def info(self, task: TaskSpec) -> EnvInfo: ...

    async def finished(self, task: TaskSpec) -> bool: ...

    async def reaped(self, task: TaskSpec) -> tuple[SearchTree, Harvest] | None: ...

    async def explore(self, actor: Actor, task: TaskSpec) -> SearchTree: ...

    async def revise(self, actor: Actor, task: TaskSpec) -> Harvest: ...

    def tidy(self, task: TaskSpec) -> None: ...


@dataclass(frozen=True, slots=True)
class Woods:
    """Implements Trees over the forests of all worlds, by the worlds' names."""

    config: Config
    forests: dict[str, Forest]

    @property
    def key(self) -> str:
        """Names all that went in; of a single world its own forest's."""
        keys = [forest.key for forest in self.forests.values()]
        return keys[0] if len(keys) == 1 else digest(*keys)

    @property
    def worlds(self) -> list[dict[str, Any]]:
        return [world for forest in self.forests.values() for world in forest.worlds]

    @property
    def unclosed(self) -> Counter[str]:
        """Closings that failed, by world."""
        return sum((forest.unclosed for forest in self.forests.values()), Counter())

    def of(self, task: TaskSpec) -> Forest:
        """The forest in which a tree of this task stands."""
        return self.forests[task.world]

    def info(self, task: TaskSpec) -> EnvInfo:
        return self.of(task).info(task)

    async def finished(self, task: TaskSpec) -> bool:
        return await self.of(task).finished(task)

    async def reaped(self, task: TaskSpec) -> tuple[SearchTree, Harvest] | None:
        return await self.of(task).reaped(task)

    async def explore(self, actor: Actor, task: TaskSpec) -> SearchTree:
        return await self.of(task).explore(actor, task)

    async def revise(self, actor: Actor, task: TaskSpec) -> Harvest:
        return await self.of(task).revise(actor, task)

    def tidy(self, task: TaskSpec) -> None:
        self.of(task).tidy(task)

    def leave(self) -> None:
        """Remove what only a run in progress needs; of trees that failed, journals stay."""
        for forest in self.forests.values():
            forest.leave()
