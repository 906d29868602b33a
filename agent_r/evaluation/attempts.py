"""Score tasks that were played several times: pass@k, and pass^k for reliability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import comb
from typing import NamedTuple, TypeAlias

from pydantic import BaseModel

from agent_r.algorithm.metrics import Rate
from agent_r.evaluation.intervals import mean_over_tasks

Estimator: TypeAlias = Callable[[int, int, int], float]  # of attempts, successes, and k

FULL = 1.0  # the reward of a success


class EpisodeCost(BaseModel):
    """What episodes have asked of an endpoint; tries that a fault ended are not in it."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unknown: int = 0  # episodes of an earlier version, which did not count

    def money(self, prices: tuple[float, float]) -> float | None:
        """By the prices of a million prompt and sampled tokens; None where there are none."""
        if not any(prices):
            return None
        return (self.prompt_tokens * prices[0] + self.completion_tokens * prices[1]) / 1e6


class TaskScore(BaseModel):
    """One task: its attempts' rewards, and what is known of the task and their cost."""

    task: str
    world: str = ""
    depth: int = 0  # 0 where the world cannot say
    kind: str = ""  # the part of its name that several tasks share; "" where there is none
    rewards: list[float | None]  # by attempt; None: it could not be played
    steps: float = 0.0  # mean, of the attempts that were played
    cost: EpisodeCost = EpisodeCost()

    @property
    def played(self) -> list[float]:
        return [reward for reward in self.rewards if reward is not None]

    @property
    def successes(self) -> int:
        return sum(reward >= FULL for reward in self.played)

    def first(self, attempts: int) -> TaskScore:
        """The task as so many attempts would have scored it."""
        return self.model_copy(update={"rewards": self.rewards[:attempts]})


class PassRates(NamedTuple):
    """By k: a task is solved by one of k attempts (pass@k), or by all of them (pass^k)."""

    at: dict[int, Rate]
    all: dict[int, Rate]

    @classmethod
    def of(cls, scores: Sequence[TaskScore]) -> PassRates:
        """Means over the tasks that were played k times at least, with 95 % intervals over tasks.

        >>> print(PassRates.of([TaskScore(task="a", rewards=[1, 0])]).all[2])
        0.000 [0.000, 0.793]
        """
        most = max((len(score.played) for score in scores), default=0)
        ks = range(1, most + 1)
        at, whole = ({k: mean_over_tasks(_of_tasks(scores, k, how)) for k in ks} for how in HOW)
        return cls(at, whole)

    @property
    def success(self) -> Rate:
        """The share of attempts that succeed, each task counting the same."""
        return self.at.get(1, Rate(0.0, 0.0, 1.0, 0))


def sum_of(costs: Iterable[EpisodeCost]) -> EpisodeCost:
    """Of several episodes together."""
    total: Counter[str] = Counter()
    for cost in costs:
        total.update(cost.model_dump())
    return EpisodeCost(**total)


def pass_at(n: int, c: int, k: int) -> float:
    """The chance that one of k attempts succeeds, where c of n did (Chen et al. 2021, eq. 1).

    >>> pass_at(4, 1, 2)
    0.5
    """
    return 1 - comb(n - c, k) / comb(n, k)


def pass_all(n: int, c: int, k: int) -> float:
    """The chance that all of k attempts succeed, where c of n did (tau-bench, Yao et al. 2024).

    >>> pass_all(4, 2, 2)
    0.16666666666666666
    """
    return comb(c, k) / comb(n, k)


HOW: tuple[Estimator, Estimator] = (pass_at, pass_all)


def of_task(score: TaskScore, k: int, how: Estimator) -> float | None:
    """A task's own estimate; None where it was not played k times."""
    n = len(score.played)
    return how(n, score.successes, k) if n >= k else None


def _of_tasks(scores: Sequence[TaskScore], k: int, how: Estimator) -> list[float]:
    return [value for score in scores if (value := of_task(score, k, how)) is not None]


def kind_of(task: str) -> str:
    """What a numbered task is one of.

    >>> kind_of("find-plant/225"), kind_of("ash boards")
    ('find-plant', '')
    """
    name, _, number = task.rpartition("/")
    return name if number.isdecimal() else ""
