"""Lay a measurement out: pass@k and pass^k, by world, kind and depth, the worst tasks, the cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from agent_r.algorithm.metrics import Rate
from agent_r.evaluation.attempts import PassRates, TaskScore
from agent_r.evaluation.evaluate import Measurement
from agent_r.evaluation.robustness import percent

Prices: TypeAlias = tuple[float, float]  # money for a million prompt, and sampled, tokens

MOST_KS = 8  # rows of the table by k
WORST = 8  # tasks that are named
GROUPS: dict[str, Callable[[TaskScore], str]] = {
    "world": lambda score: score.world,
    "kind": lambda score: f"{score.world}: {score.kind}" if score.kind else "",
    "depth": lambda score: f"{score.world}: {score.depth}" if score.depth else "",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Headings and rows, for a terminal or a page."""

    title: str
    headings: list[str]
    rows: list[list[str]]


def tables(measured: Measurement) -> list[Table]:
    """All that is of more than one row; none for a file of before."""
    scores = measured.scores
    found = [_by_k(scores)] if measured.attempts > 1 else []
    for what, key in GROUPS.items():
        found += _by_group(scores, what, key)
    return [*found, *_worst(scores)]


def document(measured: Measurement, prices: Prices) -> dict[str, Any]:
    """A measurement as one JSON value: all of its file, and what the tables are made of."""
    scores = measured.scores
    summary = {
        "attempts": measured.attempts,
        **_rates(scores),
        "by": {
            what: {name: _rates(some) for name, some in _grouped(scores, key).items() if name}
            for what, key in GROUPS.items()
        },
        "money": measured.cost.money(prices),
    }
    return {"summary": summary} | measured.model_dump(mode="json")


def cost_lines(measured: Measurement, prices: Prices) -> list[str]:
    """What it cost, by episode and by success."""
    cost = measured.cost
    if not cost.calls:
        return []
    played = sum(len(score.played) for score in measured.scores)
    won = sum(score.successes for score in measured.scores)
    line = (
        f"cost: {cost.calls:,} calls, {cost.prompt_tokens:,} prompt and "
        f"{cost.completion_tokens:,} sampled tokens"
    )
    if (money := cost.money(prices)) is not None:
        line += f", {money:,.2f} money"
    if cost.unknown:
        line += f"; {cost.unknown} episodes are of an earlier version, which did not count"
    of_attempts = sum(score.cost.calls for score in measured.scores)
    by = f"calls: {of_attempts / max(played, 1):.1f} an attempt"
    return [line, by + (f", {of_attempts / won:.1f} for each success" if won else "")]


def unsteady_line(measured: Measurement) -> str:
    """How many tasks come out differently from attempt to attempt; "" where each had but one."""
    scores = [score for score in measured.scores if len(score.played) > 1]
    if not scores:
        return ""
    unsteady = sum(0 < score.successes < len(score.played) for score in scores)
    never = sum(not score.successes for score in scores)
    return (
        f"{unsteady} of {len(scores)} tasks succeed in some of their attempts only, {never} in none"
    )


def _by_k(scores: Sequence[TaskScore]) -> Table:
    rates = PassRates.of(scores)
    ks = list(rates.at)
    if len(ks) > MOST_KS:
        ks = sorted({k for k in ks if k.bit_count() == 1} | {ks[-1]})
    rows = [[str(k), percent(rates.at[k]), percent(rates.all[k]), str(rates.at[k].n)] for k in ks]
    headings = ["k", "pass@k: one succeeds", "pass^k: all succeed", "tasks"]
    return Table("Several attempts [95 %]", headings, rows)


def _by_group(
    scores: Sequence[TaskScore], what: str, key: Callable[[TaskScore], str]
) -> list[Table]:
    grouped = {name: some for name, some in _grouped(scores, key).items() if name}
    if len(grouped) < 2:
        return []
    attempts = max(len(score.rewards) for score in scores)
    headings = [what, "tasks", "success [95 %]"]
    headings += [f"pass@{attempts}", f"pass^{attempts}"] if attempts > 1 else []
    rows = []
    for name, some in grouped.items():
        rates = PassRates.of(some)
        row = [name, str(len(some)), _percent(rates.success)]
        if attempts > 1:
            row += [_percent(of.get(attempts)) for of in rates]
        rows.append(row)
    return [Table(f"By {what}", headings, rows)]


def _worst(scores: Sequence[TaskScore]) -> list[Table]:
    failing = [score for score in scores if score.successes < len(score.played)]
    failing.sort(key=_how_bad)
    if not failing:
        return []
    several = len({score.world for score in scores}) > 1
    headings = ["task", *(["world"] if several else []), "succeeded", "mean reward", "steps"]
    rows = [
        [
            score.task,
            *([score.world] if several else []),
            f"{score.successes} of {len(score.played)}",
            f"{sum(score.played) / len(score.played):.2f}",
            f"{score.steps:.1f}",
        ]
        for score in failing[:WORST]
    ]
    more = f" {len(rows)} of {len(failing)}" if len(failing) > len(rows) else ""
    return [Table(f"The worst{more} tasks that fail", headings, rows)]


def _how_bad(score: TaskScore) -> tuple[float, float, float]:
    """Fewest successes first, then the least reward, then the longest."""
    n = len(score.played)
    return score.successes / n, sum(score.played) / n, -score.steps


def _grouped(
    scores: Sequence[TaskScore], key: Callable[[TaskScore], str]
) -> dict[str, list[TaskScore]]:
    grouped: dict[str, list[TaskScore]] = defaultdict(list)
    for score in sorted(scores, key=lambda score: (score.world, score.depth, score.kind)):
        grouped[key(score)].append(score)
    return dict(grouped)


def _rates(scores: Sequence[TaskScore]) -> dict[str, Any]:
    rates = PassRates.of(scores)
    return {
        "tasks": len(scores),
        "episodes": sum(len(score.played) for score in scores),
        "pass@k": {k: _plain(rate) for k, rate in rates.at.items()},
        "pass^k": {k: _plain(rate) for k, rate in rates.all.items()},
    }


def _plain(rate: Rate) -> dict[str, float]:
    return {"rate": rate.rate, "low": rate.low, "high": rate.high, "n": rate.n}


def _percent(rate: Rate | None) -> str:
    return percent(rate) if rate is not None and rate.n else "not played"
