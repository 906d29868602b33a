"""Compare two actors on the same tasks and attempts: paired gains, and whether they are chance."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from pathlib import Path

from pydantic import BaseModel, ValidationError

from agent_r import files
from agent_r.errors import DatasetError
from agent_r.evaluation.attempts import HOW, Estimator, TaskScore, of_task
from agent_r.evaluation.conditions import difference
from agent_r.evaluation.evaluate import Measurement
from agent_r.evaluation.intervals import gain_over_tasks


class PairedGain(BaseModel):
    """One rate of two actors on the same tasks; the interval is of the difference, over tasks."""

    first: float
    last: float
    gain: float
    low: float
    high: float
    wins: int  # tasks on which the last actor's rate is higher
    losses: int
    ties: int
    p: float  # two-sided, of the permutation test; with one attempt it is McNemar's


class Comparison(BaseModel):
    """Two measurements on the tasks that both could play as often."""

    first: str
    last: str
    tasks: int
    attempts: int
    left_out: int  # tasks of which an attempt could not be played by one of them
    gains: dict[str, PairedGain]  # success, pass@k, pass^k
    by_task: dict[str, tuple[int, int]]  # successes of both, where they differ; `world/task`


def compare(
    first: Measurement, last: Measurement, names: tuple[str, str] = ("the first", "the last")
) -> Comparison:
    """The last actor against the first, on as many attempts as both have had.

    Raises:
        DatasetError: they were not measured on the same tasks, or not in the same way.
    """
    _require_alike(first, last, names)
    attempts = min(first.attempts, last.attempts)
    pairs = [
        (one.first(attempts), other.first(attempts))
        for one, other in zip(first.scores, last.scores, strict=True)
    ]
    both = [pair for pair in pairs if all(len(score.played) == attempts for score in pair)]
    if not both:
        raise DatasetError(f"{names[0]} and {names[1]} have no task that both could play")
    gains = {"success": _gain(both, 1, HOW[0])}
    if attempts > 1:
        gains |= {
            f"pass@{attempts}": _gain(both, attempts, HOW[0]),
            f"pass^{attempts}": _gain(both, attempts, HOW[1]),
        }
    return Comparison(
        first=first.actor,
        last=last.actor,
        tasks=len(both),
        attempts=attempts,
        left_out=len(pairs) - len(both),
        gains=gains,
        by_task={
            f"{one.world}/{one.task}": (one.successes, other.successes)
            for one, other in both
            if one.successes != other.successes
        },
    )


def permutation_test(gains: Sequence[int]) -> float:
    """The exact two-sided test that two actors are alike: a gain may as well have been a loss.

    Its p is the share of all sign changes of the tasks' gains whose sum is as far from 0 (Fisher's
    paired randomisation). Where a gain is 1 or -1, as with one attempt, it is McNemar's exact test.

    >>> permutation_test([1] * 8 + [-1]), permutation_test([0, 0])
    (0.0390625, 1.0)
    """
    import numpy as np

    sizes = [abs(gain) for gain in gains if gain]
    most = sum(sizes)
    chances = np.zeros(2 * most + 1)  # of each sum, from -most on
    chances[most] = 1.0
    for size in sizes:
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    far = np.abs(np.arange(-most, most + 1)) >= abs(sum(gains))
    return min(1.0, float(chances[far].sum()))


def read_measurement(path: Path) -> tuple[Path, Measurement]:
    """A measurement's file, what `measure --json` printed, or a folder with one measurement.

    Raises:
        DatasetError: it is none of these; it holds several, or was written by an earlier version.
        StoreError: it cannot be read.
    """
    if path.is_dir():
        path = _only_file(path)
    elif not path.exists():
        raise DatasetError(f"{path} does not exist")
    value = files.read_json(path)
    try:
        measured = Measurement.model_validate(value)
    except ValidationError as error:
        raise DatasetError(f"{path} is not a measurement of `agent-r measure`") from error
    if measured.is_older:
        raise DatasetError(
            f"{path} was written by an earlier version, which did not note its tasks: measure "
            "again (the episodes that are kept are not played again)"
        )
    return path, measured


def _only_file(folder: Path) -> Path:
    found = sorted([*folder.glob("measure-*.json"), *folder.glob("work/measure-*.json")])
    if len(found) != 1:
        held = ", ".join(map(str, found)) or "no measurement"
        raise DatasetError(f"{folder} holds {held}: name one file")
    return found[0]


def _require_alike(first: Measurement, last: Measurement, names: tuple[str, str]) -> None:
    apart = difference(first.conditions, last.conditions)
    if not apart:
        tasks = [[(score.world, score.task) for score in m.scores] for m in (first, last)]
        if len(tasks[0]) != len(tasks[1]):
            apart = f"measure.tasks is {len(tasks[0])} and {len(tasks[1])}"
        elif tasks[0] != tasks[1]:
            one, other = next(pair for pair in zip(*tasks, strict=True) if pair[0] != pair[1])
            apart = f"a task is '{'/'.join(one)}' and '{'/'.join(other)}'"
    if apart:
        raise DatasetError(f"{names[0]} and {names[1]} cannot be compared: {apart}")


def _gain(pairs: Sequence[tuple[TaskScore, TaskScore]], k: int, how: Estimator) -> PairedGain:
    rates = [[of_task(score, k, how) or 0.0 for score in pair] for pair in pairs]
    gains = [last - first for first, last in rates]
    low, high = gain_over_tasks(gains)
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    n, attempts = len(pairs), len(pairs[0][0].played)
    return PairedGain(
        first=sum(first for first, _ in rates) / n,
        last=sum(last for _, last in rates) / n,
        gain=sum(gains) / n,
        low=low,
        high=high,
        wins=wins,
        losses=losses,
        ties=n - wins - losses,
        p=permutation_test([round(gain * comb(attempts, k)) for gain in gains]),
    )
