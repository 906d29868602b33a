"""Facts about the driver of jobs: whatever a back end does, a job is begun once and ended well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent_r.errors import TrainerError, TrainerUnavailable
from agent_r.training.backends import run_to_end as driver
from agent_r.training.backends.job_backend import JobState, JobStatus, LogLines
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import (
    TrainedModel,
    TrainingProgress,
    TrainJob,
    TrainReport,
    job_digest,
    partial,
    trained_model,
)
from tests.support.tiny_job import job_of
from tests.support.waiting import soon

RUNNING, SUCCEEDED = JobState.RUNNING, JobState.SUCCEEDED


@dataclass
class FarAway:
    """A back end with jobs of its own, which outlive whoever asks; it is out of reach at times."""

    name: str = "far away"
    poll_s: float = 0.01
    jobs: dict[str, JobStatus] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    away: int = 0  # so many questions are not answered
    submissions: int = 0

    def asked(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise TrainerUnavailable("no connection")

    async def submit(self, job: TrainJob) -> str:
        self.asked()
        name = job_digest(job)
        if name not in self.jobs or self.jobs[name].state in (JobState.FAILED, JobState.CANCELLED):
            self.submissions += 1
            self.jobs[name] = JobStatus(state=RUNNING)
        return name

    async def poll(self, handle: str) -> JobStatus:
        self.asked()
        return self.jobs[handle]

    async def logs(self, handle: str, after: int) -> LogLines:
        self.asked()
        return LogLines(lines=self.log[after : after + 2], cursor=min(after + 2, len(self.log)))

    async def cancel(self, handle: str) -> None:
        self.end(JobState.CANCELLED)

    async def result(self, job: TrainJob, handle: str) -> TrainReport:
        model = TrainedModel(served="name", name="ft:model-1")
        return TrainReport(digest=handle, rows=1, seconds=2.0, job=handle, model=model)

    def end(self, state: JobState, message: str = "", money: float | None = None) -> None:
        for name in self.jobs:
            self.jobs[name] = JobStatus(state=state, message=message, money=money)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "FIRST_S", 0.01)


@pytest.fixture
def job(rows: Path, tmp_path: Path) -> TrainJob:
    command = {"backend": "command", "command": "x {out}"}
    return job_of(Path("base"), rows, tmp_path / "out", config=command)


async def killed(backend: FarAway, job: TrainJob, when: Callable[[], bool]) -> None:
    """A run of the job that ends without a last word."""
    cancel, backend.cancel = backend.cancel, _nothing  # type: ignore[method-assign]
    running = asyncio.create_task(run_to_end(backend, job))
    await soon(when)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    backend.cancel = cancel  # type: ignore[method-assign]


async def _nothing(handle: str) -> None:
    pass


async def test_a_model_elsewhere_has_a_folder_with_its_report_and_its_curve(job: TrainJob) -> None:
    backend = FarAway(log=['{"step": 1, "of": 2, "loss": 3.0}', "a warning", "",
                           '{"step": 2, "of": 2, "loss": 1.0, "lr": 0.1}'])  # fmt: skip
    seen: list[TrainingProgress] = []
    heard: list[str] = []
    running = asyncio.create_task(run_to_end(backend, job, seen.append, heard.append))
    await soon(lambda: len(seen) == 2)
    backend.end(SUCCEEDED, money=0.25)
    report = await running
    assert (report.first_loss, report.last_loss, report.steps, report.money) == (3, 1, 2, 0.25)
    assert heard == ["a warning"]
    assert trained_model(job.out) == TrainedModel(served="name", name="ft:model-1")
    curve = [json.loads(line) for line in (job.out / "loss.jsonl").read_text().splitlines()]
    assert curve == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.0}]
    assert not partial(job).exists()
    assert await run_to_end(backend, job) == report
    assert backend.submissions == 1
    after = job.model_copy(update={"model": job.out, "out": job.out.with_name("next")})
    assert job_digest(after) != job_digest(job), "the next job starts from that very model"


def test_a_job_is_the_same_however_long_the_training_before_it_took(
    job: TrainJob, tmp_path: Path
) -> None:
    names = []
    for seconds in (1, 2):
        before = tmp_path / f"before-{seconds}"
        before.mkdir()
        (before / "config.json").write_text("{}")
        (before / "model.safetensors").write_bytes(b"weights")
        (before / "done.json").write_text(f'{{"seconds": {seconds}}}')
        names.append(job_digest(job.model_copy(update={"model": before})))
    assert names[0] == names[1]
    (before / "model.safetensors").write_bytes(b"others")
    assert job_digest(job.model_copy(update={"model": before})) != names[0]


async def test_a_job_whose_run_was_killed_is_found_by_its_handle(job: TrainJob) -> None:
    backend = FarAway(log=["first", "second", "third"])
    handle = partial(job) / "handle.json"
    await killed(backend, job, handle.exists)
    backend.end(SUCCEEDED)
    await run_to_end(backend, job)
    assert backend.submissions == 1
    assert job.out.with_name("out.log").read_text() == "first\nsecond\nthird\n"


async def test_a_job_whose_run_was_killed_before_it_wrote_the_handle_is_found_by_its_digest(
    job: TrainJob,
) -> None:
    backend = FarAway()
    await killed(backend, job, lambda: bool(backend.jobs))
    (partial(job) / "handle.json").unlink(missing_ok=True)
    backend.end(SUCCEEDED)
    await run_to_end(backend, job)
    assert backend.submissions == 1


async def test_a_failed_job_is_one_line_and_begun_anew_by_the_next_run(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-very-secret-1")
    backend = FarAway(log=["with sk-very-secret-1"])
    running = asyncio.create_task(run_to_end(backend, job))
    await soon(lambda: backend.jobs)
    backend.end(JobState.FAILED, "no GPU for\nsk-very-secret-1")
    with pytest.raises(TrainerError) as failed:
        await running
    log = job.out.with_name("out.log")
    assert str(failed.value) == (
        f"the training job failed: no GPU for *** (all that it said: {log})"
    )
    assert log.read_text() == "with ***\n"
    again = asyncio.create_task(run_to_end(backend, job))
    await soon(lambda: backend.submissions == 2)
    backend.end(SUCCEEDED)
    await again


async def test_a_job_is_cancelled_with_its_run_and_begun_anew_by_the_next(job: TrainJob) -> None:
    backend = FarAway()
    running = asyncio.create_task(run_to_end(backend, job))
    await soon((partial(job) / "handle.json").exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [status.state for status in backend.jobs.values()] == [JobState.CANCELLED]
    again = asyncio.create_task(run_to_end(backend, job))
    await soon(lambda: backend.submissions == 2)
    backend.end(SUCCEEDED)
    await again


async def test_a_back_end_may_be_away_for_a_while(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "AWAY_S", 0.5)
    backend = FarAway(away=3)
    running = asyncio.create_task(run_to_end(backend, job))
    await soon(lambda: backend.jobs)
    backend.away = 3
    await soon(lambda: not backend.away)
    backend.away = 10**9
    with pytest.raises(TrainerUnavailable, match="the job goes on, and the same command finds it"):
        await running
    assert [status.state for status in backend.jobs.values()] == [RUNNING], "nobody cancelled it"
    backend.away = 0
    backend.end(SUCCEEDED)
    await run_to_end(backend, job)
    assert backend.submissions == 1
