"""The tree stores of a run of several worlds, one for each world."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.collection.tree_store import TreeStore
from agent_r.config import digest
from agent_r.environment import TaskSpec
from agent_r.settings import Config


class Trees(Protocol):
    """What a run needs of one tree store, or of several."""

    @property
    def config(self) -> Config: ...

    @property
    def worlds(self) -> list[dict[str, Any]]:
        """What a manifest says of them."""
        ...

    def store_of(self, task: TaskSpec) -> TreeStore:
        """Where the tree of a task lies."""
        ...

    async def finished(self, task: TaskSpec) -> bool: ...

    async def with_revisions(self, task: TaskSpec) -> tuple[SearchTree, TreeRevisions] | None: ...


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

    def store_of(self, task: TaskSpec) -> TreeStore:
        return self.stores[task.world]

    async def finished(self, task: TaskSpec) -> bool:
        return await self.store_of(task).finished(task)

    async def with_revisions(self, task: TaskSpec) -> tuple[SearchTree, TreeRevisions] | None:
        return await self.store_of(task).with_revisions(task)

    def leave(self) -> None:
        """Remove what only a run in progress needs; of trees that failed, journals stay."""
        for tree_store in self.stores.values():
            tree_store.leave()
