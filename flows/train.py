"""Fine-tune an actor on dataset versions: the job is a process of its own."""

from __future__ import annotations

import logging

from pydantic import BaseModel

from agent_r.collection.identity import unnamed
from agent_r.config import digest
from agent_r.errors import TrainerError
from agent_r.files import write_jsonl
from agent_r.local_model.token_count import TokenCounter
from agent_r.training.backends.choice import make_backend
from agent_r.training.backends.run_to_end import log_of
from agent_r.training.backends.train_job import Source, TrainJob, finished
from agent_r.training.mixture import Mixture, Weigh, mixture_key, training_rows
from agent_r.training.progress_lines import spoken_line, training_line
from agent_r.training.training_record import TrainingRecord, last_lines
from flows.form.asked import asked
from flows.form.parameters import Base, Dataset, Overrides
from flows.general_rows import general_rows
from flows.page.artifacts import announce_trained
from flows.page.orphans import close_what_it_left
from flows.page.run_log import tell
from flows.page.run_names import name_run
from flows.page.training_page import show_training
from flows.preflight import Needs, preflight
from flows.run_context import RunContext
from flows.states import fails_in_one_line
from flows.versions import local_version
from flows.workers.pool_backend import PoolBackend
from tasks.fine_tune import fine_tune
from tasks.orchestration import flow

_log = logging.getLogger("agent_r.progress")


class Trained(BaseModel):
    """Where the new model is, and how its training went."""

    model: str  # its folder, which says where it is served if that is elsewhere
    rows: dict[str, int]  # by kind: revision, good, general
    mixture: Mixture = Mixture()
    loss_first: float | None
    loss_last: float | None
    seconds: float
    training: TrainingRecord
    new: bool  # it was not there before


@flow(
    name="train",
    persist_result=False,
    validate_parameters=False,
    on_crashed=[close_what_it_left],
)
@fails_in_one_line
async def train(
    versions: list[str],
    settings: Base = "default",
    iteration: int = 1,
    model: str = "",
    control: bool = False,
    dataset: Dataset = "",
    overrides: Overrides = (),
) -> Trained:
    """Train on the mixture of good, revision and general rows; the loss spares the bad steps.

    Args:
        versions: Folders of dataset versions, or `owner/name@v1.3` on the Hub; the newest last.
        iteration: Which iteration of Agent-R this is, from 1.
        model: Folder of the model to start from; empty: the endpoint's own.
        control: Train as long on rows without errors instead, to compare with.
    """
    config = await asked(settings, overrides, dataset=dataset, folders=(model, *versions))
    context = RunContext.of(config, iteration, model)
    await name_run("train", context, f"iteration {iteration}", "control" if control else "")
    await preflight(context, Needs(trains=True, versions=versions))
    config = config.model_copy(update={"train": config.train.at(iteration)})
    seed, work = context.training_seed, context.work_folder
    general = await general_rows(config, seed=seed, folder=work)
    folders = [await local_version(version, config) for version in versions]
    rows, mixture = training_rows(
        folders, general.rows, config, seed=seed, control=control, weigh=weighing(context)
    )
    mixture = mixture.model_copy(update={"general": general.source})
    actor = digest(context.actor_name, *unnamed(context.as_trained).values())
    key = mixture_key(rows, config, actor=actor)
    path = work / f"mixture-{iteration}-{key}.jsonl"
    write_jsonl(path, rows)
    job = TrainJob(
        model=context.model_to_train,
        sources=(Source(path=path),),
        out=work / f"model-{iteration}-{key}",
        config=config.train,
        seed=seed,
    )
    stage = f"iteration {iteration} train" + (" the control" if control else "")
    new = finished(job) is None
    tell(mixture.line())
    if general.source is not None:
        _log.info("%s", general.source.line())
    pool = config.train.pool
    backend = PoolBackend(pool) if pool is not None else make_backend(config.train)
    try:
        report = await fine_tune(backend, job, training_line(stage), spoken_line(stage))
    except TrainerError:
        for line in last_lines(log_of(job.out)):
            _log.info("%s: its last words: %s", stage, line)
        raise
    if report.longest_reply > config.search.max_tokens:
        _log.warning(
            "a trained reply has %d tokens, and search.max_tokens = %d cuts what the new actor "
            "says: raise it, or shorten revision signals (revision.signal); a reply of a general "
            "row (train.general) may be as long",
            report.longest_reply,
            config.search.max_tokens,
        )
    loss = f", loss {report.first_loss:.3f} → {report.last_loss:.3f}" if report.last_loss else ""
    tell(f"{job.out}{loss}, {report.seconds:.0f} s")
    record = TrainingRecord.of(job, report)
    await show_training(record, job.out, name=config.dataset.name, stage=stage)
    if not control:
        announce_trained(str(job.out), name=config.dataset.name, iteration=iteration)
    return Trained(
        model=str(job.out),
        rows=mixture.rows,
        mixture=mixture,
        loss_first=report.first_loss,
        loss_last=report.last_loss,
        seconds=report.seconds,
        training=record,
        new=new,
    )


def weighing(context: RunContext) -> Weigh | None:
    """What counts the tokens that a row trains, where the settings ask for them and can tell."""
    if context.config.train.eta_of == "rows":
        return None
    counter = TokenCounter.of(context.as_trained)
    return counter.trained if counter else None
