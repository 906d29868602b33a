"""Explore → critique → revise: trees and revisions, in a store that machines can share."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace

from pydantic import BaseModel

from agent_r import closing
from agent_r.actor import Actor
from agent_r.collection import usage_log
from agent_r.collection.plan import shards
from agent_r.collection.progress import Progress
from agent_r.collection.scheduler import TreeScheduler
from agent_r.collection.second_looks import worth_another
from agent_r.collection.tree_stores import TreeStores
from agent_r.concurrency import gather_bounded
from agent_r.diagnostics.account import Accounting
from agent_r.diagnostics.early_stop import EarlyStop
from agent_r.diagnostics.symptoms import form_of
from agent_r.endpoint.budget import Budget, Budgeted
from agent_r.endpoint.limiter import at_once
from agent_r.endpoint.served import Served
from agent_r.environment import TaskSpec
from agent_r.errors import BudgetSpent, EndpointUnavailable
from flows.acting.actor_factory import acting
from flows.form.asked import asked
from flows.form.parameters import AS_SET, Base, Dataset, Endpoint, Overrides, RunBudget, World
from flows.page.orphans import close_what_it_left
from flows.page.run_log import tell, warn
from flows.page.run_names import name_run
from flows.page.run_page import show_account
from flows.page.this_run import run_id
from flows.preflight import Needs, preflight
from flows.run_context import RunContext
from flows.states import fails_in_one_line
from flows.workers.sharing import ALONE, REPORTS, Membership, Shared, sharing
from tasks.grow import grow as grow_shard
from tasks.orchestration import flow

_log = logging.getLogger("agent_r.progress")
IDLE = 0.6  # share of the slots in use, below which a person should know
WORTH_SAYING_S = 20.0  # that a run takes at least


class GrowResult(BaseModel):
    """How far an iteration has come, and what it cost."""

    actor: str
    iteration: int
    trees: int  # wanted
    finished: int  # with revisions, those of earlier runs among them
    failed: dict[str, int]  # trees left for the next run, by what went wrong
    faults: dict[str, int]  # tries of requests that failed in this run, by kind
    unclosed: dict[str, int]  # closings of a world that failed
    stopped: str  # the limit of the budget that ended the run, if one did
    slots_used: float  # share of the endpoint's slots, over this run
    spent: dict[str, float]  # tokens and seconds of this run
    asked: dict[str, int] = {}  # requests and tokens of this run, and others of their kind
    usage: dict[str, int]  # of all runs that it took
    seconds: float  # likewise
    refused: list[str] = []  # settings that the server did not take, over all runs
    second_looks: int = 0  # trees beyond those, of tasks without a revision

    def line(self) -> str:
        """What came of it, for a log: trees finished, and what this run took for them."""
        tokens = self.spent["prompt_tokens"] + self.spent["completion_tokens"]
        return (
            f"{self.finished:,} of {self.trees:,} trees, {tokens:,.0f} tokens, "
            f"{self.spent['seconds']:.0f} s"
        )

    def notes(self) -> list[str]:
        """What a person should know of a run that did not go as planned."""
        notes = []
        if self.stopped:
            notes.append(f"the budget ends here ({self.stopped}); the same command goes on")
        if self.failed:
            what = ", ".join(f"{n} {kind}" for kind, n in self.failed.items())
            notes.append(f"{sum(self.failed.values())} trees failed ({what}); the same command "
                        "tries them again")  # fmt: skip
        if self.faults:
            what = ", ".join(f"{n} × {kind}" for kind, n in self.faults.items())
            notes.append(f"requests were tried again after: {what}")
        if self.second_looks:
            notes.append(f"{self.second_looks} trees more are second looks at tasks without a "
                        "revision (budget.second_looks)")  # fmt: skip
        notes += closing.notes(Counter(self.unclosed))
        if self.slots_used < IDLE and self.spent["seconds"] > WORTH_SAYING_S:
            notes.append(f"{self.slots_used:.0%} of the endpoint's slots were in use: more "
                        "search.parallel_simulations, or more trees in one run, would use the "
                        "others")  # fmt: skip
        return notes


@flow(
    name="grow",
    persist_result=False,
    validate_parameters=False,
    on_crashed=[close_what_it_left],
)
@fails_in_one_line
async def grow(
    settings: Base = "default",
    world: World = None,
    endpoint: Endpoint = None,
    dataset: Dataset = "",
    budget: RunBudget = AS_SET,
    iteration: int = 1,
    model: str = "",
    part: str = "",
    overrides: Overrides = (),
) -> GrowResult:
    """Explore and revise trees; `collect` makes a dataset of them.

    What machines share is `dataset.store` of the settings.

    Args:
        iteration: Which iteration of Agent-R this is, from 1: it chooses the tasks and alpha.
        model: Folder of the embedded model to use; empty: the endpoint's own.
        part: This machine's share of the trees, as 3/16; empty: all of them.
    """
    config = await asked(settings, overrides, world=world, endpoint=endpoint, dataset=dataset,
                         budget=budget, folders=(model,))  # fmt: skip
    context = RunContext.of(config, iteration, model)
    await name_run("grow", context, f"iteration {iteration}", f"part {part}" if part else "")
    membership = Membership.of_this_run(part)
    await preflight(context, Needs(acts=True, asks=membership is None))
    tell(f"{len(context.tasks(part))} trees to explore")
    grown = await grow_part(context, part, membership)
    if membership is not None:
        report = grown.model_dump_json().encode()
        await context.object_store.below(REPORTS).write(f"{run_id()}.json", report)
    tell(grown.line())
    return grown


async def grow_part(
    context: RunContext, part: str, membership: Membership | None = None
) -> GrowResult:
    """Grow one part of the trees; as a worker's, it shares slots and budget with others."""
    tasks = context.tasks(part)
    if membership is None:
        async with ready(context) as (stores, actor):
            return require_finished(await growing(context, stores, tasks, actor))
    budget = membership.of_minutes(context.config.budget)
    context = replace(context, config=context.config.model_copy(update={"budget": budget}))
    async with (
        ready(context, checked=False) as (stores, actor),
        sharing(context.config, actor, membership) as shared,
    ):
        return await growing(context, stores, tasks, actor, shared=shared)


@contextlib.asynccontextmanager
async def ready(
    context: RunContext, *, checked: bool = True
) -> AsyncIterator[tuple[TreeStores, Actor]]:
    """Open writable tree stores and an actor that answers; close the worlds at the end."""
    await context.object_store.require_writable()
    async with context.worlds, acting(context, checked=checked) as actor:
        yield await context.tree_stores(actor.name), actor


async def growing(
    context: RunContext,
    stores: TreeStores,
    tasks: list[TaskSpec],
    actor: Actor,
    *,
    spend_all: bool = True,
    shared: Shared = ALONE,
) -> GrowResult:
    """Grow the trees of these tasks as a run of its own, with its budget and its account.

    Args:
        spend_all: what the budget leaves over may go into second looks.
        shared: what other workers have a share of.

    Raises:
        NothingMade: the first trees have shown that nothing can come.
    """
    began, config, iteration = time.monotonic(), stores.config, context.iteration
    gc.freeze()  # what is loaded by now stays: looking through it takes a third of a second
    grant = shared.budget.grant if shared.budget else None
    budget = Budget(config.budget, config.endpoint, actor.usage, grant=grant)
    form = form_of(stores.store_of(tasks[0]).world.grammar) if tasks else ""
    early_stop = EarlyStop(config, config.revision_at(iteration), tasks, Accounting(form))
    show_account(lambda: early_stop.accounting.account, f"iteration {iteration}, by now")
    scheduler = TreeScheduler(
        stores,
        Budgeted(actor, budget),
        budget,
        asyncio.Semaphore(at_once(config.endpoint.concurrency)),
        Progress(f"iteration {iteration}", len(tasks), "trees"),
        early_stop,
    )
    scheduler.progress.details = live = functools.partial(details, scheduler, actor)
    await in_shards(scheduler, tasks, f"of iteration {iteration}")
    finished, stopped = scheduler.finished, scheduler.stopped
    if spend_all and finished and not stopped and config.budget.limits:
        early_stop.looking = False  # the planned trees are there, whatever comes of these
        await look_again(scheduler, tasks, f"iteration {iteration}, second looks", live)
    stores.leave()
    seconds = time.monotonic() - began
    refused = actor.refused if isinstance(actor, Served) else []
    spent = usage_log.add(context.account(stores, tasks), actor.usage, seconds, refused)
    prompt, completion = budget.tokens
    grown = GrowResult(
        actor=actor.name,
        iteration=iteration,
        trees=len(tasks),
        finished=finished,
        failed=dict(scheduler.failed),
        faults=dict(actor.faults) if isinstance(actor, Served) else {},
        unclosed=dict(stores.unclosed),
        stopped=stopped,
        slots_used=slots_used(actor, seconds, shared),
        spent={"prompt_tokens": prompt, "completion_tokens": completion, "seconds": seconds},
        asked=asdict(actor.usage),
        usage=spent.usage,
        seconds=spent.seconds,
        refused=spent.refused,
        second_looks=scheduler.finished - finished,
    )
    if finished:
        warn(grown.notes())
    return grown


def require_finished(grown: GrowResult) -> GrowResult:
    """What was grown, where it is anything at all.

    Raises:
        BudgetSpent, EndpointUnavailable: not one tree was finished.
    """
    if not grown.trees:
        _log.info("this part has no trees: there are fewer than parts")
    elif not grown.finished and grown.stopped:
        raise BudgetSpent(f"{grown.stopped} is spent before one tree was finished: give it more")
    elif not grown.finished:
        what = ", ".join(f"{n} {kind}" for kind, n in grown.failed.items())
        raise EndpointUnavailable(f"not one of {grown.trees} trees was finished ({what})")
    return grown


async def in_shards(scheduler: TreeScheduler, tasks: list[TaskSpec], of: str) -> None:
    """Grow these trees, each shard of them as a Prefect task that says which they are."""
    groups = shards(tasks)
    begins = [0, *itertools.accumulate(map(len, groups))]
    named = [
        (group, f"trees {begin + 1} to {begin + len(group)} {of}")
        for group, begin in zip(groups, begins, strict=False)
    ]
    await gather_bounded(named, lambda one: grow_shard(one[0], scheduler, one[1]))


async def look_again(
    scheduler: TreeScheduler, tasks: list[TaskSpec], stage: str, live: Callable[[], list[str]]
) -> None:
    """Spend what the budget leaves over on other trees of the tasks that gave no revision."""
    for look in range(1, scheduler.trees.config.budget.second_looks + 1):
        chosen = await worth_another(scheduler.trees, tasks, look)
        if chosen and not scheduler.stopped:
            scheduler.progress = Progress(stage, len(chosen), "trees", details=live)
            await in_shards(scheduler, chosen, f"of second looks {look}")


def details(scheduler: TreeScheduler, actor: Actor) -> list[str]:
    """The live account: what a person who pays looks at."""
    prompt, completion = scheduler.budget.tokens
    account = [f"{scheduler.in_flight} in flight", f"{actor.usage.requests:,} requests"]
    account.append(f"{prompt + completion:,} tokens")
    if (money := scheduler.budget.money) is not None:
        account.append(f"{money:,.2f} spent")
    if isinstance(actor, Served):
        account.append(f"{actor.slots.in_flight}/{actor.slots.limit} slots")
        if actor.faults:
            account.append(f"{actor.faults.total()} faults")
    if scheduler.failed:
        account.append(f"{scheduler.failed.total()} trees failed")
    return account


def slots_used(actor: Actor, seconds: float, shared: Shared) -> float:
    """Share of the slots that held a request, on average; 1 where there is no endpoint."""
    if not isinstance(actor, Served):
        return 1.0
    held = shared.leased.slot_seconds if shared.leased else actor.slots.limit * seconds
    return actor.busy_s / max(held, 1e-9)
