"""A provider's fine-tuning API in OpenAI's protocol: rows go up, and a model's name comes back.

A job is known there by the name of its file of rows, and by its metadata where the provider keeps
any: both carry the digest of the job, and by them it is found again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from openai import AsyncOpenAI
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob

from agent_r.errors import TrainerError
from agent_r.settings.remote_training import ProviderConfig
from agent_r.training.backends.elsewhere.provider_client import ProviderClient
from agent_r.training.backends.elsewhere.provider_events import in_order, line_of
from agent_r.training.backends.elsewhere.provider_rows import chat_file
from agent_r.training.backends.job_backend import Handle, JobState, JobStatus, LogLines
from agent_r.training.backends.train_job import (
    TrainedModel,
    TrainJob,
    TrainReport,
    job_digest,
    new_model,
    trained_model,
)

OURS = "agent_r_job"  # the key of a job's metadata with our digest
MOST_LOOKED_AT = 2000  # jobs and files, the newest first, among which ours is looked for
NAME_LATE_S = 900.0  # after its success that a job may have no model's name yet
FILE_READY_S = 600.0
STATES = {
    "validating_files": JobState.QUEUED,
    "queued": JobState.QUEUED,
    "pending": JobState.QUEUED,
    "notRunning": JobState.QUEUED,
    "succeeded": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "error": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
    "canceled": JobState.CANCELLED,
}


class ProviderBackend:
    """A `JobBackend` at a provider: its handle is the job's id there."""

    poll_s = 30.0

    def __init__(self, config: ProviderConfig | None) -> None:
        assert config is not None  # the settings see to it
        self.name, self._config = config.base_url, config
        self._client = ProviderClient(config)
        self._heard: dict[Handle, set[str]] = {}  # ids of events
        self._nameless_since: dict[Handle, float] = {}

    async def check(self) -> None:
        """Whether the key is let in, and there is a fine-tuning API.

        Raises:
            TrainerError: it is not, or there is none.
        """
        async with self._client.asking("its jobs") as api:
            await api.fine_tuning.jobs.list(limit=1)

    async def submit(self, job: TrainJob) -> Handle:
        digest = job_digest(job)
        rows, _ = await asyncio.to_thread(chat_file, job)
        async with self._client.asking("the job") as api:
            files = [f async for f in _first(api.files.list()) if f.filename == f"{_named(digest)}"]
            found = await _job_of(api, digest, {file.id for file in files})
        if found is not None:
            return found
        model = _base_of(job, self._config)
        async with self._client.asking("the rows") as api:
            whole = [f for f in files if f.bytes == len(rows) and f.status != "error"]
            file = whole[0] if whole else await _upload(api, _named(digest), rows)
            await _ready(api, file)
        wanted: dict[str, Any] = {
            "model": model,
            "training_file": file.id,
            "hyperparameters": {"n_epochs": job.config.epochs} | self._config.hyperparameters,
            "suffix": self._config.suffix,
            "seed": job.seed,
            "metadata": {OURS: digest},
        }
        return (await self._client.create({k: v for k, v in wanted.items() if v != ""})).id

    async def poll(self, handle: Handle) -> JobStatus:
        async with self._client.asking(handle) as api:
            job = await api.fine_tuning.jobs.retrieve(handle)
        state = STATES.get(job.status, JobState.RUNNING)
        if state is JobState.SUCCEEDED and not job.fine_tuned_model:
            return await self._nameless(handle)
        return JobStatus(state=state, message=_reason(job))

    async def _nameless(self, handle: Handle) -> JobStatus:
        """A job that has succeeded, and whose model has no name yet: a checkpoint may have one."""
        if await self._checkpoint(handle):
            return JobStatus(state=JobState.SUCCEEDED)
        since = self._nameless_since.setdefault(handle, time.monotonic())
        if time.monotonic() - since > NAME_LATE_S:
            why = f"it has succeeded, and named no model for {NAME_LATE_S / 60:.0f} minutes"
            return JobStatus(state=JobState.FAILED, message=why)
        return JobStatus(state=JobState.RUNNING, message="it has succeeded; its model has no name")

    async def _checkpoint(self, handle: Handle) -> str:
        """The name of its last checkpoint, "" where it has none."""
        async with self._client.asking(handle, unless=(404, 405, 501)) as api:
            found = [c async for c in _first(api.fine_tuning.jobs.checkpoints.list(handle))]
            last = max(found, key=lambda c: c.step_number or 0, default=None)
            return (last and last.fine_tuned_model_checkpoint) or ""
        return ""

    async def logs(self, handle: Handle, after: int) -> LogLines:
        heard = self._heard.setdefault(handle, set())
        if not after:
            heard.clear()
        lines: list[str] = []
        async with self._client.asking(handle, unless=(404, 405, 501)) as api:
            events = [e async for e in _first(api.fine_tuning.jobs.list_events(handle, limit=100))]
            new = [event for event in in_order(events) if event.id not in heard]
            heard |= {event.id for event in new}
            lines = [line_of(event) for event in new]
        return LogLines(lines=lines, cursor=len(heard))

    async def cancel(self, handle: Handle) -> None:
        async with self._client.asking(handle, unless=(400, 404, 409)) as api:  # it has ended
            await api.fine_tuning.jobs.cancel(handle)

    async def result(self, job: TrainJob, handle: Handle) -> TrainReport:
        _, counts = await asyncio.to_thread(chat_file, job)
        async with self._client.asking(handle) as api:
            done = await api.fine_tuning.jobs.retrieve(handle)
        name = done.fine_tuned_model or await self._checkpoint(handle)
        if not name:
            raise TrainerError(f"{self.name} names no model for the job {handle}")
        new_model(job).mkdir(parents=True, exist_ok=True)
        return TrainReport(
            digest=job_digest(job),
            rows=counts.rows,
            untrained=counts.untrained,
            seconds=float((done.finished_at or done.created_at) - done.created_at),
            tokens=done.trained_tokens or 0,
            job=handle,
            model=TrainedModel(served="name", name=name, base=done.model),
        )


def _named(digest: str) -> str:
    return f"agent-r-{digest}.jsonl"


def _base_of(job: TrainJob, config: ProviderConfig) -> str:
    """What the provider calls the model that a job starts from.

    Raises:
        TrainerError: it is a folder of this machine, which no provider knows.
    """
    if name := trained_model(job.model).name:
        return name
    if not config.model and (job.model / "config.json").is_file():
        raise TrainerError(
            f"a provider cannot start from {job.model}, a folder of this machine: set "
            "train.provider.model to what it calls the model"
        )
    return config.model or str(job.model)


async def _first(pages: Any) -> AsyncIterator[Any]:
    """Items of a list, page after page, a sensible number of them."""
    count = 0
    async for item in pages:
        yield item
        if (count := count + 1) >= MOST_LOOKED_AT:
            return


async def _job_of(api: AsyncOpenAI, digest: str, files: set[str]) -> Handle | None:
    """The job with our digest that has succeeded, or is on its way."""
    live: Handle | None = None
    async for job in _first(api.fine_tuning.jobs.list(limit=100)):
        if (job.metadata or {}).get(OURS) == digest or job.training_file in files:
            state = STATES.get(job.status, JobState.RUNNING)
            if state is JobState.SUCCEEDED:
                return str(job.id)
            if not state.is_final:
                live = job.id
    return live


async def _upload(api: AsyncOpenAI, name: str, rows: bytes) -> FileObject:
    return await api.files.create(file=(name, rows, "application/jsonl"), purpose="fine-tune")


async def _ready(api: AsyncOpenAI, file: FileObject) -> None:
    """Wait until the provider has read a file; some take a job only then."""
    until, wait = time.monotonic() + FILE_READY_S, 0.2
    while str(file.status) in ("uploaded", "pending", "running", "notRunning", "processing"):
        if str(file.status) == "uploaded" or time.monotonic() > until:
            return  # with OpenAI it stays so, and the job waits for it
        await asyncio.sleep(wait)
        wait = min(2 * wait, 10.0)
        file = await api.files.retrieve(file.id)
    if str(file.status) == "error":
        raise TrainerError(f"the provider refuses the rows: {file.status_details or 'no reason'}")


def _reason(job: FineTuningJob) -> str:
    """Why a job has failed; what it waits for."""
    if job.error is not None and (job.error.message or job.error.code):
        parameter = f" ({job.error.param})" if job.error.param else ""
        return f"{job.error.code or 'error'}: {job.error.message or ''}{parameter}"
    return "" if job.status in ("running", "succeeded") else job.status.replace("_", " ")
