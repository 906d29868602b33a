"""The hierarchical bootstrap: intervals and tests over seeds and tasks together.

All seeds and arms meet the same held-out tasks, so a result is a cell of a table of seeds × tasks,
and cells of one row or one column are not independent. Rows and columns are therefore resampled
each on their own, with replacement, and a cell counts as often as its seed was drawn times as
often as its task was: the pigeonhole bootstrap (Owen, The pigeonhole bootstrap, Annals of Applied
Statistics 1(2), 2007, 386–411), which errs to the side of too wide an interval. Two arms are
resampled with the same draws, for a paired difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent_r.algorithm import metrics

RESAMPLES = 10_000
Cells = NDArray[np.float64]  # seeds × tasks; NaN where there is no result


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and what it would be in each resample; NaN where it has none."""

    value: float
    drawn: NDArray[np.float64]
    tasks: int  # distinct ones

    def __sub__(self, other: Estimate) -> Estimate:
        tasks = min(self.tasks, other.tasks)
        return Estimate(self.value - other.value, self.drawn - other.drawn, tasks)

    @property
    def known(self) -> bool:
        return not math.isnan(self.value) and not np.isnan(self.drawn).all()

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95 % of the resamples."""
        low, high = np.nanpercentile(self.drawn, [2.5, 97.5])
        return float(low), float(high)

    @property
    def rate_interval(self) -> tuple[float, float]:
        """Of a share; where all resamples agree, as at 0 and at 1, Wilson's over the tasks."""
        low, high = self.interval
        if not math.isclose(low, high):
            return low, high
        exact = metrics.wilson(min(max(self.value, 0.0), 1.0) * self.tasks, self.tasks)
        return min(low, exact.low), max(high, exact.high)

    @property
    def p_value(self) -> float:
        """Two-sided, that the value is 0: twice the smaller tail of the resamples beyond it."""
        drawn = self.drawn[~np.isnan(self.drawn)]
        tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
        return float(min(1.0, 2 * (tail + 1) / (len(drawn) + 1)))


class Draws:
    """The same resamples for all arms: how often each seed and each task was drawn."""

    def __init__(
        self, seeds: int, tasks: int, *, resamples: int = RESAMPLES, seed: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        self._seeds = rng.multinomial(seeds, [1 / seeds] * seeds, size=resamples).astype(float)
        self._tasks = rng.multinomial(tasks, [1 / tasks] * tasks, size=resamples).astype(float)

    def mean(self, cells: Cells) -> Estimate:
        """The mean of the cells that are there."""
        return self._ratio(np.nan_to_num(cells), (~np.isnan(cells)).astype(float))

    def share(self, after: Cells, before: Cells) -> Estimate:
        """The sum of one table over that of another, of the cells that are in both."""
        both = ~np.isnan(after) & ~np.isnan(before)
        return self._ratio(np.where(both, after, 0.0), np.where(both, before, 0.0), both)

    def _ratio(
        self, above: Cells, below: Cells, there: NDArray[np.bool_] | None = None
    ) -> Estimate:
        seen = below > 0 if there is None else there
        value = float(above.sum() / below.sum()) if below.sum() else math.nan
        sums = self._sum(below)
        sums[sums == 0] = math.nan
        return Estimate(value, self._sum(above) / sums, int(seen.any(axis=0).sum()))

    def _sum(self, cells: Cells) -> NDArray[np.float64]:
        """Over all cells, of each resample."""
        sums: NDArray[np.float64] = ((self._seeds @ cells) * self._tasks).sum(axis=1)
        return sums
