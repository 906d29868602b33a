"""Run many trees concurrently; one tree failing does not affect the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent_r.actor import Actor
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.progress import Progress
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.collection.tree_stores import Trees
from agent_r.concurrency import first_of, gather_bounded
from agent_r.endpoint.budget import Budget
from agent_r.environment import TaskSpec
from agent_r.errors import (
    AgentRError,
    BudgetSpent,
    ConversationRefused,
    EndpointDown,
    EndpointError,
    EndpointRejected,
    EnvironmentFault,
    UnknownTask,
)

TRIES = 3  # of one tree in one run; its replies are kept from try to try
HOPELESS = 8  # trees that fail before any comes to its end: then the next would fail as well
LOOKED_UP = 64  # trees at once, and before one of them is begun: a stored answer may grow old
FOR_ALL = (401, 402, 403, 404, 429)  # a refusal of these is not one tree's matter

_log = logging.getLogger(__name__)


class EarlyStopping(Protocol):
    """Stops a run that cannot produce any pair (`agent_r.diagnostics.early_stop`)."""

    @property
    def looking(self) -> bool:
        """Whether it still wants to see trees."""
        ...

    def explored(self, tree: SearchTree) -> None:
        """Look at a tree that is not revised yet."""
        ...

    def see(self, task: TaskSpec, tree: SearchTree, revisions: TreeRevisions) -> None:
        """Take one more tree into account.

        Raises:
            NothingMade: the other trees would give nothing either.
        """
        ...


@dataclass(slots=True)
class TreeScheduler:
    """Runs the trees in flight; each holds a place from its first request until it is revised."""

    trees: Trees
    actor: Actor
    budget: Budget
    places: asyncio.Semaphore
    progress: Progress
    early_stop: EarlyStopping | None = None
    finished: int = 0  # trees with revisions, those of earlier runs among them
    in_flight: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # trees given up, by kind
    stopped: str = ""  # the limit of the budget that ended the run
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKED_UP))

    async def grow(self, shard: Sequence[TaskSpec]) -> int:
        """Explore and revise the trees of a shard; a tree is revised as soon as it is explored.

        Shards begin in order, each when the one before has begun all its trees.

        Returns: how many were finished, in this run or before.

        Raises:
            EndpointDown, EndpointRejected, StoreError: the other trees would fail as well.
            NothingMade: nothing can come of the other trees either.
        """
        running: list[asyncio.Task[bool]] = []
        found = 0
        there = await self._look_up(shard[:LOOKED_UP])  # while other shards have their turn
        try:
            async with asyncio.TaskGroup() as group, self._turn:
                for place, task in enumerate(shard):
                    if place and place % LOOKED_UP == 0:
                        there = await self._look_up(shard[place : place + LOOKED_UP])
                    if there[place % LOOKED_UP]:
                        found += 1
                        self.trees.store_of(task).tidy(task)
                        await self._recall(task)
                        self._finish()
                    elif await self._begin():
                        running.append(group.create_task(self._one(task)))
        except BaseExceptionGroup as failures:
            raise first_of(failures) from None
        return found + sum(task.result() for task in running)

    async def _look_up(self, tasks: Sequence[TaskSpec]) -> list[bool]:
        """Which of these are finished: a store far away is asked for many at once."""
        return await gather_bounded(tasks, self.trees.finished, limit=self._looks)

    async def _begin(self) -> bool:
        """Take a place, once there is one and the budget lasts for one more tree."""
        await self.places.acquire()
        full = self.stopped or await self.budget.room()
        if not full and self.stopped:  # meanwhile
            self.budget.ended(None, 0.0)
        self.stopped = self.stopped or full
        if self.stopped:
            self.places.release()
            return False
        self.in_flight += 1
        return True

    async def _one(self, task: TaskSpec) -> bool:
        """Work on one tree until it is finished or given up, then leave its place to another."""
        began, spent = time.monotonic(), None
        try:
            spent = await self._try(task)
        finally:
            self.in_flight -= 1
            self.budget.ended(spent, time.monotonic() - began)
            self.places.release()
        if spent is None:
            return False
        self._finish()
        return True

    async def _try(self, task: TaskSpec) -> tuple[int, int] | None:
        """Prompt and completion tokens of a tree that was finished; None if it was not.

        Replies are kept in its journal, so another try goes on where the last one failed.
        """
        for left in range(TRIES - 1, -1, -1):
            try:
                return await self._grow(task)
            except BudgetSpent as limit:
                self.stopped = str(limit)
                break
            except EndpointDown:
                raise
            except (EndpointError, EnvironmentFault, UnknownTask) as failure:
                # A refusal would come again; of anything else the next try may know nothing.
                if not left or isinstance(failure, EndpointRejected | UnknownTask):
                    self._give_up(task, failure)
                    break
        return None

    async def _grow(self, task: TaskSpec) -> tuple[int, int]:
        """Prompt and completion tokens of a tree and its harvest."""
        tree_store = self.trees.store_of(task)
        tree = await tree_store.explore(self.actor, task)
        if self.early_stop is not None:
            self.early_stop.explored(tree)
        tree_revisions = await tree_store.revise(self.actor, task)
        if self.early_stop is not None:
            self.early_stop.see(task, tree, tree_revisions)
        return (
            tree.prompt_tokens + tree_revisions.prompt_tokens,
            tree.completion_tokens + tree_revisions.completion_tokens,
        )

    async def _recall(self, task: TaskSpec) -> None:
        """What an earlier run has made counts as well, as long as that has shown no pair."""
        if self.early_stop is None or not self.early_stop.looking:
            return
        if (with_revisions := await self.trees.with_revisions(task)) is not None:
            self.early_stop.see(task, *with_revisions)

    def _give_up(self, task: TaskSpec, failure: AgentRError) -> None:
        """Count a failed tree; raise only if the others would fail as well."""
        self.failed[type(failure).__name__] += 1
        _log.warning("the tree of '%s' is left for the next run: %s", task.id[:80], failure)
        hopeless = self.finished == 0 and self.failed.total() >= HOPELESS
        if hopeless or is_for_all(failure):
            raise failure

    def _finish(self) -> None:
        self.finished += 1
        self.progress.step()


def is_for_all(failure: AgentRError) -> bool:
    """Whether any other tree would be refused as well."""
    if isinstance(failure, ConversationRefused) or not isinstance(failure, EndpointRejected):
        return False
    return failure.status in FOR_ALL
