"""Fine-tune a model, as a Prefect task."""

from __future__ import annotations

from collections.abc import Callable

from prefect.cache_policies import NO_CACHE

from agent_r.training.backends.job_backend import JobBackend
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import TrainingProgress, TrainJob, TrainReport
from tasks.orchestration import task


@task(
    name="fine-tune",
    task_run_name="fine-tune {job.out.name}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def fine_tune(
    backend: JobBackend,
    job: TrainJob,
    on_progress: Callable[[TrainingProgress], None],
    on_line: Callable[[str], None],
) -> TrainReport:
    """Drive one fine-tuning job to its end; a finished one is not run again."""
    return await run_to_end(backend, job, on_progress, on_line)
