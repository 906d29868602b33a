"""Plan an iteration: which tasks it explores, in which shards, and in which folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent_r.environment import TaskSpec
from agent_r.errors import ConfigError
from agent_r.run_worlds import Worlds
from agent_r.settings import Config

SMALLEST_SHARD = 8  # trees: one Prefect task costs some milliseconds
MOST_SHARDS = 64  # of one run: they all are tasks that Prefect remembers


def dataset_folder(config: Config) -> Path:
    """Where a dataset's versions lie, its report beside them."""
    return Path(config.dataset.out) / config.dataset.name


def work_folder(config: Config) -> Path:
    """Trees, revisions, models and measurements: what a resumed run goes on from."""
    return dataset_folder(config) / "work"


def tasks_of_iteration(worlds: Worlds, config: Config, iteration: int) -> list[TaskSpec]:
    """The tasks that an iteration explores: the split in turn, so that iterations differ.

    Once all tasks were explored, each is explored again with another seed.

    Raises:
        ConfigError: a world has no tasks to explore.
    """
    return worlds.tasks("train", config.trees, turn=iteration - 1)


def shards(tasks: Sequence[TaskSpec]) -> list[list[TaskSpec]]:
    """Consecutive groups of tasks, as many as Prefect is shown at most."""
    size = max(SMALLEST_SHARD, -(-len(tasks) // MOST_SHARDS))
    return [list(tasks[i : i + size]) for i in range(0, len(tasks), size)]


def part_of(tasks: Sequence[TaskSpec], part: str) -> list[TaskSpec]:
    """One machine's share of the tasks, `3/16` the third of sixteen; all of them where it is "".

    Raises:
        ConfigError: that is no part.
    """
    if not part:
        return list(tasks)
    number, slash, of = part.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise ConfigError(f"part '{part}': write it as 3/16, the third of sixteen")
    return [task for i, task in enumerate(tasks) if i % int(of) == int(number) - 1]
