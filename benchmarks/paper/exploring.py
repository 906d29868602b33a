"""Explore and revise an arm's trees, and write its dataset version; no Prefect is needed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent_r.collection.plan import shards
from agent_r.collection.progress import Progress
from agent_r.collection.scheduler import TreeScheduler
from agent_r.concurrency import gather_bounded
from agent_r.dataset.build import BuildResult, build
from agent_r.endpoint.budget import Budget
from agent_r.endpoint.limiter import at_once
from agent_r.errors import EndpointUnavailable
from agent_r.settings import Config
from env_adapters import world_of
from flows.grow import ready
from flows.run_context import RunContext


async def explored(config: Config, iteration: int, model: str, earlier: Path | None) -> BuildResult:
    """A version with the rows of this iteration and of those before; finished trees are found.

    Raises:
        EndpointUnavailable: some trees failed; what is there is found again.
    """
    context = RunContext.of(config, iteration, model)
    tasks = context.tasks()
    async with ready(context) as (stores, actor):
        scheduler = TreeScheduler(
            stores,
            actor,
            Budget(config.budget, config.endpoint, actor.usage),
            asyncio.Semaphore(at_once(config.endpoint.concurrency)),
            Progress(f"iteration {iteration}", len(tasks), "trees"),
        )
        await gather_bounded(shards(tasks), scheduler.grow)
        stores.leave()
    if scheduler.failed:
        raise EndpointUnavailable(f"{scheduler.failed.total()} of {len(tasks)} trees failed")
    return await asyncio.to_thread(
        build,
        stores,
        tasks,
        context.dataset_folder,
        actor=actor.name,
        iteration=iteration,
        earlier=earlier,
        world_of=world_of,
    )
