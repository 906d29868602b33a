"""One fine-tuning job as a run of its own, on the machine whose worker takes it."""

from __future__ import annotations

from pydantic import ValidationError

from agent_r.config import Table
from agent_r.errors import ConfigError
from agent_r.settings import first_problem
from agent_r.training.backends.choice import make_backend
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import TrainJob, TrainReport
from agent_r.training.progress_lines import spoken_line, training_line
from flows.page.orphans import close_what_it_left
from flows.page.run_log import tell
from flows.page.run_names import rename
from flows.states import fails_in_one_line
from tasks.orchestration import flow


@flow(
    name="fine-tune",
    persist_result=False,
    validate_parameters=False,
    on_crashed=[close_what_it_left],
)
@fails_in_one_line
async def fine_tune(job: Table) -> TrainReport:
    """Train the model that a run with `[train.pool]` asks for; that run fetches it.

    Args:
        job: A job of ours, whose rows and model lie in a folder that this machine shares.
    """
    try:
        wanted = TrainJob.model_validate(job)
    except ValidationError as error:
        raise ConfigError(f"job: {first_problem(error)}") from None
    name = f"fine-tune {wanted.model.name}"
    await rename(name)
    tell(f"{wanted.config.backend} in {wanted.out.parent}")
    backend = make_backend(wanted.config)
    return await run_to_end(backend, wanted, training_line(name), spoken_line(name))
