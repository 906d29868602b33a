"""One budget over several processes: each takes hundredths of it, and none is spent twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent_r.actor import Completion, Message
from agent_r.endpoint.budget import GRANTS, Budget, Budgeted
from agent_r.errors import BudgetSpent
from agent_r.settings import BudgetConfig, OpenAIEndpoint
from agent_r.testing import ScriptedActor
from tests.support.faulty_endpoint import HELLO, PARAMS

ENDPOINT = OpenAIEndpoint(
    base_url="http://localhost/v1", model="m", prompt_price=1.0, completion_price=1.0
)
COST = 100  # tokens of a request
AT_ONCE = 4


class Paid(ScriptedActor):
    """Takes its time, and so many tokens a request."""

    def __init__(self, seed: int) -> None:
        super().__init__(lambda messages, k: "")
        self.rng = random.Random(seed)

    async def complete(self, messages: Any, *, n: int, params: Any) -> list[Completion]:
        await asyncio.sleep(self.rng.uniform(0.0, 0.002))
        self.usage.requests += 1
        self.usage.prompt_tokens += COST
        return [Completion("")]


def granting(most: int = GRANTS) -> Callable[[], Awaitable[bool]]:
    """The parts of one budget, given out as a server far away does."""
    left = most

    async def grant() -> bool:
        nonlocal left
        await asyncio.sleep(0.001)
        left -= 1
        return left >= 0

    return grant


async def spend(actor: Budgeted, requests: int) -> None:
    """Ask on until the budget is spent, or that often; so many ask at once."""

    async def one() -> None:
        nonlocal requests
        while requests > 0:
            requests -= 1
            await actor.complete([Message("user", "Hi")], n=1, params=PARAMS)

    await asyncio.gather(*(one() for _ in range(AT_ONCE)), return_exceptions=True)


@pytest.mark.parametrize("limits", [{"tokens": 50_000}, {"money": 0.05}], ids=["tokens", "money"])
async def test_processes_spend_one_budget_together_and_no_more(limits: dict[str, Any]) -> None:
    grant, actors = granting(), [Paid(seed) for seed in range(3)]
    shared = [
        Budgeted(a, Budget(BudgetConfig(**limits), ENDPOINT, a.usage, grant=grant)) for a in actors
    ]
    # One has little to do: what it leaves over is the others'.
    await asyncio.gather(spend(shared[0], 20), spend(shared[1], 999), spend(shared[2], 999))
    total = sum(actor.usage.prompt_tokens for actor in actors)
    assert 50_000 * 0.9 < total <= 50_000 + 3 * AT_ONCE * COST
    assert actors[0].usage.prompt_tokens <= 21 * COST


async def test_where_nothing_is_left_not_one_request_is_made() -> None:
    actor = Paid(0)
    budget = Budget(BudgetConfig(tokens=50_000), ENDPOINT, actor.usage, grant=granting(0))
    with pytest.raises(BudgetSpent, match=r"budget\.tokens = 50,000"):
        await Budgeted(actor, budget).complete(HELLO, n=1, params=PARAMS)
    assert actor.usage.requests == 0
    assert await budget.room() == "budget.tokens = 50,000"


async def test_a_killed_process_has_spent_what_it_had_taken() -> None:
    """Its parts are not given out again: what it spent of them, nobody can tell."""
    grant, spent = granting(), 0
    for seed in range(4):  # each is killed once it has made some requests; the next goes on
        actor = Paid(seed)
        limits = BudgetConfig(tokens=20_000)
        await spend(Budgeted(actor, Budget(limits, ENDPOINT, actor.usage, grant=grant)), 60)
        spent += actor.usage.prompt_tokens
    assert 20_000 * 0.9 < spent <= 20_000 + AT_ONCE * COST
