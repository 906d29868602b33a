"""What an actor keeps of its success after mistakes that were injected, on the same tasks.

The paper's recovery test continues failures, and so counts tasks that the actor cannot do at all
with those that one error has spoilt. Here the same tasks are continued without a mistake as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from agent_r.algorithm import metrics
from agent_r.evaluation.injection import MISTAKES, LedTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 4000
_SHOWN = 5  # tasks that a note names


class KeptGain(BaseModel):
    """How much more of its success one actor keeps than another, with its 95 % interval."""

    gain: float  # of the share kept
    low: float
    high: float
    n: int  # tasks that both were led through


class Robustness(BaseModel):
    """One actor after 0, 1 and 3 injected mistakes; all rates are of the same tasks."""

    led: list[LedTask] = []  # what later actors are measured on too
    rewards: dict[int, dict[str, float]] = {}  # by mistakes, then task: what a comparison needs
    success: dict[int, metrics.Rate] = {}  # by mistakes
    kept: dict[int, metrics.Rate] = {}  # share of the success without a mistake
    kept_by_kind: dict[str, dict[int, metrics.Rate]] = {}  # of those whose mistake was refused, …
    unled: dict[str, str] = {}  # tasks that were looked at and left out, and why

    @classmethod
    def of(
        cls,
        led: Sequence[LedTask],
        names: Sequence[str],
        rewards: Sequence[Sequence[float | None]],
        unled: dict[str, str],
    ) -> Robustness:
        """From the rewards of each led task, one for each number of mistakes; None: not played."""
        played = [
            (task, name, [float(reward) for reward in got if reward is not None])
            for task, name, got in zip(led, names, rewards, strict=True)
            if None not in got
        ]
        by_count = {
            count: {name: got[place] for _, name, got in played}
            for place, count in enumerate(MISTAKES)
        }
        kinds = {name: task.kind for task, name, _ in played}
        return cls(
            led=list(led),
            rewards=by_count if played else {},
            success={
                count: metrics.wilson(sum(map(_won, got.values())), len(got))
                for count, got in by_count.items()
                if got
            },
            kept=_kept(by_count) if played else {},
            kept_by_kind={
                kind: _kept(
                    {
                        count: {name: r for name, r in got.items() if kinds[name] == kind}
                        for count, got in by_count.items()
                    }
                )
                for kind in sorted(set(kinds.values()))
            },
            unled=dict(sorted(unled.items())),
        )

    def notes(self) -> list[str]:
        """What the shares are of, by kind of mistake, and which tasks are in none."""
        lines = []
        if self.success:
            leaders = {"expert": "the world's expert", "actor": "an actor's own success"}
            led = [
                f"{n} led by {who}"
                for leader, who in leaders.items()
                if (n := sum(task.leader == leader for task in self.led))
            ]
            without = self.success[0]
            lines.append(
                f"share kept of {without.n} tasks ({', '.join(led)} to a random step); without a "
                f"mistake {100 * without.rate:.0f} % succeed"
            )
            for kind, kept in self.kept_by_kind.items():
                shares = "; ".join(f"after {n}: {percent(rate)}" for n, rate in kept.items())
                lines.append(f"kept where the mistake was {kind}: {shares}")
        for why in sorted(set(self.unled.values())):
            tasks = [task for task, reason in self.unled.items() if reason == why]
            more = f" and {len(tasks) - _SHOWN} more" if len(tasks) > _SHOWN else ""
            lines.append(f"not led, {why}: {', '.join(tasks[:_SHOWN])}{more}")
        return lines


def kept_gains(first: Robustness, last: Robustness) -> dict[int, KeptGain]:
    """By how many mistakes: the last actor's share kept less the first's, on the tasks of both."""
    both = sorted(first.rewards.get(0, {}).keys() & last.rewards.get(0, {}).keys())
    gains = {}
    for count in sorted(first.kept.keys() & last.kept.keys()):
        before, after = (
            [[_won(r.rewards[n][task]) for task in both] for n in (0, count)] for r in (first, last)
        )
        if not both or not any(before[0]) or not any(after[0]):
            continue
        drawn = _resampled([*before, *after])
        low, high = _middle(drawn[3] / drawn[2] - drawn[1] / drawn[0])
        gain = sum(after[1]) / sum(after[0]) - sum(before[1]) / sum(before[0])
        gains[count] = KeptGain(gain=gain, low=low, high=high, n=len(both))
    return gains


def share_kept(without: Sequence[bool], after: Sequence[bool]) -> metrics.Rate:
    """Successes after mistakes over those without, on the same tasks; it may be more than 1.

    The interval is a bootstrap over tasks; where all its samples agree, as at 0 and at 1, it
    is Wilson's of the tasks that succeed without. n is 0 where none does.

    >>> print(share_kept([True, True, True, False], [True, False, False, False]))
    0.333 [0.000, 1.000]
    """
    if not any(without):
        return metrics.Rate(0.0, 0.0, 1.0, 0)
    drawn = _resampled([without, after])
    low, high = _middle(drawn[1] / drawn[0])
    share = sum(after) / sum(without)
    if math.isclose(low, high):
        exact = metrics.wilson(min(sum(after), sum(without)), sum(without))
        low, high = min(low, exact.low), max(high, exact.high)
    return metrics.Rate(share, low, high, len(without))


def percent(rate: metrics.Rate) -> str:
    """A rate and its interval, in percent."""
    return f"{100 * rate.rate:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _kept(rewards: dict[int, dict[str, float]]) -> dict[int, metrics.Rate]:
    without = [_won(reward) for reward in rewards[0].values()]
    return {
        count: share_kept(without, [_won(reward) for reward in got.values()])
        for count, got in rewards.items()
        if count
    }


def _won(reward: float) -> bool:
    return reward >= 1.0


def _resampled(rows: Sequence[Sequence[bool]]) -> NDArray[np.float64]:
    """Sums of each row over tasks drawn with replacement, the same for all rows; a seed of its own.

    Samples in which a row of the even places, a denominator, is 0 are left out.
    """
    import numpy as np

    values = np.asarray(rows, dtype=float)
    tasks = values.shape[1]
    drawn = np.random.default_rng(0).multinomial(tasks, [1 / tasks] * tasks, size=RESAMPLES)
    sums: Any = values @ drawn.T
    kept: NDArray[np.float64] = sums[:, (sums[::2] > 0).all(axis=0)]
    return kept


def _middle(samples: NDArray[np.float64]) -> tuple[float, float]:
    """The interval that holds 95 % of the samples."""
    import numpy as np

    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
