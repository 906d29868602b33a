"""Name a run and its tasks for the page that lists them; a name that a person gave stays."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from coolname.data import config as coolnames
from prefect.client.orchestration import PrefectClient
from prefect.context import FlowRunContext

from agent_r.errors import AgentRError
from flows.run_context import RunContext


async def name_run(stage: str, context: RunContext, *particulars: str) -> str:
    """Call the run that this is by its stage, dataset, particulars and actor.

    One request, as a `flow_run_name` would be, which knows neither the actor nor who gave a name.

    Returns: what its log calls it, whatever name a person gave it.
    """
    called = [f"{stage} {context.config.dataset.name}", *particulars, _actor(context)]
    name = ", ".join(filter(None, called))
    await rename(name)
    return name


async def rename(name: str) -> None:
    """Give the run that this is a name, where it has one that nobody chose."""
    run = FlowRunContext.get()
    if run is None or run.flow_run is None or not isinstance(run.client, PrefectClient):
        return
    if by_chance(run.flow_run.name):
        await run.client.set_flow_run_name(run.flow_run.id, name)
        run.flow_run.name = name


def by_chance(name: str) -> bool:
    """Whether Prefect has drawn a name: two words of its generator's.

    >>> by_chance("hopeful-goat"), by_chance("nightly-run"), by_chance("hopeful-goat-2")
    (True, False, False)
    """
    words = name.split("-")
    return len(words) == 2 and _drawn_from().issuperset(words)


@cache
def _drawn_from() -> frozenset[str]:
    lists = cast(dict[str, dict[str, Any]], coolnames).values()
    return frozenset(word for each in lists for word in each.get("words", ()))


def _actor(context: RunContext) -> str:
    try:
        return context.actor_name
    except AgentRError:  # the run is about to find out
        return ""
