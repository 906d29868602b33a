"""Measure an actor, as a Prefect task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect.cache_policies import NO_CACHE

from agent_r.actor import Actor
from agent_r.endpoint.limiter import at_once
from agent_r.evaluation.evaluate import EpisodePrefix, Measurement, measure_actor
from agent_r.evaluation.injection import LedTask
from agent_r.run_worlds import Worlds
from agent_r.settings import Config
from tasks.orchestration import task


@task(
    name="score",
    task_run_name="score {actor.name} on {config.measure.tasks} tasks",
    cache_policy=NO_CACHE,
    persist_result=False,
    tags=["llm"],
)
async def score(
    actor: Actor,
    worlds: Worlds,
    config: Config,
    openings: Sequence[EpisodePrefix] | None,
    led: Sequence[LedTask] | None,
    folder: Path,
) -> Measurement:
    """Play the held-out tasks, continue the failures given, and go on in the tasks led.

    Finished episodes are kept.
    """
    return await measure_actor(
        actor,
        worlds,
        config,
        openings=openings,
        led=led,
        parallel=at_once(config.endpoint.concurrency),
        folder=folder,
    )
