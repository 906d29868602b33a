"""What a report and a page say of a fine-tuning job: its curve, its last words, its cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from agent_r.config import without_secrets
from agent_r.training.backends.run_to_end import log_of, progress_of
from agent_r.training.backends.train_job import (
    LOSSES,
    TrainedModel,
    TrainJob,
    TrainReport,
    ends_of,
)

MOST_POINTS = 200  # of a curve
LAST_LINES, LAST_BYTES, MOST_CHARS = 20, 2**16, 300  # of a log, and of one of its lines

T = TypeVar("T")


class TrainingRecord(BaseModel):
    """One job, as people look at it."""

    backend: str
    job: str  # what its back end calls it
    seconds: float
    money: float | None  # dollars, where the back end says it
    steps: int
    losses: list[tuple[int, float]]  # by step; of many, every so many
    log: list[str]  # its last lines, less its progress
    model: TrainedModel

    @classmethod
    def of(cls, job: TrainJob, report: TrainReport) -> TrainingRecord:
        """Of a finished job, from what lies in its model's folder and beside it."""
        return cls(
            backend=job.config.backend,
            job=report.job,
            seconds=report.seconds,
            money=report.money,
            steps=report.steps,
            losses=losses_in(job.out),
            log=last_lines(log_of(job.out)),
            model=report.model,
        )

    def line(self) -> str:
        """What all came to."""
        ends = ends_of([loss for _, loss in self.losses]) if self.losses else ()
        curve = ", loss {:.3f} → {:.3f}".format(*ends) if ends else ""
        cost = f", ${self.money:,.2f}" if self.money is not None else ""
        where = f"{self.backend} {self.job}".strip()
        return f"{self.steps} steps{curve}, {self.seconds:.0f} s{cost} ({where})"


def losses_in(model: Path) -> list[tuple[int, float]]:
    """The loss curve of a model's folder, thinned; none where there is no such file."""
    try:
        lines = (model / LOSSES).read_text(encoding="utf-8").splitlines()
        points = [json.loads(line) for line in lines]
        return thinned([(int(p["step"]), float(p["loss"])) for p in points], MOST_POINTS)
    except (OSError, ValueError, KeyError, TypeError):
        return []


def thinned(points: Sequence[T], most: int) -> list[T]:
    """Every so many of them, the first and the last among them.

    >>> thinned(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def last_lines(log: Path) -> list[str]:
    """The last of what a job has said that is not its progress."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if line.strip() and progress_of(line) is None]
    return [without_secrets(line)[:MOST_CHARS] for line in lines[-LAST_LINES:]]
