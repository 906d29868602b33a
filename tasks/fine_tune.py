"""Fine-tune a model, as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from agent_r.training.backends import Trainer, TrainJob, TrainReport


@task(
    name="fine-tune",
    task_run_name="fine-tune {job.out.name}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def fine_tune(trainer: Trainer, job: TrainJob) -> TrainReport:
    """Run one fine-tuning job in a process of its own; a finished one is not run again."""
    return await trainer.fine_tune(job)
