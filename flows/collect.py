"""Explore → critique → revise → dataset: one iteration's data."""

from __future__ import annotations

import asyncio

from prefect import flow

from agent_r.services.build import Built
from agent_r.services.hub.pull import newest_published
from agent_r.services.manifest import Manifest
from agent_r.services.plan import dataset_folder, work_folder
from agent_r.services.store import require_writable
from agent_r.settings import Config
from flows.artifacts import announce_folder, announce_written, show_version
from flows.grow import Grown, growing, planned, ready
from flows.hub_access import hub_of
from flows.results import JSON
from tasks.build import build


class Collected(Grown):
    """A dataset version, what went into it, and what it cost."""

    built: Built

    def notes(self) -> list[str]:
        said = super().notes()
        if refused := self.built.counts.get("refused conversations"):
            said.append(f"the server refused {refused} conversations: their episodes end there")
        return said


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
    require_writable(work_folder(config))
    name, tasks = config.dataset.name, planned(config, iteration)
    async with ready(config, iteration, model, trained) as (woods, actor):
        grown = await growing(woods, tasks, actor, iteration)
    on_hub = await _newest_on_hub(config)
    built = await build(woods, tasks, dataset_folder(config), grown.actor, iteration, on_hub)
    await show_version(built, name=name, actor=grown.actor, iteration=iteration)
    announce_written(built, name=name, iteration=iteration)
    if not config.hub.repo:
        announce_folder(built, name=name, iteration=iteration)
    return Collected(built=built, **grown.model_dump())


async def _newest_on_hub(config: Config) -> Manifest | None:
    """Versions are numbered on from those on the Hub, also where the folder here is new."""
    if not config.hub.repo:
        return None
    return await asyncio.to_thread(newest_published, await hub_of(config.hub))
