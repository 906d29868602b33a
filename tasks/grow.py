"""Explore and revise trees, as a Prefect task."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.cache_policies import NO_CACHE

from agent_r.collection.scheduler import TreeScheduler
from agent_r.environment import TaskSpec
from tasks.orchestration import task


# Our own files say what is finished; a second truth in Prefect's cache could only disagree.
@task(
    name="grow",
    task_run_name="grow {called}",
    cache_policy=NO_CACHE,
    persist_result=False,
    tags=["llm"],
)
async def grow(shard: Sequence[TaskSpec], scheduler: TreeScheduler, called: str) -> int:
    """Explore and revise the trees of one shard; what is on disk is not made again."""
    return await scheduler.grow(shard)
