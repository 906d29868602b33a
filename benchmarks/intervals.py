"""How often 95 % intervals over tasks hold the truth, beside the usual percentile bootstrap.

Tasks are drawn anew each time, their chances of success from a Beta distribution; each is played
by two actors, four times. Of all cases: the least share of intervals that hold the truth, the mean
share, how many cases are below 92 %, and the mean width.

python benchmarks/intervals.py > benchmarks/results/intervals.txt
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from agent_r.evaluation.attempts import HOW
from agent_r.evaluation.intervals import gain_over_tasks, mean_over_tasks

ATTEMPTS, DRAWN, MANY, SEED = 4, 300, 1_000_000, 0
SHAPES = ((0.5, 0.5), (1, 3), (0.3, 2), (2, 0.3), (5, 5))  # of the chances: even, hard, easy, alike
TASKS = (10, 20, 50, 100)
BETTER = (0.0, 0.2)  # share of what the first actor lacks that the last one has beside it
rng = np.random.default_rng(SEED)


def bootstrap(values: Any) -> tuple[float, float]:
    means = values[rng.integers(len(values), size=(1000, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def of_rate(values: Any) -> tuple[float, float]:
    rate = mean_over_tasks(values.tolist())
    return rate.low, rate.high


def of_gain(values: Any) -> tuple[float, float]:
    return gain_over_tasks(values.tolist())


Ways = dict[str, Callable[[Any], tuple[float, float]]]
RATES: Ways = {"bootstrap": bootstrap, "ours": of_rate}
GAINS: Ways = {"bootstrap": bootstrap, "ours": of_gain}


def held(ways: Ways, samples: Any, truth: float) -> dict[str, tuple[float, float]]:
    """By way: the share of intervals that hold the truth, and their mean width."""
    found = {}
    for name, way in ways.items():
        ends = np.array([way(values) for values in samples])
        holds = (ends[:, 0] <= truth + 1e-12) & (truth - 1e-12 <= ends[:, 1])
        found[name] = float(holds.mean()), float((ends[:, 1] - ends[:, 0]).mean())
    return found


def main() -> None:
    rates, gains = [], []
    for (a, b), n, better in product(SHAPES, TASKS, BETTER):
        many = rng.beta(a, b, size=MANY)
        chances = rng.beta(a, b, size=(DRAWN, n))
        lasts = [some + better * (1 - some) for some in (many, chances)]
        first, last = (rng.binomial(ATTEMPTS, some) for some in (chances, lasts[1]))
        for k, how in product((1, 2, ATTEMPTS), (0, 1)):
            table = np.array([HOW[how](ATTEMPTS, c, k) for c in range(ATTEMPTS + 1)])
            truths = [float((1 - (1 - p) ** k if how == 0 else p**k).mean())
                      for p in (many, lasts[0])]  # fmt: skip
            rates.append(held(RATES, table[first], truths[0]))
            gains.append(held(GAINS, table[last] - table[first], truths[1] - truths[0]))
    print(f"seed {SEED}, {len(rates)} cases of {DRAWN} measurements each")
    for what, cases in (("rates", rates), ("differences", gains)):
        for way in ("bootstrap", "ours"):
            shares, widths = np.array([case[way] for case in cases]).T
            print(
                f"{what:11}  {way:9}  least {100 * shares.min():.0f} %  mean "
                f"{100 * shares.mean():.1f} %  below 92 %: {100 * (shares < 0.92).mean():.0f} %  "
                f"width {100 * widths.mean():.1f} points"
            )


if __name__ == "__main__":
    main()
