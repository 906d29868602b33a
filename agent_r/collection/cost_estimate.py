"""Estimate what a run will cost from a few trees that are really searched, and kept."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from agent_r.collection.tree_stores import Trees
from agent_r.concurrency import gather_bounded
from agent_r.environment import TaskSpec


@dataclass(frozen=True, slots=True)
class Cost:
    """What one tree and its revisions took."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    revisions: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A total for all trees, and the half-width of its 95 % interval."""

    total: float
    half_width: float

    def __str__(self) -> str:
        if math.isinf(self.half_width):
            return f"about {self.total:,.0f}"
        return f"{self.total:,.0f} ± {self.half_width:,.0f}"


def sample(tasks: Sequence[TaskSpec], count: int, *, seed: int) -> list[TaskSpec]:
    """A few of the tasks, in their order; the same ones every time."""
    chosen = random.Random(seed).sample(range(len(tasks)), min(count, len(tasks)))
    return [tasks[i] for i in sorted(chosen)]


async def costs(trees: Trees, tasks: Sequence[TaskSpec]) -> list[Cost]:
    """What those of the trees that are finished took."""
    found = [one for one in await gather_bounded(tasks, trees.with_revisions) if one]
    return [
        Cost(
            tree.calls + tree_revisions.calls,
            tree.prompt_tokens + tree_revisions.prompt_tokens,
            tree.completion_tokens + tree_revisions.completion_tokens,
            len(tree_revisions.revisions),
        )
        for tree, tree_revisions in found
    ]


def extrapolate(values: Sequence[float], count: int) -> Estimate:
    """From a few trees' values to the sum over `count` trees; one value says nothing of its spread.

    >>> str(extrapolate([40.0, 60.0, 50.0, 50.0], 100))
    '5,000 ± 1,298'
    """
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return Estimate(mean * count, math.inf)
    variance = sum((value - mean) ** 2 for value in values) / (n - 1)
    return Estimate(mean * count, count * _t(n - 1) * math.sqrt(variance / n))


def _t(freedom: int) -> float:
    """97.5 % quantile of Student's t, to a hundredth (Cornish-Fisher, and a table below 4)."""
    table = {1: 12.71, 2: 4.30, 3: 3.18}
    z = 1.96
    return table.get(freedom) or z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (
        96 * freedom**2
    )
