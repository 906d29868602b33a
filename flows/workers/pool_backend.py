"""A back end of fine-tuning jobs: each is a run of the flow `fine-tune` on another work pool.

Rows and models travel through a folder that both machines have. There the job is one like any
other: what runs it is the other machine's own back end, whose log is read as it grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from agent_r import files
from agent_r.errors import ConfigError, TrainerError, TrainerUnavailable
from agent_r.local_model.model_folder import PACKAGED
from agent_r.settings import PoolConfig
from agent_r.training.backends.job_backend import Handle, JobState, JobStatus, LogLines
from agent_r.training.backends.process_backend import new_lines
from agent_r.training.backends.run_to_end import log_of
from agent_r.training.backends.train_job import (
    Source,
    TrainJob,
    TrainReport,
    job_digest,
    new_model,
    partial,
    report_in,
)

UNTAKEN = timedelta(seconds=60)  # until it is said that no worker takes a job
_STATES = {
    StateType.RUNNING: JobState.RUNNING,
    StateType.COMPLETED: JobState.SUCCEEDED,
    StateType.FAILED: JobState.FAILED,
    StateType.CRASHED: JobState.FAILED,
    StateType.CANCELLED: JobState.CANCELLED,
    StateType.CANCELLING: JobState.CANCELLED,
}


class PoolBackend:
    """A `JobBackend`; a handle is a flow run's id, and the folder through which its job travels."""

    poll_s = 3.0

    def __init__(self, pool: PoolConfig) -> None:
        self._pool = pool
        self.name = f"Prefect's deployment {pool.deployment}"

    async def check(self) -> DeploymentResponse:
        """Whether a job could be submitted.

        Raises:
            ConfigError: there is no server, or no such deployment on it.
        """
        if not PREFECT_API_URL.value():
            raise ConfigError(
                "train.pool runs the job as a deployment of Prefect's, and PREFECT_API_URL names "
                "no server: start one with a worker, or leave train.pool out"
            )
        async with _asking() as client:
            try:
                return await client.read_deployment_by_name(self._pool.deployment)
            except ObjectNotFound as error:
                raise ConfigError(
                    f"train.pool.deployment = '{self._pool.deployment}', and the server at "
                    f"{PREFECT_API_URL.value()} has none of this name: run `agent-r deploy`"
                ) from error

    async def submit(self, job: TrainJob) -> Handle:
        await self.check()
        place = self._place(job)
        sent = await asyncio.to_thread(send, job, place, at_same_path=not self._pool.shared)
        run, number = None, 0
        while run is None:
            number += 1  # under a key: submitted twice, it is one run
            async with _asking() as client:
                run = await arun_deployment(
                    self._pool.deployment,
                    client=client,
                    parameters={"job": sent.model_dump(mode="json")},
                    flow_run_name=f"fine-tune {job.out.name}",
                    job_variables=self._pool.job_variables,
                    idempotency_key=f"fine-tune/{job_digest(job)}/{place}/{number}",
                    timeout=0,
                )
            if _state(run).is_final and not _is_there(run, sent.out):
                run = None  # one that failed, or whose model has been fetched and deleted since
        return f"{run.id} {place}"

    async def poll(self, handle: Handle) -> JobStatus:
        run_id, _ = _parts(handle)
        async with _asking() as client:
            try:
                run = await client.read_flow_run(run_id)
            except ObjectNotFound:
                return JobStatus(state=JobState.FAILED, message=f"flow run {run_id} was deleted")
        state = _state(run)
        if state is JobState.QUEUED:
            return JobStatus(state=state, message=_why_it_waits(run))
        message = (run.state.message if run.state is not None else "") or ""
        return JobStatus(state=state, message=message)

    async def logs(self, handle: Handle, after: int) -> LogLines:
        _, place = _parts(handle)
        whole = report_in(place / "model") is not None
        return await asyncio.to_thread(new_lines, log_of(place / "model"), after, whole=whole)

    async def cancel(self, handle: Handle) -> None:
        run_id, _ = _parts(handle)
        async with _asking() as client:
            with contextlib.suppress(ObjectNotFound):
                if not _state(await client.read_flow_run(run_id)).is_final:
                    await client.set_flow_run_state(run_id, Cancelling())

    async def result(self, job: TrainJob, handle: Handle) -> TrainReport:
        run_id, place = _parts(handle)
        report = await asyncio.to_thread(fetch, place, new_model(job))
        return report.model_copy(update={"job": f"flow run {run_id}"})

    def _place(self, job: TrainJob) -> Path:
        """Where a job travels to and fro."""
        if not self._pool.shared:
            return partial(job).absolute() / "pool"
        return Path(self._pool.shared).absolute() / f"fine-tune-{job_digest(job)}"


def send(job: TrainJob, place: Path, *, at_same_path: bool) -> TrainJob:
    """Lay a job's rows and model where the other machine finds them: the job as it is there.

    Args:
        at_same_path: A model of the run's own is there already; the packaged one lies elsewhere.
    """
    model = job.model.absolute() if job.model.is_dir() else job.model
    if job.model.is_dir() and not (at_same_path and job.model != PACKAGED):
        model = place / "base"
        if not model.exists():
            with files.beside(model) as staged:
                for path in filter(Path.is_file, job.model.iterdir()):
                    files.link(path, staged / path.name)
                files.keep(staged, model)
    sources = []
    for number, source in enumerate(job.sources):
        rows = place / f"rows-{number}.jsonl"
        files.write_bytes(rows, source.path.read_bytes())
        sources.append(Source(path=rows, rows=source.rows))
    travels = {"model": model, "sources": tuple(sources), "out": place / "model"}
    return job.model_copy(update=travels | {"config": job.config.anywhere()})


def fetch(place: Path, model: Path) -> TrainReport:
    """Bring the new model here, whole or not at all; what has been brought stays.

    Raises:
        TrainerError: it is not where it was to be left.
    """
    if (report := report_in(model)) is not None:
        return report
    if (report := report_in(place / "model")) is None:
        raise TrainerError(
            f"the job has ended, and its model is not in {place}: train.pool.shared must be a "
            "folder that both machines have"
        )
    shutil.rmtree(model, ignore_errors=True)  # without a report it is none
    with files.beside(model) as staged:
        shutil.copytree(place / "model", staged, copy_function=_moved, dirs_exist_ok=True)
        files.keep(staged, model)
    # What an adapter is laid on stays where the adapter says that it is.
    shutil.rmtree(place / "model" if report.model.base else place, ignore_errors=True)
    return report


def _moved(path: str, to: str) -> None:
    """The same file at a second place: what is large is not copied within one disk."""
    files.link(Path(path), Path(to))


def _is_there(run: FlowRun, out: Path) -> bool:
    return _state(run) is JobState.SUCCEEDED and report_in(out) is not None


def _state(run: FlowRun) -> JobState:
    kind = run.state.type if run.state is not None else StateType.SCHEDULED
    return _STATES.get(kind, JobState.QUEUED)


def _why_it_waits(run: FlowRun) -> str:
    expected = run.expected_start_time or datetime.now(UTC)
    if datetime.now(UTC) - expected < UNTAKEN:
        return ""
    return (
        f"no worker of the pool '{run.work_pool_name}' has taken the job yet: "
        f"`prefect worker start --pool {run.work_pool_name}`"
    )


def _parts(handle: Handle) -> tuple[UUID, Path]:
    run, _, place = handle.partition(" ")
    return UUID(run), Path(place)


@contextlib.asynccontextmanager
async def _asking() -> AsyncIterator[PrefectClient]:
    """Ask Prefect's server.

    Raises:
        TrainerUnavailable: it does not answer just now.
    """
    try:
        async with get_client() as client:
            yield client
    except httpx.TransportError as error:
        raise TrainerUnavailable(str(error) or repr(error)) from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
            raise TrainerError(f"Prefect's server refuses: {error}") from error
        raise TrainerUnavailable(str(error)) from error
