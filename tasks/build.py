"""Write a dataset version."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.cache_policies import NO_CACHE

from agent_r.collection.tree_stores import Trees
from agent_r.dataset.build import BuildResult
from agent_r.dataset.build import build as build_version
from agent_r.dataset.manifest import Manifest
from agent_r.environment import TaskSpec
from env_adapters import world_of
from tasks.orchestration import task


@task(
    name="build",
    task_run_name="build {folder.name}, iteration {iteration}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def build(
    trees: Trees,
    tasks: Sequence[TaskSpec],
    folder: Path,
    actor: str,
    iteration: int,
    earlier: Path | None,
    on_hub: Manifest | None,
    outcomes: Sequence[dict[str, Any]] = (),
    refused: Sequence[str] = (),
) -> BuildResult:
    """Turn revisions into the next dataset version; equal rows find the version that has them."""
    return await asyncio.to_thread(
        build_version,
        trees,
        tasks,
        folder,
        actor=actor,
        iteration=iteration,
        earlier=earlier,
        elsewhere=on_hub,
        world_of=world_of,
        outcomes=outcomes,
        refused=refused,
    )
