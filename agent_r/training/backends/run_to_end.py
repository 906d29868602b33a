"""Drive one fine-tuning job to its end, whatever runs it; after a kill the same job is found again.

Its handle is written beside it as soon as it is submitted. Whoever is cancelled cancels the job;
whoever is killed leaves it at work, and the next run of the same job waits for that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from agent_r.config import without_secrets
from agent_r.errors import AgentRError, TrainerError, TrainerUnavailable
from agent_r.files import load, save, write_jsonl
from agent_r.settings import Settings
from agent_r.training.backends.job_backend import Handle, JobBackend, JobState, JobStatus
from agent_r.training.backends.train_job import (
    LOSSES,
    TrainingProgress,
    TrainJob,
    TrainReport,
    ends_of,
    finish,
    finished,
    new_model,
    partial,
    prepare,
)
from agent_r.training.process import plain_line

FIRST_S, SLOWER = 0.2, 1.5  # until the first look; each wait is so much longer than the last
AWAY_S = 1800.0  # that a back end may be out of reach
CANCEL_S = 30.0  # that it may take to cancel a job

T = TypeVar("T")


class Submitted(Settings):
    """A job's handle, and whose it is."""

    backend: str
    handle: Handle


SUBMITTED = TypeAdapter(Submitted)


async def run_to_end(
    backend: JobBackend,
    job: TrainJob,
    on_progress: Callable[[TrainingProgress], None] = lambda at: None,
    on_line: Callable[[str], None] = lambda line: None,
) -> TrainReport:
    """Run a job to its end, or return the report of the same job run before.

    All that it says is in `<out>.log`, less our own secrets; what it says of its progress goes to
    `on_progress`, every other line to `on_line`.

    Raises:
        TrainerError: the job failed, or `out` holds something else.
        TrainerUnavailable: its back end was out of reach for half an hour; the job goes on.
        ExtraMissing: the back end is not installed.
    """
    done = await asyncio.to_thread(prepare, job)
    return done or await _Driven(backend, job, on_progress, on_line).to_end()


class _Driven:
    """One job, and what is known of it by now."""

    def __init__(
        self,
        backend: JobBackend,
        job: TrainJob,
        on_progress: Callable[[TrainingProgress], None],
        on_line: Callable[[str], None],
    ) -> None:
        self._backend, self._job = backend, job
        self._on_progress, self._on_line = on_progress, on_line
        self._losses: dict[int, float] = {}  # by step
        self._cursor = 0
        self._wait = FIRST_S
        self._message = ""  # the last that was passed on

    async def to_end(self) -> TrainReport:
        self._log.unlink(missing_ok=True)  # it is read anew, from its beginning
        handle = await self._found() or await self._submitted()
        try:
            status = await self._ended(handle)
        except AgentRError:
            raise  # nobody knows what became of it
        except BaseException:
            with contextlib.suppress(TrainerError, TimeoutError):
                async with asyncio.timeout(CANCEL_S):
                    await self._backend.cancel(handle)
            raise
        if (done := finished(self._job)) is not None:
            return done  # somebody else has waited for it as well
        try:
            if status.state is not JobState.SUCCEEDED:
                why = plain_line(without_secrets(status.message)) or status.state
                raise TrainerError(f"the training job failed: {why}")
            report = await self._patiently(lambda: self._backend.result(self._job, handle))
        except TrainerUnavailable:
            raise
        except TrainerError as error:
            self._handle_file.unlink(missing_ok=True)
            raise TrainerError(f"{error} (all that it said: {self._log})") from error
        return await asyncio.to_thread(self._finish, report, status)

    @property
    def _handle_file(self) -> Path:
        return partial(self._job) / "handle.json"

    @property
    def _log(self) -> Path:
        return log_of(self._job.out)

    async def _found(self) -> Handle | None:
        """A job that was submitted before, unless it has failed since."""
        known = load(self._handle_file, SUBMITTED)
        if known is None or known.backend != self._backend.name:
            return None
        status = await self._patiently(lambda: self._backend.poll(known.handle))
        return None if status.state in (JobState.FAILED, JobState.CANCELLED) else known.handle

    async def _submitted(self) -> Handle:
        handle = await self._patiently(lambda: self._backend.submit(self._job))
        save(self._handle_file, SUBMITTED, Submitted(backend=self._backend.name, handle=handle))
        return handle

    async def _ended(self, handle: Handle) -> JobStatus:
        """Look now and then until it has ended, and hear what it says meanwhile."""
        while True:
            status = await self._patiently(lambda: self._backend.poll(handle))
            await self._hear(handle)
            if status.state.is_final:
                return status
            if status.message not in ("", self._message):
                self._on_line(status.message)
            self._message = status.message
            await self._pause(self._backend.poll_s)

    async def _pause(self, most: float) -> None:
        await asyncio.sleep(self._wait)
        self._wait = min(self._wait * SLOWER, most)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer; what is away for long is no longer waited for."""
        began = time.monotonic()
        while True:
            try:
                return await ask()
            except TrainerUnavailable as error:
                if time.monotonic() - began > AWAY_S:
                    raise TrainerUnavailable(
                        f"{self._backend.name} has not answered for {AWAY_S / 60:.0f} minutes; the "
                        f"job goes on, and the same command finds it: {error}"
                    ) from error
                self._on_line(f"{self._backend.name} does not answer: {error}")
                await self._pause(max(self._backend.poll_s, AWAY_S / 60))

    async def _hear(self, handle: Handle) -> None:
        while True:
            heard = await self._patiently(lambda: self._backend.logs(handle, self._cursor))
            if heard.cursor == self._cursor:
                return
            self._cursor = heard.cursor
            await asyncio.to_thread(self._take, heard.lines)

    def _take(self, lines: list[str]) -> None:
        lines = [plain_line(without_secrets(line)) for line in lines]
        try:
            with self._log.open("a", encoding="utf-8") as log:
                log.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            raise TrainerError(f"cannot write {self._log}: {error.strerror or error}") from error
        for line in filter(None, lines):
            if (at := progress_of(line)) is None:
                self._on_line(line)
            else:
                self._losses[at.step] = at.loss
                self._on_progress(at)

    def _finish(self, report: TrainReport, status: JobStatus) -> TrainReport:
        steps = sorted(self._losses)
        known: dict[str, float | int | None] = {}
        if steps and report.first_loss is None:
            first, last = ends_of([self._losses[step] for step in steps])
            known |= {"first_loss": first, "last_loss": last}
        if steps and not report.steps:
            known["steps"] = steps[-1]
        if report.money is None:
            known["money"] = status.money
        if steps and not (new_model(self._job) / LOSSES).exists():
            curve = [{"step": step, "loss": self._losses[step]} for step in steps]
            write_jsonl(new_model(self._job) / LOSSES, curve)
        return finish(self._job, report.model_copy(update=known))


def log_of(out: Path) -> Path:
    """Where all is kept that the job of a model has said."""
    return out.with_name(out.name + ".log")


def progress_of(line: str) -> TrainingProgress | None:
    """What a line of a log says of its job's progress.

    >>> progress_of('{"step": 3, "of": 40, "loss": 1.5, "lr": 0.1}').step
    3
    >>> progress_of("epoch 1 of 2")
    """
    if not line.startswith("{"):
        return None
    try:
        values = json.loads(line)
        known = {name: values[name] for name in TrainingProgress.model_fields if name in values}
        return TrainingProgress(**known)
    except (ValueError, RecursionError):  # pydantic's ValidationError is a ValueError
        return None
