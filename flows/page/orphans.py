"""Close what a killed run has left open: its own task runs, and the runs that ran within it.

Prefect marks the run itself; what was in its process stays Running for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas import filters as by
from prefect.client.schemas.objects import FlowRun, State, StateType, TaskRun
from prefect.states import Crashed

OURS = ["collect", "grow", "publish", "train", "fine-tune", "measure", "self-train"]
LATE_S = 5.0  # until the server has all that a process has said before it was killed
LONG_AGO_S = 60.0
_MESSAGE = "It ended with the run that it was part of."
_OPEN = [StateType.RUNNING, StateType.PENDING]
_ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
_OPEN_TASK = by.TaskRunFilterState(type=by.TaskRunFilterStateType(any_=_OPEN))


async def close_what_it_left(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of a run that has crashed: the worker calls it, for the run itself is gone."""
    await asyncio.sleep(LATE_S)
    async with get_client() as client:
        await close_within(client, [flow_run.id], before=state.timestamp)


async def close_what_others_left(client: PrefectClient, run: FlowRun) -> None:
    """At the start of a run: what an earlier try of it left, and what dead machines did."""
    now = datetime.now(UTC)
    began = run.state.timestamp if run.state is not None else now
    await close_within(client, [run.id], before=began)
    long_ago = now - timedelta(seconds=LONG_AGO_S)
    ended = by.FlowRunFilter(
        state=by.FlowRunFilterState(type=by.FlowRunFilterStateType(any_=_ENDED)),
        end_time=by.FlowRunFilterEndTime(before_=long_ago),
    )
    left = await client.read_task_runs(
        flow_filter=by.FlowFilter(name=by.FlowFilterName(any_=OURS)),
        flow_run_filter=ended,
        task_run_filter=by.TaskRunFilter(state=_OPEN_TASK),
    )
    await _close_tasks(client, left)
    if left:
        parents = by.FlowRunFilterParentTaskRunId(any_=[task.id for task in left])
        within = await client.read_flow_runs(
            flow_run_filter=by.FlowRunFilter(parent_task_run_id=parents)
        )
        await _close_runs(client, within, before=now)


async def close_within(client: PrefectClient, runs: Sequence[UUID], *, before: datetime) -> None:
    """Close what these runs have begun before that time, at any depth, and not ended."""
    left = await client.read_task_runs(
        flow_run_filter=by.FlowRunFilter(id=by.FlowRunFilterId(any_=list(runs))),
        task_run_filter=by.TaskRunFilter(
            state=_OPEN_TASK, start_time=by.TaskRunFilterStartTime(before_=before)
        ),
    )
    await _close_tasks(client, left)
    parents = by.FlowRunFilterParentFlowRunId(any_=list(runs))
    begun = by.FlowRunFilterStartTime(before_=before)
    within = await client.read_flow_runs(
        flow_run_filter=by.FlowRunFilter(parent_flow_run_id=parents, start_time=begun)
    )
    await _close_runs(client, within, before=before)


async def _close_tasks(client: PrefectClient, tasks: Sequence[TaskRun]) -> None:
    for task in tasks:
        await client.set_task_run_state(task.id, Crashed(message=_MESSAGE), force=True)


async def _close_runs(client: PrefectClient, runs: Sequence[FlowRun], *, before: datetime) -> None:
    """Those of the same process; a deployment's has one of its own, and may live."""
    inside = [run for run in runs if run.deployment_id is None]
    for run in inside:
        if run.state_type in _OPEN:
            await client.set_flow_run_state(run.id, Crashed(message=_MESSAGE), force=True)
    if inside:
        await close_within(client, [run.id for run in inside], before=before)
