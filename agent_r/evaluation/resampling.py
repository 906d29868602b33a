"""Intervals of means over tasks: a bootstrap, which is of use wherever tasks do not all agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent_r.algorithm import metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 4000
_AT_ONCE = 400_000  # numbers that are drawn at a time


def mean_over_tasks(values: Sequence[float]) -> metrics.Rate:
    """The mean of one value in [0, 1] a task, with its 95 % interval over tasks.

    Where every value is 0 or 1, it is Wilson's; else a percentile bootstrap (Efron 1979) with a
    seed of its own, widened where all tasks have the same value.

    >>> print(mean_over_tasks([0.0, 1.0] * 5))
    0.500 [0.237, 0.763]
    >>> print(mean_over_tasks([0.5] * 10))
    0.500 [0.346, 0.654]
    """
    n = len(values)
    if all(value in (0.0, 1.0) for value in values):
        return metrics.wilson(sum(values), n)
    mean = sum(values) / n
    low, high = interval_of_mean(values, floor=0.0)
    return metrics.Rate(mean, min(low, mean), max(high, mean), n)


def interval_of_mean(values: Sequence[float], *, floor: float) -> tuple[float, float]:
    """Where the mean of these lies with 95 % confidence; a value is between `floor` and 1.

    A bootstrap knows nothing of tasks that were not drawn. Where all values agree, Clopper and
    Pearson's bound (1934) says how large a share of other tasks could have been missed.
    """
    n, first = len(values), values[0]
    if all(value == first for value in values):
        unseen = 1 - 0.025 ** (1 / n)
        return first - unseen * (first - floor), first + unseen * (1 - first)
    return middle(_means(values))


def middle(samples: NDArray[np.float64]) -> tuple[float, float]:
    """The interval that holds 95 % of the samples."""
    import numpy as np

    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def _means(values: Sequence[float]) -> NDArray[np.float64]:
    """Means over as many tasks, drawn with replacement."""
    import numpy as np

    rng, known, n = np.random.default_rng(0), np.asarray(values, dtype=float), len(values)
    rows = max(1, _AT_ONCE // n)
    drawn = [
        known[rng.integers(n, size=(min(rows, RESAMPLES - at), n))].mean(axis=1)
        for at in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(drawn)
