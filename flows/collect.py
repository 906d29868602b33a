"""Explore → critique → revise → dataset: one iteration's data."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_r.collection.nights import Ground
from agent_r.collection.plan import dataset_folder
from agent_r.collection.tree_stores import TreeStores
from agent_r.dataset.build import BuildResult
from agent_r.dataset.manifest import Manifest
from agent_r.dataset.writer import of_iteration, versions
from agent_r.environment import TaskSpec
from agent_r.errors import ConfigError
from agent_r.hub.pull import newest_published
from agent_r.settings import Config
from flows.form.asked import asked
from flows.form.hiding import hides
from flows.form.parameters import AS_SET, Base, Dataset, Endpoint, Overrides, RunBudget, World
from flows.grow import GrowResult, growing, ready, require_finished
from flows.hub_client import hub_of
from flows.page.artifacts import announce_folder, announce_written, show_version
from flows.page.orphans import close_what_it_left
from flows.page.run_log import tell, warn
from flows.page.run_names import name_run
from flows.page.run_page import show_account
from flows.page.this_run import run_id
from flows.preflight import Needs, preflight
from flows.run_context import RunContext
from flows.states import fails_in_one_line, nothing_new
from flows.versions import local_version
from flows.workers.fan_out import grow_by_workers
from tasks.build import build
from tasks.orchestration import flow


class CollectResult(GrowResult):
    """A dataset version, what went into it, and what it cost."""

    built: BuildResult
    new: bool  # no version had these rows before

    def line(self) -> str:
        counts, path = self.built.counts, self.built.dataset.path
        rows = f"{counts.get('revisions', 0):,} revisions and {counts.get('good', 0):,} good"
        return f"{rows} from {super().line()}: {path}"

    def of_rows(self) -> list[str]:
        """What a person should know of what was made of the trees."""
        notes = list(self.built.advice)
        if refused := self.built.counts.get("refused conversations"):
            notes.append(f"the server refused {refused} conversations: their episodes end there")
        return notes


@hides("earlier", "outcomes", "spend_all")
@flow(
    name="collect",
    persist_result=False,
    validate_parameters=False,
    on_crashed=[close_what_it_left],
)
@fails_in_one_line
async def collect(
    settings: Base = "default",
    world: World = None,
    endpoint: Endpoint = None,
    dataset: Dataset = "",
    budget: RunBudget = AS_SET,
    iteration: int = 1,
    model: str = "",
    overrides: Overrides = (),
    *,
    earlier: str = "",
    outcomes: tuple[dict[str, Any], ...] = (),
    spend_all: bool = True,
) -> CollectResult:
    """Explore tasks, find the actor's first errors, verify revisions, write a dataset version.

    The version holds the rows of earlier iterations as well.

    Args:
        iteration: Which iteration of Agent-R this is, from 1: it chooses the tasks and alpha.
            A continual run counts for itself.
        model: Folder of the embedded model to use; empty: the endpoint's own.
        earlier: The version with the rows of earlier iterations: a folder, or `owner/name@v1.3`;
            empty: the newest here that goes up to the iteration before.
        outcomes: What the loop's actors have achieved so far, for the card.
        spend_all: Whether what the budget leaves over may go into second looks; not where later
            iterations need it.
    """
    config = await asked(settings, overrides, world=world, endpoint=endpoint, dataset=dataset,
                         budget=budget, folders=(model, earlier))  # fmt: skip
    context = RunContext.of(config, iteration, model)
    first = Ground.ahead(config, "collect", str(run_id())).first if config.continual else iteration
    await name_run("collect", context, f"iteration {first}")
    await preflight(context, Needs(acts=True))
    ground = _ground(config, iteration)
    iteration = ground.first if config.continual else iteration
    context = replace(context, iteration=iteration)
    tasks, folder = context.tasks(), context.dataset_folder
    tell(f"{len(tasks)} trees to explore")
    stores, grown = await _grown(context, tasks, spend_all=spend_all)
    before = await _earlier(earlier or "".join(ground.versions[-1:]), config, iteration)
    on_hub = await _newest_on_hub(config)
    known = {path.name for path in versions(folder)}
    built = await build(
        stores, tasks, folder, grown.actor, iteration, before, on_hub, outcomes, grown.refused
    )
    new = built.dataset.version not in known
    collected = CollectResult(built=built, new=new, **grown.model_dump())
    warn(collected.of_rows())
    tell(collected.line())
    show_account(lambda: built.account, f"iteration {iteration}, all that there is")
    await show_version(
        built,
        name=config.dataset.name,
        actor=grown.actor,
        iteration=iteration,
        warnings=[*grown.notes(), *collected.of_rows()],
    )
    announce_written(built, name=config.dataset.name, iteration=iteration)
    if not config.hub.repo:
        announce_folder(built, name=config.dataset.name, iteration=iteration)
    if not grown.stopped:
        ground.finish(last=iteration, versions=[built.dataset.path])
    return collected if new else nothing_new(collected, [built.dataset.version])


async def _grown(
    context: RunContext, tasks: list[TaskSpec], *, spend_all: bool
) -> tuple[TreeStores, GrowResult]:
    """Have the trees grown, by this process or by several workers."""
    if context.config.workers == 1:
        async with ready(context) as (stores, actor):
            grown = await growing(context, stores, tasks, actor, spend_all=spend_all)
        return stores, require_finished(grown)
    await context.object_store.require_writable()
    async with context.worlds:
        stores = await context.tree_stores(context.actor_name)
    return stores, await grow_by_workers(context, stores, tasks, spend_all=spend_all)


def _ground(config: Config, iteration: int) -> Ground:
    if config.continual and iteration != 1:
        raise ConfigError("a continual run counts its iterations itself: it takes no iteration")
    return Ground.of(config, "collect", str(run_id()))


async def _earlier(version: str, config: Config, iteration: int) -> Path | None:
    if version:
        return await local_version(version, config)
    return of_iteration(dataset_folder(config), iteration - 1) if iteration > 1 else None


async def _newest_on_hub(config: Config) -> Manifest | None:
    """Versions are numbered on from those on the Hub, also where the folder here is new."""
    if not config.hub.repo:
        return None
    return await asyncio.to_thread(newest_published, await hub_of(config.hub))
