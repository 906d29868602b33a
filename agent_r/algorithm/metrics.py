"""Compute success, reward and loop rates of episodes, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent_r.algorithm.pairing import loops
from agent_r.algorithm.trajectory import Trajectory

_Z = 1.959963984540054  # the normal quantile of a two-sided 95 % interval


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of n cases, with its 95 % interval."""

    rate: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.rate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson(successes: float, n: float) -> Rate:
    """Wilson's score interval (1927): sound at small n and near 0 and 1.

    >>> print(wilson(5, 10))
    0.500 [0.237, 0.763]
    """
    if n == 0:
        return Rate(0.0, 0.0, 1.0, 0)
    p = successes / n
    scale = 1 + _Z**2 / n
    middle = (p + _Z**2 / (2 * n)) / scale
    half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / scale
    # At 0 and 1 rounding would put an end of the interval on the wrong side of the rate.
    return Rate(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)), round(n))


def success(episodes: Sequence[Trajectory]) -> Rate:
    """Share of episodes with the full reward."""
    return wilson(sum(e.reward >= 1.0 for e in episodes), len(episodes))


def mean_reward(episodes: Sequence[Trajectory]) -> float:
    """Mean final reward, in [0, 1]; 0 for no episode."""
    return sum(e.reward for e in episodes) / len(episodes) if episodes else 0.0


def loop_rate(episodes: Sequence[Trajectory]) -> float:
    """Share of episodes that repeat one step three times in a row (paper: dead loops)."""
    return sum(loops(e.steps) for e in episodes) / len(episodes) if episodes else 0.0


def paired_gain(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Mean gain over the same tasks, and the half-width of its 95 % interval.

    >>> paired_gain([0, 0, 1, 1], [1, 1, 1, 1])[0]
    0.5
    """
    gains = [b - a for a, b in zip(before, after, strict=True)]
    if len(gains) < 2:
        return (gains[0] if gains else 0.0), 1.0
    mean = sum(gains) / len(gains)
    variance = sum((g - mean) ** 2 for g in gains) / (len(gains) - 1)
    return mean, _Z * math.sqrt(variance / len(gains))
