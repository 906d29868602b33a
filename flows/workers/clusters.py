"""Run the parts of an iteration in the processes of a Dask or a Ray cluster.

A task is a part, which awaits its trees in a loop of its own: a task a tree costs some ten times
as much. The cluster is one of processes on this machine, and lasts as long as the run.
"""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner

from flows.grow import GrowResult, grow_part
from flows.run_context import RunContext
from flows.workers.fan_out import FanOut
from flows.workers.sharing import Membership


async def on_cluster(fan_out: FanOut) -> list[GrowResult]:
    """What became of each part; all processes end with this run."""
    context, workers = fan_out.context, len(fan_out.parts)
    membership = Membership(fan_out.run, workers, fan_out.began)
    # Ends a cluster of ours, and what still runs there, also where this run is cancelled.
    with runner_of(context.config.runner, workers) as runner:
        futures = [
            runner.submit(
                worker.with_options(task_run_name=f"part {part}"),
                {"context": context, "part": part, "membership": membership},
            )
            for part in fan_out.parts
        ]
        return list(await asyncio.gather(*(asyncio.to_thread(f.result) for f in futures)))


@task(name="worker", cache_policy=NO_CACHE, persist_result=False, tags=["llm"])
async def worker(context: RunContext, part: str, membership: Membership) -> GrowResult:
    """Grow one part of the trees, in a process of the cluster's."""
    return await grow_part(context, part, membership)


def runner_of(kind: str, workers: int) -> TaskRunner[Any]:
    """A task runner with that many processes, each of which works on one part at a time."""
    if kind == "dask":
        from prefect_dask import DaskTaskRunner

        local = {"n_workers": workers, "threads_per_worker": 1, "processes": True}
        runner: TaskRunner[Any] = DaskTaskRunner(cluster_kwargs=local)
        return runner
    from prefect_ray import RayTaskRunner

    runner = RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False})
    return runner
