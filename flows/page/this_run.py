"""The flow run that is under way where this is called, and its client."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext, TaskRunContext

from tasks.orchestration import plain_run


def this_run() -> FlowRun | None:
    """The flow run; None outside of any."""
    context = FlowRunContext.get()
    return context.flow_run if context is not None else None


def run_id() -> UUID | None:
    """Of the flow run, also within a task of it; it stays the same when the run is retried."""
    if (task := TaskRunContext.get()) is not None:
        return task.task_run.flow_run_id
    if (plain := plain_run()) is not None:
        return plain.id
    run = this_run()
    return run.id if run is not None else None


def this_flow() -> Flow[..., Any] | None:
    """The flow whose call this is; None outside of any."""
    if (plain := plain_run()) is not None:
        return plain.flow
    context = FlowRunContext.get()
    return context.flow if context is not None else None


def client_of_run() -> PrefectClient | None:
    """The client of the run that calls, open as long as it runs; None outside of any."""
    context = FlowRunContext.get()
    client = context.client if context is not None else None
    return client if isinstance(client, PrefectClient) else None
