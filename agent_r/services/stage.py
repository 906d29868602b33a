"""What the stages of one run share: settings, the actor, folders, and how much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_r.actor import Actor
from agent_r.environment import TaskSpec
from agent_r.errors import ConfigError
from agent_r.services.forest import Forest, MakeEnv
from agent_r.services.progress import Progress
from agent_r.settings import Config
from agent_r.together import each


@dataclass(frozen=True, slots=True)
class Stage:
    """One iteration's exploring and revising: a forest, its actor, and how much at once."""

    forest: Forest
    actor: Actor
    limit: asyncio.Semaphore
    explored: Progress
    revised: Progress

    async def explore(self, shard: Sequence[TaskSpec]) -> int:
        """Search the trees of a shard; returns how many."""

        async def one(task: TaskSpec) -> None:
            await self.forest.explore(self.actor, task)
            self.explored.step()

        return len(await each(shard, one, limit=self.limit))

    async def revise(self, shard: Sequence[TaskSpec]) -> int:
        """Judge, splice and verify what a shard's trees hold; returns how many."""

        async def one(task: TaskSpec) -> None:
            await self.forest.revise(self.actor, task)
            self.revised.step()

        return len(await each(shard, one, limit=self.limit))


def dataset_folder(config: Config) -> Path:
    """Where a dataset's versions lie, its report beside them."""
    return Path(config.dataset.out) / config.dataset.name


def work_folder(config: Config) -> Path:
    """Trees, harvests, models and measurements: what a resumed run goes on from."""
    return dataset_folder(config) / "work"


def tasks_of_iteration(make_env: MakeEnv, config: Config, iteration: int) -> list[TaskSpec]:
    """The tasks that an iteration explores: the split in turn, so that iterations differ.

    Raises:
        ConfigError: the world has fewer tasks than one iteration wants.
    """
    tasks = list(make_env().tasks("train"))
    if config.trees > len(tasks):
        raise ConfigError(f"trees = {config.trees}, but the world has {len(tasks)} train tasks")
    start = (iteration - 1) * config.trees
    return [tasks[(start + i) % len(tasks)] for i in range(config.trees)]


def shards(tasks: Sequence[TaskSpec], size: int) -> list[list[TaskSpec]]:
    """Consecutive groups of `size` tasks: the unit that Prefect sees."""
    return [list(tasks[i : i + size]) for i in range(0, len(tasks), size)]
