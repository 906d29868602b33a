"""What the workers of one run share, kept by Prefect's server: an endpoint's slots, and a budget.

Both are global concurrency limits. Slots are leased in pieces, so that a killed worker's come back;
a budget's hundredths are taken for good, so that nothing is spent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import flow_run

from agent_r.actor import Actor
from agent_r.config import digest
from agent_r.endpoint.budget import GRANTS
from agent_r.endpoint.leases import LeasedSlots, LeaseLost
from agent_r.endpoint.limiter import AUTO_MOST
from agent_r.endpoint.served import Served
from agent_r.settings import BudgetConfig, Config, OpenAIEndpoint

WORKER_OF = "worker-of:"  # a tag: the run that waits for it
REPORTS = "workers"  # a folder in the store: what became of each worker's part, by its run
LEASE_S = 60.0  # the shortest that Prefect has
ANSWER_S = 10.0  # that one question may take, so that a lease's end is not missed
AGAIN_S = 2.0
UNKNOWN = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
# Also where another run has set the limit lower than what is asked for.
NOT_FREE = (HTTPStatus.LOCKED, HTTPStatus.UNPROCESSABLE_ENTITY)

_log = logging.getLogger("agent_r.progress")


@dataclass(frozen=True, slots=True)
class Membership:
    """Whose worker a run is, and of how many."""

    run: str
    workers: int
    since: float  # seconds of the epoch: from then on the budget's minutes pass

    @classmethod
    def of_this_run(cls, part: str) -> Membership | None:
        """As a run with `workers` has tagged the one that this is; None where none has."""
        tags = [tag for tag in flow_run.tags or () if tag.startswith(WORKER_OF)]
        if not (tags and part):
            return None
        since = flow_run.scheduled_start_time.timestamp()
        return cls(tags[0].removeprefix(WORKER_OF), int(part.rpartition("/")[2]), since)

    def of_minutes(self, budget: BudgetConfig) -> BudgetConfig:
        """The budget with the minutes that are left, however late this worker begins."""
        return minutes_left(budget, self.since)


@dataclass(frozen=True, slots=True)
class Shared:
    """What one worker has of what all share."""

    leased: LeasedSlots | None = None  # None: its endpoint is its own
    budget: SharedBudget | None = None  # None: no limit that workers could share


ALONE = Shared()


@contextlib.asynccontextmanager
async def sharing(config: Config, actor: Actor, membership: Membership) -> AsyncIterator[Shared]:
    """Slots and budget for one worker; slots are given back at the end."""
    endpoint = config.endpoint
    async with get_client() as client, contextlib.AsyncExitStack() as held:
        leased = None
        if isinstance(endpoint, OpenAIEndpoint) and isinstance(actor, Served):
            pool = EndpointSlots(client, endpoint)
            await pool.exist()
            fair = max(pool.limit // membership.workers, 1)
            leased = await held.enter_async_context(LeasedSlots(actor.slots, pool, fair=fair))
        budget = SharedBudget(client, membership.run) if is_shared(config.budget) else None
        yield Shared(leased, budget)


def minutes_left(budget: BudgetConfig, since: float) -> BudgetConfig:
    """The budget without the minutes that have passed since then (seconds of the epoch)."""
    return budget.less(tokens=0, money=0, minutes=max(time.time() - since, 0) / 60)


def is_shared(budget: BudgetConfig) -> bool:
    """Whether it has limits that are taken bit by bit; minutes pass for all workers alike."""
    return bool(budget.tokens or budget.money)


class EndpointSlots:
    """A `SlotPool`: all requests in flight to one model of one server, of any run's workers."""

    lease_s = LEASE_S

    def __init__(self, client: PrefectClient, endpoint: OpenAIEndpoint) -> None:
        self._client = client
        self._name = f"agent-r-slots-{digest(endpoint.base_url, endpoint.model)[:12]}"
        asked = endpoint.concurrency
        self.limit = asked if isinstance(asked, int) else AUTO_MOST

    def __str__(self) -> str:
        return (
            f"workers hold all {self.limit} of Prefect's concurrency limit {self._name} "
            f"(`prefect gcl inspect {self._name}`)"
        )

    async def exist(self) -> None:
        """Make the limit, or set it to what this run's settings say."""
        await exist(self._client, self._name, self.limit)

    async def take(self, slots: int) -> str:
        async with _answered():
            try:
                answer = await self._client.increment_concurrency_slots_with_lease(
                    [self._name], slots, "concurrency", LEASE_S
                )
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in NOT_FREE:
                    raise
                return ""
        leased = answer.json()
        if not leased["limits"]:  # somebody has deleted it
            await self.exist()
            return ""
        return str(leased["lease_id"])

    async def renew(self, lease: str) -> None:
        async with _answered():
            try:
                await self._client.renew_concurrency_lease(UUID(lease), LEASE_S)
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in UNKNOWN:
                    raise
                raise LeaseLost(lease) from error

    async def give_back(self, lease: str) -> None:
        async with _answered():
            await self._client.release_concurrency_slots_with_lease(UUID(lease))

    async def free(self, slots: int) -> None:
        async with _answered():
            await self._client.release_concurrency_slots([self._name], slots, 1.0)


class SharedBudget:
    """The hundredths of one run's budget, which its workers take; made and ended by that run."""

    def __init__(self, client: PrefectClient, run: str) -> None:
        self._client, self._name = client, f"agent-r-budget-{run}"

    async def exist(self) -> None:
        """Make it; where the run is one that is retried, what was taken stays taken."""
        await exist(self._client, self._name, GRANTS)

    async def grant(self) -> bool:
        """Take one hundredth; False where none is left. Waits for a server that is away."""
        while True:
            try:
                async with _answered():
                    answer = await self._client.increment_concurrency_slots(
                        [self._name], 1, "concurrency"
                    )
                return bool(answer.json())  # the run that shares it may have ended
            except httpx.HTTPStatusError as error:
                if error.response.status_code in NOT_FREE:
                    return False
                raise
            except OSError:
                await asyncio.sleep(AGAIN_S)

    async def taken(self) -> float:
        """The share of the budget that workers have taken."""
        found = await self._client.read_global_concurrency_limit_by_name(self._name)
        return found.active_slots / GRANTS

    async def end(self) -> None:
        with contextlib.suppress(ObjectNotFound):
            await self._client.delete_global_concurrency_limit_by_name(self._name)


async def exist(client: PrefectClient, name: str, limit: int) -> None:
    """Make a global concurrency limit, or set it; several workers may do so at once."""
    with contextlib.suppress(ObjectAlreadyExists):
        await client.upsert_global_concurrency_limit_by_name(name, limit)


@contextlib.asynccontextmanager
async def _answered() -> AsyncIterator[None]:
    """A question to the server; that it cannot be asked just now is an `OSError`, and soon.

    Raises:
        OSError: no answer in time, or none that it gives when all is well.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except httpx.TransportError as error:
        raise OSError(str(error)) from error
    except httpx.HTTPStatusError as error:
        if error.response.is_server_error:
            raise OSError(str(error)) from error
        raise
