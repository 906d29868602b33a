"""Track what a run has spent and may still spend, in tokens, money and minutes.

Whole trees are what a budget buys: a tree is begun only where what the others have cost says that
it can be ended, and no request is made past the limit. Replies of a tree that was stopped are in
its journal: the next run goes on from them. Where several processes share a budget, each asks for
a hundredth of it whenever it needs more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from agent_r.actor import Actor, ActorAround, Completion, Message, SamplingParams, Usage
from agent_r.errors import BudgetSpent
from agent_r.settings import BudgetConfig, Endpoint, OpenAIEndpoint

FIRST_TREES = 4  # begun at once while no tree has shown what one costs
WAITS = "no tree has been ended yet"
GRANTS = 100  # equal parts of a budget that several processes share


class Budget:
    """One run's account; asyncio-safe, not thread-safe.

    Args:
        usage: what the actor counts as it goes.
        grant: takes one of the `GRANTS` parts of a budget that processes share; False where none
            is left. None: all of it is this run's.
        clock: seconds; the run begins now.
    """

    def __init__(
        self,
        limits: BudgetConfig,
        endpoint: Endpoint,
        usage: Usage,
        *,
        grant: Callable[[], Awaitable[bool]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits, self._clock = limits, clock
        self._prices = prices(endpoint)
        self._usage, self._began = usage, clock()
        self._before = (usage.prompt_tokens, usage.completion_tokens)
        self._requests = self._in_flight = 0
        self._trees = 0  # in flight
        self._ended: list[float] = [0, 0, 0, 0.0]  # how many; their tokens of two kinds, seconds
        self._change = asyncio.Event()
        self._grant, self._granted = grant, 0 if grant else GRANTS
        self._granting = asyncio.Lock()

    @property
    def tokens(self) -> tuple[int, int]:
        """Prompt and completion tokens that this run has spent."""
        prompt, completion = self._before
        return self._usage.prompt_tokens - prompt, self._usage.completion_tokens - completion

    @property
    def money(self) -> float | None:
        """What this run has spent; None where the endpoint has no prices."""
        return self._money(*self.tokens) if any(self._prices) else None

    async def ask(self) -> None:
        """Count one more request.

        Raises:
            BudgetSpent: it, or those in flight, would go past the limit.
        """
        while over := self._over_with_one_request():
            if not await self._more(over):
                raise BudgetSpent(over)
        self._requests += 1
        self._in_flight += 1

    def _over_with_one_request(self) -> str:
        ahead = (self._in_flight + 1) / max(self._requests - self._in_flight, 1)
        prompt, completion = (spent * (1 + ahead) for spent in self.tokens)
        return self._over(prompt, completion, self._clock())

    async def _more(self, over: str) -> bool:
        """Whether more of a shared budget has come, where it was over this limit."""
        if self._grant is None or over in (self.minutes, WAITS):
            return False
        before = self._granted
        async with self._granting:  # others may have asked meanwhile
            if self._granted == before and self._grant is not None:
                if await self._grant():
                    self._granted += 1
                else:
                    self._grant = None
        return self._granted > before

    @property
    def left_s(self) -> float | None:
        """Seconds until the budget's minutes are over; None where it has no such limit."""
        if not self._limits.minutes:
            return None
        return max(60 * self._limits.minutes - (self._clock() - self._began), 0.0)

    def answered(self) -> None:
        """A request has ended, well or not; the actor has counted its tokens."""
        self._in_flight -= 1

    async def room(self) -> str:
        """Wait until one more tree can be begun and ended; why not, where it cannot."""
        while True:
            self._change.clear()
            over = self._over_with_one_more()
            if not over:
                self._trees += 1
                return ""
            if await self._more(over) or self._change.is_set():
                continue
            if self._trees == 0:
                return over
            await self._change.wait()

    def ended(self, tokens: tuple[int, int] | None, seconds: float) -> None:
        """A tree is no longer in flight; `tokens` are what it took, None where it was stopped."""
        self._trees -= 1
        if tokens is not None:
            more = (1, *tokens, seconds)
            self._ended = [total + one for total, one in zip(self._ended, more, strict=True)]
        self._change.set()

    def _over_with_one_more(self) -> str:
        if not self._limits.limits:
            return ""
        count, *totals = self._ended
        if not count:
            return WAITS if self._trees >= FIRST_TREES else self._over(*self.tokens, self._clock())
        mean = [total / count for total in totals]
        prompt, completion = (
            spent + max(self._trees * each - max(spent - ended, 0), 0) + each
            for spent, ended, each in zip(self.tokens, totals, mean, strict=False)
        )
        return self._over(prompt, completion, self._clock() + mean[2])

    def _over(self, prompt: float, completion: float, when: float) -> str:
        """Which limit that would be past, in words; "" where it is none."""
        limits, minutes = self._limits, (when - self._began) / 60
        spent, ours = prompt + completion, self._granted / GRANTS
        if limits.tokens and (spent > limits.tokens * ours or not ours):
            return f"budget.tokens = {limits.tokens:,}"
        if limits.money and (self._money(prompt, completion) > limits.money * ours or not ours):
            return f"budget.money = {limits.money:g}"
        if limits.minutes and minutes > limits.minutes:
            return self.minutes
        return ""

    @property
    def minutes(self) -> str:
        """The limit in time, in words."""
        return f"budget.minutes = {self._limits.minutes:g}"

    def _money(self, prompt: float, completion: float) -> float:
        return (prompt * self._prices[0] + completion * self._prices[1]) / 1e6


class Budgeted(ActorAround):
    """An actor that is asked only as long as the budget lasts."""

    def __init__(self, actor: Actor, budget: Budget) -> None:
        super().__init__(actor)
        self._budget = budget

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        await self._budget.ask()
        limit = asyncio.timeout(self._budget.left_s)  # an endpoint may hang, or be tried again
        try:
            async with limit:
                return await self.actor.complete(messages, n=n, params=params)
        except TimeoutError:
            if not limit.expired():
                raise
            raise BudgetSpent(self._budget.minutes) from None
        finally:
            self._budget.answered()


def prices(endpoint: Endpoint) -> tuple[float, float]:
    """Money for a million prompt tokens, and for a million sampled ones; 0 where it has none."""
    if not isinstance(endpoint, OpenAIEndpoint):
        return 0.0, 0.0
    return endpoint.prompt_price, endpoint.completion_price
