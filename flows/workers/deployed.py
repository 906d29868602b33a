"""Run the parts of an iteration as runs of the deployment `grow`, on whatever workers its pool has.

A run that goes on where another was killed finds what its workers have finished in the store, and
waits for those that are still at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from agent_r.collection.progress import Progress
from agent_r.config import digest
from agent_r.errors import ConfigError, PrefectFault, StoreError, WorkerFailed
from flows.grow import GrowResult
from flows.page.run_log import warn
from flows.workers.fan_out import FanOut
from flows.workers.sharing import REPORTS, WORKER_OF, minutes_left

DEPLOYMENT = "grow/grow"
TRIES = 3  # of one part, where its process dies
POLL_S = 1.0
UNTAKEN_S = 60.0  # until it is said that no worker takes a part
GIVEN_UP_S = 600.0  # until the run ends for that
AWAY_S = 600.0  # that Prefect's server may be away
LIVE = (StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING)


class DeployedParts:
    """The workers' runs of one run; all end with it."""

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._part_of: dict[UUID, str] = {}  # of the runs that are waited for
        self._deaths: Counter[str] = Counter()  # of a part's processes
        self._ended: dict[str, UUID] = {}  # the run that finished a part
        self._taken = False  # a worker has taken a part
        stage = f"iteration {fan_out.context.iteration}"
        self._progress = Progress(stage, len(fan_out.parts), "parts")

    async def results(self) -> list[GrowResult]:
        """What became of each part.

        Raises:
            ConfigError: there is no server, or no such deployment on it.
            PrefectFault: the server is away for long, or no worker takes a part.
            WorkerFailed: a part has failed, or its process died again and again.
            StoreError: the workers keep their trees in another store.
        """
        if not PREFECT_API_URL.value():
            raise ConfigError(
                "workers run as Prefect's deployment grow/grow, and PREFECT_API_URL names no "
                "server: start one with a worker, or set workers = 1, or runner = 'dask'"
            )
        async with get_client() as client:
            deployment = await self._deployment(client)
            try:
                for part in self._fan_out.parts:
                    await self._submit(client, part)
                await self._wait(client, deployment)
            except BaseException:
                await self._cancel(client)
                raise
        return [await self._result(part) for part in self._fan_out.parts]

    async def _deployment(self, client: PrefectClient) -> DeploymentResponse:
        try:
            return await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound as error:
            raise ConfigError(
                f"workers run as Prefect's deployment {DEPLOYMENT}, and the server at "
                f"{PREFECT_API_URL.value()} has none: run `agent-r deploy`"
            ) from error

    async def _submit(self, client: PrefectClient, part: str) -> None:
        """Find the run that is at work on a part, or make one."""
        context = self._fan_out.context
        which = f"part:{digest(context.config, context.iteration, part)}"
        run, number = await self._at_work(client, which), 0
        while run is None:
            number += 1  # under a key: submitted twice, it is one run
            run = await arun_deployment(
                DEPLOYMENT,
                client=client,
                parameters={
                    "settings": self._settings(),
                    "iteration": context.iteration,
                    "part": part,
                },
                tags=[f"{WORKER_OF}{self._fan_out.run}", which],
                idempotency_key=f"{self._fan_out.run}/{which}/{number}",
                timeout=0,
            )
            if run.state is not None and run.state.is_final():
                run = None  # one that died, or of a try of this run before it was retried
        self._part_of[run.id] = part

    def _settings(self) -> str:
        """Of a worker that is submitted now: the others' minutes pass for it as well."""
        config = self._fan_out.context.config
        budget = minutes_left(config.budget, self._fan_out.began)
        return config.model_copy(update={"budget": budget}).model_dump_json()

    async def _at_work(self, client: PrefectClient, which: str) -> FlowRun | None:
        found = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=[which]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(LIVE))),
            )
        )
        return found[0] if found else None

    async def _wait(self, client: PrefectClient, deployment: DeploymentResponse) -> None:
        seen = waits = time.monotonic()
        is_told = False
        while self._part_of:
            await asyncio.sleep(POLL_S)
            now = time.monotonic()
            try:
                await self._look(client)
                seen = now
            except httpx.HTTPError as error:
                if now - seen > AWAY_S:
                    raise PrefectFault(
                        f"Prefect's server has not answered for {AWAY_S:.0f} s: {error}"
                    ) from error
            waits = now if self._taken else waits
            if now - waits > UNTAKEN_S and not is_told:
                is_told = True
                warn([await self._untaken(client, deployment, UNTAKEN_S)])
            if now - waits > GIVEN_UP_S:
                raise PrefectFault(await self._untaken(client, deployment, GIVEN_UP_S))

    async def _look(self, client: PrefectClient) -> None:
        """Take note of all runs that have ended; begin again those that died."""
        ids = FlowRunFilterId(any_=list(self._part_of))
        for run in await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=ids)):
            state = run.state
            if state is None or state.type is StateType.SCHEDULED:
                continue
            self._taken = True
            if not state.is_final():
                continue
            part = self._part_of.pop(run.id)
            if state.is_completed():
                self._ended[part] = run.id
                self._progress.step()
            elif state.is_crashed() and self._deaths[part] < TRIES - 1:
                self._deaths[part] += 1
                warn([f"the process of part {part} died: it is begun again"])
                await self._submit(client, part)
            else:
                how = state.message or (state.name or "").lower()
                raise WorkerFailed(f"part {part}: {how}")

    async def _untaken(
        self, client: PrefectClient, deployment: DeploymentResponse, seconds: float
    ) -> str:
        pool = str(deployment.work_pool_name)
        limit = ""
        with contextlib.suppress(httpx.HTTPError, ObjectNotFound):
            if (most := (await client.read_work_pool(pool)).concurrency_limit) is not None:
                limit = f", whose limit is {most} runs at once"
        return (
            f"no worker of the pool '{pool}'{limit} has taken one of {len(self._part_of)} parts "
            f"for {seconds:.0f} s: `prefect worker start --pool {pool}`"
        )

    async def _cancel(self, client: PrefectClient) -> None:
        for run in self._part_of:
            with contextlib.suppress(httpx.HTTPError, ObjectNotFound):
                await client.set_flow_run_state(run, Cancelling())

    async def _result(self, part: str) -> GrowResult:
        store = self._fan_out.context.object_store
        report = await store.below(REPORTS).read(f"{self._ended[part]}.json")
        if report is None:
            raise StoreError(
                f"part {part} has ended, and nothing of it is in {store}: dataset.store must be a "
                "place that all workers share"
            )
        return GrowResult.model_validate_json(report)
