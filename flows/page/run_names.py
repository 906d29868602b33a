"""Name a run and its tasks for the page that lists them; a name that a person gave stays."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from coolname.data import config as coolnames

from agent_r.errors import AgentRError
from flows.page.run_page import current_page, current_stage
from flows.page.this_run import client_of_run, this_run
from flows.run_context import RunContext

# With an animal after it, what the form of Prefect's newer UI fills in: `randProductAdjective` of
# @ngneat/falso (https://github.com/ngneat/falso), as it stands in Prefect 3.8.8's files.
_ADJECTIVES = frozenset(
    "Awesome Rustic Small Gorgeous Fantastic Sleek Intelligent Unbranded Refined Licensed Generic "
    "Practical Ergonomic Handcrafted Tasty Handmade Incredible".split()
)


async def name_run(stage: str, context: RunContext, *particulars: str) -> None:
    """Call the run that this is by its stage, dataset, particulars and actor.

    One request, as a `flow_run_name` would be, which knows neither the actor nor who gave a name.
    """
    dataset = context.config.dataset.name
    if (page := current_page()) is not None:
        page.dataset = page.dataset or dataset
    called = [f"{stage} {dataset}", *particulars, _actor(context)]
    await rename(", ".join(filter(None, called)))


async def rename(name: str) -> None:
    """Name the run that this is, where nobody chose its name."""
    run, client = this_run(), client_of_run()
    if run is not None and client is not None and by_chance(run.name):
        await client.set_flow_run_name(run.id, name)
        run.name = name
    page = current_page()
    within = run is not None and page is not None and page.run != run.id
    current_stage().name = run.name if run is not None and within else name


def by_chance(name: str) -> bool:
    """Whether Prefect has drawn a name: two words of its generator's, or of its form's.

    >>> by_chance("hopeful-goat"), by_chance("nightly-run"), by_chance("hopeful-goat-2")
    (True, False, False)
    >>> by_chance("Refined-Drever"), by_chance("Nightly-Run")
    (True, False)
    """
    words = name.split("-", 1)
    if len(words) == 2 and words[0] in _ADJECTIVES and words[1][:1].isupper():
        return True
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
