"""Measure an actor on the held-out tasks; all arms of a seed go on from the same places."""

from __future__ import annotations

import time

from pydantic import TypeAdapter

from agent_r import files
from agent_r.endpoint.limiter import at_once
from agent_r.evaluation.evaluate import Measurement, measure_actor
from agent_r.settings import Config
from benchmarks.paper.arms import ARMS, START
from benchmarks.paper.experiment import Experiment
from flows.acting.actor_factory import acting
from flows.run_context import RunContext

_MEASUREMENT = TypeAdapter(Measurement)


async def first_actor(experiment: Experiment, seed: int) -> tuple[Measurement, float]:
    """The start, whose failures and led tasks all go on from; measured once. And the seconds."""
    arm = ARMS[START]
    config = experiment.settings(seed, arm)
    path = experiment.work / f"seed-{seed}" / f"start-{experiment.key(arm)}.json"
    found, began = files.load(path, _MEASUREMENT), time.monotonic()
    if found is None:
        found = await measured(config, "", experiment.key(arm))
        files.save(path, _MEASUREMENT, found)
    return found, time.monotonic() - began


async def measured(
    config: Config, model: str, key: str, first: Measurement | None = None
) -> Measurement:
    """One actor; `key` names its folder of episodes, which a killed run goes on from."""
    context = RunContext.of(config, 1, model)
    async with context.worlds as worlds, acting(context) as actor:
        return await measure_actor(
            actor,
            worlds,
            config,
            openings=first.openings if first else None,
            led=first.robustness.led if first else None,
            parallel=at_once(config.endpoint.concurrency),
            folder=context.work_folder / f"episodes-{key}-{actor.name}",
        )
