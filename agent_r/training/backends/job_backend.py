"""A back end of fine-tuning jobs, as its driver sees it: submit, poll, logs, cancel, result."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeAlias

from pydantic import Field

from agent_r.settings import Settings
from agent_r.training.backends.train_job import TrainJob, TrainReport

Handle: TypeAlias = str  # by which a back end finds a job again, from any process


class JobState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class JobStatus(Settings):
    """What a back end says of a job."""

    state: JobState
    message: str = Field("", description="a line for a person: why it waits, or failed")
    money: float | None = Field(None, description="dollars that it has cost by now, where known")


class LogLines(Settings):
    """A piece of a job's log; `cursor` is where the next one begins."""

    lines: list[str]
    cursor: int = Field(description="counted as the back end likes: bytes, lines, events")


class JobBackend(Protocol):
    """Where fine-tuning jobs run.

    Each method may raise `TrainerUnavailable` where the back end cannot be asked just now: the
    driver asks again for half an hour. Any other `TrainerError` ends the run, in one line.
    A line of the log that is a JSON object with `step`, `of` and `loss` is the job's progress.
    """

    name: str  # of the place: a handle is of no use in another
    poll_s: float  # seconds between two looks, at most

    async def submit(self, job: TrainJob) -> Handle:
        """Begin a job; one of the same digest that is at work, or has succeeded, is found again."""
        ...

    async def poll(self, handle: Handle) -> JobStatus:
        """How far it is; one that the back end no longer knows has failed."""
        ...

    async def logs(self, handle: Handle, after: int) -> LogLines:
        """What it has said since a cursor, from 0; no lines where there is nothing new."""
        ...

    async def cancel(self, handle: Handle) -> None:
        """End it; one that has ended stays as it is."""
        ...

    async def result(self, job: TrainJob, handle: Handle) -> TrainReport:
        """The report of a job that has succeeded; a model that comes here is at `new_model`."""
        ...
