"""Which tasks are explored again, in what order, and which of these trees a version takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent_r.algorithm.critique import FirstError
from agent_r.algorithm.pairing import TrajectoryPair
from agent_r.algorithm.revision import Revision
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.second_looks import looks_at, worth_another
from agent_r.collection.tree_revisions import TREE_REVISIONS, TreeRevisions
from agent_r.collection.tree_store import TREE, TreeStore, _file
from agent_r.dataset.view.work import Work
from agent_r.digests import sha256_of
from agent_r.environment import TaskSpec
from agent_r.settings import Config
from agent_r.testing import ForkableCorridor, ScriptedActor
from tests.support.planting import plant

REVISION = Revision(TrajectoryPair(2, 1, 0), FirstError(0, "replay", None), (), 1.0, True, "proof")
REVISED, NOTHING = TreeRevisions(revisions=[REVISION]), TreeRevisions(drops={"duplicate": 1})
FAILED, SOLVED, PAIRED = plant(("a", 0.0)), plant(("a", 1.0)), plant(("a", 1.0), ("b", 0.0))
MIDDLING = plant(("a", 0.5), ("b", 0.0))


@pytest.fixture
def trees(tmp_path: Path) -> TreeStore:
    return TreeStore.of(tmp_path, ForkableCorridor, Config(), actor="tiny", iteration=1)


async def store(trees: TreeStore, name: str, tree: SearchTree, made: TreeRevisions) -> TaskSpec:
    """A finished tree; `name/1` is the second look at a task."""
    task, _, look = name.partition("/")
    spec = TaskSpec(task, "train", look=int(look or 0))
    content = TREE.dump_json(tree)
    await trees.trees.write(_file(spec), content)
    made = replace(made, tree=sha256_of(content, 16))
    await trees.all_revisions.write(_file(spec), TREE_REVISIONS.dump_json(made))
    return spec


async def test_a_good_and_a_bad_end_come_first_and_ends_that_were_all_alike_last(
    trees: TreeStore,
) -> None:
    planned = [
        await store(trees, "solved", SOLVED, NOTHING),
        await store(trees, "failed", FAILED, NOTHING),
        await store(trees, "middling", MIDDLING, NOTHING),
        await store(trees, "revised", PAIRED, REVISED),
        TaskSpec("no tree yet", "train"),
        await store(trees, "paired", PAIRED, NOTHING),
        await store(trees, "failed too", FAILED, NOTHING),
    ]
    chosen = await worth_another(trees, planned, 1)
    assert [(task.id, task.look) for task in chosen] == [
        ("paired", 1), ("middling", 1), ("solved", 1), ("failed", 1), ("failed too", 1)
    ]  # fmt: skip


async def test_a_look_is_another_only_after_one_without_a_revision(trees: TreeStore) -> None:
    one = await store(trees, "one", FAILED, NOTHING)
    two = await store(trees, "two", PAIRED, NOTHING)
    await store(trees, "one/1", PAIRED, REVISED)
    await store(trees, "two/1", FAILED, NOTHING)
    assert [(t.id, t.look) for t in await worth_another(trees, [one, two], 2)] == [("two", 2)]


async def test_a_version_takes_a_tasks_tree_and_the_looks_that_followed_from_it(
    trees: TreeStore,
) -> None:
    task = await store(trees, "one", FAILED, NOTHING)
    await store(trees, "one/1", PAIRED, NOTHING)
    await store(trees, "one/3", PAIRED, REVISED)  # the second is not there yet
    revised = await store(trees, "two", PAIRED, REVISED)
    await store(trees, "two/1", FAILED, NOTHING)  # of a tree of before
    assert [found.look for found, _ in await looks_at(trees, task, 5)] == [0, 1]
    assert [found.look for found, _ in await looks_at(trees, task, 0)] == [0]
    assert [found.look for found, _ in await looks_at(trees, revised, 5)] == [0]
    assert await looks_at(trees, TaskSpec("none", "train"), 5) == [
        (TaskSpec("none", "train"), None)
    ]


async def test_every_look_has_a_seed_and_a_file_of_its_own(trees: TreeStore) -> None:
    actor = ScriptedActor(lambda messages, k: "Action: jump")
    tasks = [
        TaskSpec("corridor 1", "train", repeat=repeat, look=look)
        for repeat in (0, 1, 2)
        for look in (0, 1, 2)
    ]
    assert len({(await trees.explore(actor, task)).seed for task in tasks}) == len(tasks)
    [paths] = Work.of(trees.journals.parent).trees.values()
    assert len(paths) == len(tasks)
