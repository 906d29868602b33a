"""`collect --dry-run`: search a few trees, and estimate what all of them will cost."""

from __future__ import annotations

import time

from agent_r.actor import Actor
from agent_r.collection.cost_estimate import Cost, Estimate, costs, extrapolate, sample
from agent_r.endpoint.budget import prices
from agent_r.endpoint.limiter import at_once
from agent_r.endpoint.served import Served
from agent_r.settings import Config
from flows.grow import growing, ready
from flows.run_context import RunContext
from tasks.orchestration import flow


@flow(name="forecast")
async def forecast(config: Config, iteration: int, model: str, trained: int, few: int) -> list[str]:
    """Lines for a person: requests, tokens, money and time of `collect` with these settings."""
    context = RunContext.of(config, iteration, model, trained)
    tasks = context.tasks()
    async with ready(context) as (stores, actor):
        chosen, began = sample(tasks, few, seed=config.seed), time.monotonic()
        await growing(context, stores, chosen, actor, spend_all=False)
        seconds = time.monotonic() - began
        known = await costs(stores, chosen)
        forecast_lines = lines(
            config, known, len(tasks), _seconds_a_tree(actor, config, known, seconds)
        )
        if actor.usage.estimated:
            forecast_lines.append(
                "the endpoint does not count all tokens: they are estimated, and the money"
            )
        return forecast_lines


def lines(config: Config, known: list[Cost], trees: int, seconds_a_tree: float | None) -> list[str]:
    """The table; `seconds_a_tree` is None where nothing was asked."""

    def of(values: list[float]) -> Estimate:
        return extrapolate(values, trees)

    lines = [f"from {len(known)} trees, which are kept, to all {trees} (± 95 %):"]
    lines += [
        f"  requests           {of([float(cost.requests) for cost in known])}",
        f"  prompt tokens      {of([float(cost.prompt_tokens) for cost in known])}",
        f"  sampled tokens     {of([float(cost.completion_tokens) for cost in known])}",
        f"  revisions          {of([float(cost.revisions) for cost in known])}",
    ]
    prompt, completion = prices(config.endpoint)
    if prompt or completion:
        money = [
            (cost.prompt_tokens * prompt + cost.completion_tokens * completion) / 1e6
            for cost in known
        ]
        total = of(money)
        lines.append(f"  money              {total.total:,.2f} ± {total.half_width:,.2f}")
    if seconds_a_tree is not None:
        minutes = seconds_a_tree * trees / 60
        lines.append(
            f"  time               {minutes:,.1f} minutes, if the endpoint is no slower then"
        )
    else:
        lines.append("  time               unknown: these trees were there already")
    if config.budget.limits and config.budget.second_looks:
        lines.append("what a limit leaves over then goes into second looks (budget.second_looks)")
    return lines


def _seconds_a_tree(
    actor: Actor, config: Config, known: list[Cost], seconds: float
) -> float | None:
    """All slots taken, a tree takes its requests' own time, shared among them."""
    asked = actor.usage.requests
    if not asked:
        return None
    if not (isinstance(actor, Served) and actor.busy_s):  # no endpoint: one after another
        return seconds / len(known)
    a_tree = sum(cost.requests for cost in known) / len(known)
    return actor.busy_s / asked * a_tree / (0.8 * at_once(config.endpoint.concurrency))
