"""Compute intervals of means over tasks; `benchmarks/intervals.py` counts how often they hold.

Tasks differ far more than the attempts of one, so a task is the unit. A percentile bootstrap over
tasks, the usual way, holds the truth too seldom where tasks are few or hard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent_r.algorithm import metrics

_Z = 1.959963984540054  # the normal quantile of a two-sided 95 % interval


def mean_over_tasks(values: Sequence[float]) -> metrics.Rate:
    """The mean of one value in [0, 1] a task, with its 95 % interval over tasks.

    It is Wilson's (1927) at the effective number of tasks (Korn and Graubard 1998): as many of
    0 and 1 would vary as much. The variance is that with one failure and one success more, for
    values that happen to be alike. Where every value is 0 or 1, it is Wilson's itself.

    >>> print(mean_over_tasks([0.0, 1.0] * 5))
    0.500 [0.237, 0.763]
    >>> print(mean_over_tasks([0.5] * 10))
    0.500 [0.377, 0.623]
    """
    n = len(values)
    if all(value in (0.0, 1.0) for value in values):
        return metrics.wilson(sum(values), n)
    mean, variance = _moments([*values, 0.0, 1.0])
    effective = n * mean * (1 - mean) / variance
    rate = sum(values) / n
    found = metrics.wilson(rate * effective, effective)
    return metrics.Rate(rate, found.low, found.high, n)


def gain_over_tasks(gains: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of one difference in [-1, 1] a task.

    Bonett and Price's (2012) of paired shares: a task won and one lost are added.

    >>> [round(end, 3) for end in gain_over_tasks([0.0] * 20)]
    [-0.126, 0.126]
    """
    mean, variance = _moments([*gains, 1.0, -1.0])
    half = _Z * math.sqrt(variance / (len(gains) + 2))
    return max(-1.0, mean - half), min(1.0, mean + half)


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / len(values)
