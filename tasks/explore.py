"""Search trees."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from agent_r.environment import TaskSpec
from agent_r.services.stage import Stage


# Our own files say what is finished; a second truth in Prefect's cache could only disagree.
@task(name="explore", cache_policy=NO_CACHE, persist_result=False, tags=["llm"])
async def explore(shard: Sequence[TaskSpec], stage: Stage) -> int:
    """Search every tree of one shard; a tree that is already on disk is not searched again."""
    return await stage.explore(shard)
