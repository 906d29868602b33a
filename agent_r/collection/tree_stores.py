"""The tree stores of a run of several worlds, one for each world."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

from agent_r.actor import Actor
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.revise_tree import TreeRevisions
from agent_r.collection.tree_store import TreeStore
from agent_r.config import digest
from agent_r.environment import EnvInfo, TaskSpec
from agent_r.settings import Config


class Trees(Protocol):
    """What a run needs of one tree store, or of several."""

    @property
    def config(self) -> Config: ...

    @property
    def worlds(self) -> list[dict[str, Any]]:
        """What a manifest says of them."""
        ...

    def info(self, task: TaskSpec) -> EnvInfo: ...

    async def finished(self, task: TaskSpec) -> bool: ...

    async def with_revisions(self, task: TaskSpec) -> tuple[SearchTree, TreeRevisions] | None: ...

    async def explore(self, actor: Actor, task: TaskSpec) -> SearchTree: ...

    async def revise(self, actor: Actor, task: TaskSpec) -> TreeRevisions: ...

    def tidy(self, task: TaskSpec) -> None: ...


@dataclass(frozen=True, slots=True)
class TreeStores:
    """Implements Trees over the tree stores of all worlds, by the worlds' names."""

    config: Config
    stores: dict[str, TreeStore]

    @property
    def key(self) -> str:
        """Digest of all that went in; with a single world, its own store's key."""
        keys = [tree_store.key for tree_store in self.stores.values()]
        return keys[0] if len(keys) == 1 else digest(*keys)

    @property
    def worlds(self) -> list[dict[str, Any]]:
        return [world for tree_store in self.stores.values() for world in tree_store.worlds]

    @property
    def unclosed(self) -> Counter[str]:
        """Closings that failed, by world."""
        return sum((tree_store.unclosed for tree_store in self.stores.values()), Counter())

    def of(self, task: TaskSpec) -> TreeStore:
        """The tree store that holds this task's tree."""
        return self.stores[task.world]

    def info(self, task: TaskSpec) -> EnvInfo:
        return self.of(task).info(task)

    async def finished(self, task: TaskSpec) -> bool:
        return await self.of(task).finished(task)

    async def with_revisions(self, task: TaskSpec) -> tuple[SearchTree, TreeRevisions] | None:
        return await self.of(task).with_revisions(task)

    async def explore(self, actor: Actor, task: TaskSpec) -> SearchTree:
        return await self.of(task).explore(actor, task)

    async def revise(self, actor: Actor, task: TaskSpec) -> TreeRevisions:
        return await self.of(task).revise(actor, task)

    def tidy(self, task: TaskSpec) -> None:
        self.of(task).tidy(task)

    def leave(self) -> None:
        """Remove what only a run in progress needs; of trees that failed, journals stay."""
        for tree_store in self.stores.values():
            tree_store.leave()
