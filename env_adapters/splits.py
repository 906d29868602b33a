"""Divide a world's named goals into disjoint splits, with every depth in each."""

from __future__ import annotations

from collections.abc import Mapping

from agent_r.digests import sha256_of
from agent_r.environment import Split, TaskSpec

# The paper explores some goals and tests others; a warm start must not see either.
SHARES: tuple[tuple[Split, float], ...] = (("warm_start", 0.40), ("train", 0.35), ("test", 0.25))


def split_by_depth(depths: Mapping[str, int]) -> dict[Split, list[TaskSpec]]:
    """Tasks by split, from how deep each goal is; within a depth, goals fall by their hash.

    >>> made = split_by_depth({f"goal {n}": 1 for n in range(20)})
    >>> {split: len(tasks) for split, tasks in made.items()}
    {'warm_start': 8, 'train': 7, 'test': 5}
    """
    splits: dict[Split, list[TaskSpec]] = {"warm_start": [], "train": [], "test": []}
    by_depth: dict[int, list[str]] = {}
    for goal, depth in depths.items():
        by_depth.setdefault(depth, []).append(goal)
    for depth, goals in sorted(by_depth.items()):
        ordered, start = sorted(goals, key=sha256_of), 0.0
        for split, share in SHARES:
            first, last = round(start * len(goals)), round((start + share) * len(goals))
            splits[split] += [TaskSpec(goal, split, depth) for goal in ordered[first:last]]
            start += share
    return {split: sorted(tasks, key=lambda t: sha256_of(t.id)) for split, tasks in splits.items()}
