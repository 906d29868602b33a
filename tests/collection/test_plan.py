"""Which trees an iteration grows, and in which shards."""

from __future__ import annotations

import pytest

from agent_r.collection.plan import MOST_SHARDS, part_of, shards, tasks_of_iteration
from agent_r.environment import TaskSpec
from agent_r.errors import ConfigError
from agent_r.settings import Config
from agent_r.testing import Corridor
from tests.support.planting import only

CORRIDORS = only(Corridor)
TASKS = [TaskSpec(str(i), "train") for i in range(20)]


def test_iterations_take_the_tasks_in_turn() -> None:
    config = Config.model_validate({"trees": 2})
    chosen = [[t.id for t in tasks_of_iteration(CORRIDORS, config, i)] for i in (1, 2)]
    assert chosen == [["corridor 1", "corridor 2"], ["corridor 3", "corridor 1"]]


def test_more_trees_than_tasks_are_trees_of_the_same_tasks_again() -> None:
    tasks = tasks_of_iteration(CORRIDORS, Config.model_validate({"trees": 7}), 1)
    assert [(t.id[-1], t.repeat) for t in tasks] == [
        ("1", 0), ("2", 0), ("3", 0), ("1", 1), ("2", 1), ("3", 1), ("1", 2)
    ]  # fmt: skip
    assert len(set(tasks)) == 7


def test_a_world_without_tasks_is_refused() -> None:
    class Empty(Corridor):
        def tasks(self, split: object) -> list[TaskSpec]:
            return []

    with pytest.raises(ConfigError, match="no train tasks"):
        tasks_of_iteration(only(Empty), Config(), 1)


@pytest.mark.parametrize("count", [1, 8, 20, 1000, 100_003])
def test_shards_are_consecutive_complete_and_few(count: int) -> None:
    tasks = [TaskSpec(str(i), "train") for i in range(count)]
    made = shards(tasks)
    assert [task for shard in made for task in shard] == tasks
    assert len(made) <= MOST_SHARDS


def test_the_parts_of_all_machines_are_all_tasks_once() -> None:
    parts = [part_of(TASKS, f"{i}/3") for i in (1, 2, 3)]
    assert sorted((t for part in parts for t in part), key=lambda t: int(t.id)) == TASKS
    assert part_of(TASKS, "") == TASKS


@pytest.mark.parametrize("part", ["0/3", "4/3", "3", "a/b", "1/0", "/", "-1/3"])
def test_what_is_no_part_is_refused(part: str) -> None:
    with pytest.raises(ConfigError, match="write it as 3/16"):
        part_of(TASKS, part)
