"""Explore tasks whose tree gave no revision again, under another seed: which, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from agent_r.algorithm.pairing import why_no_pair
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.collection.tree_stores import Trees
from agent_r.concurrency import gather_bounded
from agent_r.environment import TaskSpec

Found: TypeAlias = tuple[TaskSpec, tuple[SearchTree, TreeRevisions] | None]

_ALL_ALIKE = ("every episode good", "every reward 0", "no episode came to its end")
_AT_ONCE = 64  # trees that are read together: they are in memory then


async def worth_another(trees: Trees, tasks: Sequence[TaskSpec], look: int) -> list[TaskSpec]:
    """Tasks for their `look`-th look again, from 1, the most promising first.

    First those that had a good and a bad end, then those whose ends were neither all good nor all
    worth nothing, then the others in their order: neither the always solved nor the never solved
    are without hope under another seed.
    """
    ranked: list[tuple[int, TaskSpec]] = []
    for start in range(0, len(tasks), _AT_ONCE):
        before = [replace(task, look=look - 1) for task in tasks[start : start + _AT_ONCE]]
        ranks = await gather_bounded(before, lambda task: _rank(trees, task))
        ranked += [
            (rank, replace(task, look=look))
            for rank, task in zip(ranks, before, strict=True)
            if rank is not None
        ]
    return [task for _, task in sorted(ranked, key=lambda one: one[0])]  # stable


async def _rank(trees: Trees, task: TaskSpec) -> int | None:
    """How far behind a task stands; None where it has a revision, or no tree."""
    tree_store = trees.store_of(task)
    revisions = await tree_store.tree_revisions(task)
    if revisions is None or revisions.revisions:
        return None
    found = await tree_store.with_revisions(task)
    if found is None:
        return None
    why = why_no_pair(found[0], tree_store.revision)
    return 2 if why in _ALL_ALIKE else int(bool(why))


async def looks_at(trees: Trees, task: TaskSpec, most: int) -> list[Found]:
    """A task's own tree, and the second looks at it that are finished, `most` at most."""
    found: list[Found] = [(task, await trees.with_revisions(task))]
    while (last := found[-1][1]) is not None and not last[1].revisions and len(found) <= most:
        again = replace(task, look=len(found))
        if (tree := await trees.with_revisions(again)) is None:
            break
        found.append((again, tree))
    return found
