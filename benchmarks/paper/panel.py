"""The results as tables of seeds × tasks, and what is estimated from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.paper.arms import ARMS, OURS, START
from benchmarks.paper.bootstrap import Cells, Draws, Estimate
from benchmarks.paper.holm import holm
from benchmarks.paper.results import Result

ByTask = Mapping[str, float]
Of = Callable[[Result], ByTask]


def reward(result: Result) -> ByTask:
    """On the whole held-out tasks."""
    return result.rewards


def success(result: Result) -> ByTask:
    """1 for the full reward."""
    return _won(result.rewards)


def recovery(result: Result) -> ByTask:
    """Success from the first actor's cut failures."""
    return _won(result.recovery)


def led(mistakes: int, kind: str = "", among: Collection[str] | None = None) -> Of:
    """Success in the led tasks after so many mistakes; of one kind, or some tasks, alone."""

    def get(result: Result) -> ByTask:
        won = _won(result.led.get(mistakes, {}))
        return {
            task: one
            for task, one in won.items()
            if kind in ("", result.kinds.get(task)) and (among is None or task in among)
        }

    return get


def _won(rewards: ByTask) -> ByTask:
    return {task: float(one >= 1.0) for task, one in rewards.items()}


@dataclass(slots=True)
class Panel:
    """All results of an experiment; the start counts as iteration 0 of every arm."""

    results: dict[tuple[str, int], dict[int, Result]]  # by arm and iteration, then seed
    ours: str = OURS  # the arm that all others are compared with
    _draws: dict[tuple[int, int], Draws] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Iterable[Result], ours: str = OURS) -> Panel:
        panel = cls({}, ours)
        for result in results:
            panel.results.setdefault((result.arm, result.iteration), {})[result.seed] = result
        return panel

    @property
    def arms(self) -> list[str]:
        """Those with results, in the order of the table of arms."""
        there = {arm for arm, _ in self.results}
        return [arm for arm in ARMS if arm in there]

    @property
    def last(self) -> int:
        """The last iteration that all trained arms have for some seed."""
        ends = [self._last(arm) for arm in self.arms if arm != START]
        return min(ends, default=0)

    def _last(self, arm: str) -> int:
        return max(iteration for name, iteration in self.results if name == arm)

    def at(self, arm: str, iteration: int) -> dict[int, Result]:
        """By seed; none where it was not made."""
        if arm == START or iteration == 0:
            return self.results.get((START, 0), {})
        return self.results.get((arm, iteration), {})

    def mean(self, arm: str, iteration: int, of: Of) -> Estimate | None:
        """The mean over seeds and tasks; None where there is none."""
        [cells], draws = self._cells([self.at(arm, iteration)], [of])
        return _known(draws.mean(cells)) if draws else None

    def kept(
        self,
        arm: str,
        iteration: int,
        mistakes: int,
        kind: str = "",
        among: Collection[str] | None = None,
    ) -> Estimate | None:
        """The share of the led tasks' success that is kept after mistakes; as in `led`."""
        found = self.at(arm, iteration)
        of = [led(count, kind, among) for count in (mistakes, 0)]
        [after, before], draws = self._cells([found, found], of)
        return _known(draws.share(after, before)) if draws else None

    def lead(self, arm: str, iteration: int, of: Of) -> Estimate | None:
        """How much more ours has than an arm, on the same seeds and tasks."""
        pair = self._pair(arm, iteration)
        [ours, theirs], draws = self._cells(pair, [of, of])
        return _known(draws.mean(ours) - draws.mean(theirs)) if draws else None

    def kept_lead(self, arm: str, iteration: int, mistakes: int) -> Estimate | None:
        """How much more of its success ours keeps than an arm."""
        ours, theirs = self._pair(arm, iteration)
        tables, draws = self._cells(
            [ours, ours, theirs, theirs], [led(mistakes), led(0), led(mistakes), led(0)]
        )
        if not draws:
            return None
        return _known(draws.share(*tables[:2]) - draws.share(*tables[2:]))

    def _pair(self, arm: str, iteration: int) -> list[dict[int, Result]]:
        both = [self.at(self.ours, iteration), self.at(arm, iteration)]
        seeds = both[0].keys() & both[1].keys()
        return [{seed: results[seed] for seed in seeds} for results in both]

    def _cells(
        self, results: list[dict[int, Result]], of: list[Of]
    ) -> tuple[list[Cells], Draws | None]:
        """A table for each; all of the same seeds and tasks. No draws: there is no cell."""
        values = [
            {seed: get(result) for seed, result in found.items()}
            for found, get in zip(results, of, strict=True)
        ]
        seeds = sorted({seed for by_seed in values for seed in by_seed})
        tasks = sorted({task for by_seed in values for got in by_seed.values() for task in got})
        tables = [
            np.array([[by.get(seed, {}).get(task, math.nan) for task in tasks] for seed in seeds])
            for by in values
        ]
        if not seeds or not tasks:
            return tables, None
        size = (len(seeds), len(tasks))
        if size not in self._draws:
            self._draws[size] = Draws(*size)
        return tables, self._draws[size]


def _known(estimate: Estimate) -> Estimate | None:
    return estimate if estimate.known else None


def corrected(leads: Mapping[str, Estimate | None]) -> dict[str, float]:
    """Holm's p-values over the arms that can be compared."""
    return holm({arm: lead.p_value for arm, lead in leads.items() if lead is not None})
