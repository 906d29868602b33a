"""Log the progress of a fine-tuning job; nothing is printed."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent_r.collection.progress import LOG, Progress
from agent_r.training.backends.train_job import TrainingProgress

MOST_SAID = 200  # characters of a line of a job's


def training_line(
    stage: str, *, every: float = 2.0, clock: Callable[[], float] = time.monotonic
) -> Callable[[TrainingProgress], None]:
    """A callback that logs a running job: step of how many, loss, tokens a second, time left."""
    progress: Progress | None = None
    newest: TrainingProgress

    def on_progress(at: TrainingProgress) -> None:
        nonlocal progress, newest
        newest = at
        if progress is None:
            progress = Progress(stage, at.of, "steps", every=every, clock=clock, details=details)
        progress.step(at.step - progress.done)

    def details() -> list[str]:
        return [f"loss {newest.loss:.3f}", f"{newest.tokens_per_s:.0f} tokens/s"]

    return on_progress


def spoken_line(
    stage: str, *, every: float = 5.0, clock: Callable[[], float] = time.monotonic
) -> Callable[[str], None]:
    """A callback that logs what a job of the user's says, now and then, a line of it."""
    logged = clock() - every

    def on_line(line: str) -> None:
        nonlocal logged
        if (now := clock()) - logged >= every:
            logged = now
            LOG.info("%s: %s", stage, line[:MOST_SAID])

    return on_line
