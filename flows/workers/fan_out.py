"""Have several workers grow an iteration's trees, each a part of them; see how far they came."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.runtime import deployment

from agent_r.actor import Usage
from agent_r.collection import usage_log
from agent_r.collection.plan import part_of
from agent_r.collection.tree_stores import TreeStores
from agent_r.concurrency import gather_bounded
from agent_r.endpoint.limiter import at_once
from agent_r.environment import TaskSpec
from agent_r.local_model.model_folder import PACKAGED
from agent_r.settings import Config, DatasetConfig, EmbeddedEndpoint, Endpoint
from flows.grow import GrowResult, require_finished
from flows.page.run_log import tell, warn
from flows.page.this_run import run_id
from flows.run_context import RunContext
from flows.workers.sharing import SharedBudget, is_shared

LOOKED_UP = 64  # trees at once


@dataclass(frozen=True, slots=True)
class FanOut:
    """The parts of one iteration, and what each worker needs to know of them."""

    context: RunContext  # with the settings of one worker
    run: str  # of which they all are workers
    parts: tuple[str, ...]  # those to grow, as 3/16
    began: float  # seconds of the epoch: from then on the budget's minutes pass

    @classmethod
    def of(
        cls, context: RunContext, parts: tuple[str, ...], began: float, *, looks: int = 0
    ) -> FanOut:
        """For the planned trees, or, where they are there, for so many second looks at each."""
        config = context.config
        of_worker = {
            "workers": 1,
            "budget": config.budget.model_copy(update={"second_looks": looks}),
            "dataset": located(config.dataset),
            "endpoint": endpoint_of(context),
        }
        settings = config.model_copy(update=of_worker)
        return cls(RunContext.of(settings, context.iteration), str(run_id()), parts, began)


async def grow_by_workers(
    context: RunContext, stores: TreeStores, tasks: list[TaskSpec], *, spend_all: bool
) -> GrowResult:
    """Grow the trees of these tasks by `config.workers`; the trees are those of one process.

    Args:
        spend_all: what the budget leaves over may go into second looks.

    Raises:
        AgentRError: a part failed in a way in which the others would fail as well.
    """
    began, config = time.time(), context.config
    count = parts_of(config, len(tasks))
    left = await parts_left(stores, tasks, count)
    tell(f"{len(left)} of {count} parts have trees left")
    async with shared_budget(config, str(run_id())):
        grown = await run_parts(FanOut.of(context, left, began)) if left else []
        finished = await finished_of(stores, tasks)
        looks = spend_all and config.budget.limits and config.budget.second_looks
        if looks and finished and not any(part.stopped for part in grown):
            parts = tuple(f"{number}/{count}" for number in range(1, count + 1))
            grown += await run_parts(FanOut.of(context, parts, began, looks=looks))
    seconds = time.time() - began
    whole = require_finished(merged(context, stores, tasks, grown, finished, seconds))
    warn(whole.notes())
    return whole


async def run_parts(fan_out: FanOut) -> list[GrowResult]:
    """What became of each part, whatever runs it."""
    if fan_out.context.config.runner == "prefect":
        from flows.workers.deployed import DeployedParts

        return await DeployedParts(fan_out).results()
    from flows.workers.clusters import on_cluster

    return await on_cluster(fan_out)


async def parts_left(stores: TreeStores, tasks: list[TaskSpec], count: int) -> tuple[str, ...]:
    """The parts of which not all trees are there."""
    there = await gather_bounded(tasks, stores.finished, limit=asyncio.Semaphore(LOOKED_UP))
    left = {task for task, is_there in zip(tasks, there, strict=True) if not is_there}
    parts = (f"{number}/{count}" for number in range(1, count + 1))
    return tuple(part for part in parts if not left.isdisjoint(part_of(tasks, part)))


def endpoint_of(context: RunContext) -> Endpoint:
    """The endpoint as it acts now; the packaged model is every worker's own."""
    endpoint = context.as_trained.endpoint
    if isinstance(endpoint, EmbeddedEndpoint):
        folder = "" if context.model == PACKAGED else str(Path(endpoint.checkpoint).absolute())
        return endpoint.model_copy(update={"checkpoint": folder})
    return endpoint


def located(dataset: DatasetConfig) -> DatasetConfig:
    """Folders that a worker finds from where it runs: a terminal's are relative to its own."""
    if deployment.id is not None:
        return dataset
    store = dataset.store
    return dataset.model_copy(
        update={
            "out": str(Path(dataset.out).absolute()),
            "store": store if "://" in store or not store else str(Path(store).absolute()),
        }
    )


def parts_of(config: Config, trees: int) -> int:
    """No more parts than trees, nor than slots: each worker needs one.

    >>> parts_of(Config(workers=4), 100), parts_of(Config(workers=4), 3)
    (4, 3)
    """
    slots = config.endpoint.concurrency
    return max(1, min(config.workers, trees, slots if isinstance(slots, int) else at_once(slots)))


@contextlib.asynccontextmanager
async def shared_budget(config: Config, run: str) -> AsyncIterator[None]:
    """One budget for all workers, as long as they are at work."""
    if not is_shared(config.budget):
        yield
        return
    async with get_client() as client:
        budget = SharedBudget(client, run)
        await budget.exist()
        try:
            yield
        finally:
            await budget.end()


async def finished_of(stores: TreeStores, tasks: list[TaskSpec]) -> int:
    """How many trees are there, with what was made of them."""
    there = await gather_bounded(tasks, stores.finished, limit=asyncio.Semaphore(LOOKED_UP))
    return sum(there)


def merged(
    context: RunContext,
    stores: TreeStores,
    tasks: list[TaskSpec],
    grown: Sequence[GrowResult],
    finished: int,
    seconds: float,
) -> GrowResult:
    """The parts as one: how far all have come is what the store says."""
    asked = Usage(**added(part.asked for part in grown))
    refused = [name for part in grown for name in part.refused]
    spent = usage_log.add(context.account(stores, tasks), asked, seconds, refused)
    at_work = sum(part.spent["seconds"] for part in grown)
    used = sum(part.slots_used * part.spent["seconds"] for part in grown)
    return GrowResult(
        actor=context.actor_name,
        iteration=context.iteration,
        trees=len(tasks),
        finished=finished,
        failed=added(part.failed for part in grown),
        faults=added(part.faults for part in grown),
        unclosed=added(part.unclosed for part in grown),
        stopped=next((part.stopped for part in grown if part.stopped), ""),
        slots_used=used / at_work if at_work else 1.0,
        spent={
            "prompt_tokens": asked.prompt_tokens,
            "completion_tokens": asked.completion_tokens,
            "seconds": seconds,
        },
        asked=added(part.asked for part in grown),
        usage=spent.usage,
        seconds=spent.seconds,
        refused=spent.refused,
        second_looks=sum(part.second_looks for part in grown),
    )


def added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """
    >>> added([{"a": 1}, {"a": 2, "b": 1}])
    {'a': 3, 'b': 1}
    """
    return dict(sum(map(Counter, counts), Counter()))
