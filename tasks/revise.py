"""Judge, splice and verify."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from agent_r.environment import TaskSpec
from agent_r.services.stage import Stage


@task(name="revise", cache_policy=NO_CACHE, persist_result=False, tags=["llm"])
async def revise(shard: Sequence[TaskSpec], stage: Stage) -> int:
    """Find the first errors of one shard's trees, and execute their revisions."""
    return await stage.revise(shard)
