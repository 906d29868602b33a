"""Explore → critique → revise → dataset: one iteration's data."""

from __future__ import annotations

import asyncio
import functools
import time
from pathlib import Path

from prefect import flow
from pydantic import BaseModel

from agent_r.environment import TaskSpec
from agent_r.services import ledger
from agent_r.services.build import Built
from agent_r.services.forest import Forest
from agent_r.services.hub.pull import newest_published
from agent_r.services.manifest import Manifest
from agent_r.services.progress import Progress
from agent_r.services.stage import (
    Stage,
    dataset_folder,
    shards,
    tasks_of_iteration,
    work_folder,
)
from agent_r.services.store import require_writable
from agent_r.settings import Config
from env_adapters import make_env
from flows.actors import acting, first_model
from flows.artifacts import announce_folder, announce_written, show_version
from flows.hub_access import hub_of
from flows.results import JSON
from tasks.build import build
from tasks.explore import explore
from tasks.revise import revise

SHARD = 8  # trees a Prefect task: small enough that shards end together, large enough to be cheap


class Collected(BaseModel):
    """A dataset version, what went into it, and what it cost."""

    built: Built
    actor: str
    iteration: int
    usage: dict[str, int]  # of all runs that it took
    seconds: float  # likewise


@flow(
    name="collect",
    flow_run_name="collect-{config.dataset.name}-{iteration}",
    persist_result=True,
    result_serializer=JSON,
)
async def collect(
    config: Config = Config(), iteration: int = 1, model: str = "", trained: int = 0
) -> Collected:
    """Explore tasks, find the actor's first errors, verify revisions, write a dataset version.

    Args:
        config: All settings; the defaults need nothing but Python.
        iteration: Which iteration of Agent-R this is, from 1: it chooses the tasks and alpha.
        model: Folder of the embedded model to use; empty means the endpoint's own.
        trained: How many fine-tunings the actor has had; fills {iteration} in the model's name.
    """
    began = time.monotonic()
    make = functools.partial(make_env, config.env)
    tasks = tasks_of_iteration(make, config, iteration)
    require_writable(work_folder(config))
    folder = Path(model) if model else first_model(config)
    async with acting(config, model=folder, trained=trained) as actor:
        forest = Forest.of(work_folder(config), make, config, actor=actor.name, iteration=iteration)
        stage = Stage(
            forest,
            actor,
            asyncio.Semaphore(config.endpoint.concurrency),
            Progress(f"iteration {iteration} explore", len(tasks), "trees", actor.usage),
            Progress(f"iteration {iteration} revise", len(tasks), "trees", actor.usage),
        )
        await asyncio.gather(*(_one_shard(shard, stage) for shard in shards(tasks, SHARD)))
        on_hub = await _newest_on_hub(config)
        built = build(forest, tasks, dataset_folder(config), actor.name, iteration, on_hub)
        name = config.dataset.name
        await show_version(built, name=name, actor=actor.name, iteration=iteration)
        announce_written(built, name=name, iteration=iteration)
        if not config.hub.repo:
            announce_folder(built, name=name, iteration=iteration)
        account = work_folder(config) / f"spent-{forest.harvests.name}-{len(tasks)}.json"
        spent = ledger.add(account, actor.usage, time.monotonic() - began)
        return Collected(
            built=built,
            actor=actor.name,
            iteration=iteration,
            usage=spent.usage,
            seconds=spent.seconds,
        )


async def _newest_on_hub(config: Config) -> Manifest | None:
    """Versions are numbered on from those on the Hub, also where the folder here is new."""
    if not config.hub.repo:
        return None
    return await asyncio.to_thread(newest_published, await hub_of(config.hub))


async def _one_shard(shard: list[TaskSpec], stage: Stage) -> None:
    """A shard is revised as soon as it is explored: judging overlaps the others' search."""
    await explore(shard, stage)
    await revise(shard, stage)
