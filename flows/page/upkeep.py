"""Keep the artifacts of a run that is under way: two requests every now and then."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import httpx
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.events import emit_event
from prefect.exceptions import PrefectException, PrefectSignal
from prefect.settings import PREFECT_API_URL

from flows.page.one_artifact import key, leave
from flows.page.orphans import close_what_others_left
from flows.page.run_log import log_to_page
from flows.page.run_page import DONE, STOPPED, RunPage, Stage, opened
from flows.page.this_run import client_of_run, run_id, this_run

FIRST_S, EVERY_S = 3.0, 20.0  # a person waits for the first; each write costs the server 8 ms
PATIENCE_S = 10.0  # with a server that is away
LEFT = "agent_r.run.left"  # a cancelled or suspended run's process ends: no heartbeat is to come
_log = logging.getLogger("agent_r.flows")


@asynccontextmanager
async def on_its_page() -> AsyncIterator[Stage]:
    """Within, a run shows what it does: in its log, and in artifacts of the outermost one."""
    if (run := run_id()) is None:
        yield Stage()
        return
    log_to_page()
    with opened(run) as (page, stage):
        if page.run != run or not PREFECT_API_URL.value():  # a temporary server's: nobody looks
            yield stage
            return
        artifacts, left = _Live(page), False
        upkeep = asyncio.create_task(artifacts.keep())
        try:
            yield stage
        except (asyncio.CancelledError, PrefectSignal):
            stage.end, left = STOPPED, True
            raise
        except Exception:
            stage.fail("a mistake of ours: the log has its traceback")
            raise
        finally:
            if not _cancelled():
                stage.end = stage.end or DONE
                await artifacts.write()
            upkeep.cancel()
            await asyncio.gather(upkeep, return_exceptions=True)
            if left:  # at the very last: until the run ends, Prefect sends its heartbeats
                emit_event(LEFT, resource={"prefect.resource.id": f"prefect.flow-run.{run}"})


class _Live:
    """The two artifacts; each is one entry that changes, so that the database does not grow."""

    def __init__(self, page: RunPage) -> None:
        self._page = page
        self._ids: dict[str, UUID] = {}
        self._turn = asyncio.Lock()  # two at once would leave each artifact twice

    async def keep(self) -> None:
        client, run, wait = client_of_run(), this_run(), FIRST_S
        if client is not None and run is not None:
            with suppress(httpx.HTTPError, PrefectException):
                await close_what_others_left(client, run)
        while True:
            await asyncio.sleep(wait)
            await self.write()
            wait = EVERY_S

    async def write(self) -> None:
        page = self._page
        if not page.dataset or not page.shown:
            return
        try:
            async with asyncio.timeout(PATIENCE_S), self._turn:
                await self._put("progress", "markdown", page.progress(), page.newest)
                rows, of = page.rows()
                if rows:
                    await self._put("account", "table", json.dumps(rows), of)
        # A page that is not kept up is no reason to end a run.
        except (TimeoutError, httpx.HTTPError, PrefectException) as error:
            _log.debug("the run's page: %s", error)

    async def _put(self, kind: str, form: str, data: str, description: str) -> None:
        client, known = client_of_run(), self._ids.get(kind)
        if known is not None and client is not None:
            await client.update_artifact(known, ArtifactUpdate(data=data, description=description))
            return
        new = await leave(key(kind, self._page.dataset), form, data, description)
        if new is not None:
            self._ids[kind] = new


def _cancelled() -> bool:
    """Whether whoever ends the run waits for it: there is no time for a last word."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
