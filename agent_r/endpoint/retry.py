"""Send a request until it is answered: attempts, waits, slots, and when to give up.

What goes wrong is counted by kind. `EndpointActor` says what is asked, and what an answer means.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agent_r.actor import Usage
from agent_r.endpoint.circuit_breaker import NOBODY, Breaker
from agent_r.endpoint.limiter import ConcurrencyLimiter
from agent_r.endpoint.responses import (
    MAX_SAID_CHARS,
    Doubtful,
    Server,
    Unanswered,
    Unreached,
    deepest_cause,
    never_reached,
)
from agent_r.errors import EndpointRejected, EndpointUnavailable
from agent_r.settings import OpenAIEndpoint

DOUBTS = 4  # tries until an odd reply is taken as it is
TOO_MUCH = ("HTTP 429", "HTTP 503")  # what a server says that has enough to do
BROKEN = ("HTTP 500", "HTTP 501", "HTTP 520")  # what a server says that broke at a request
FEW = 2  # tries in which it breaks, until that may be the request's own doing
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 60.0

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PendingRequest(Generic[T]):
    """One request, sent again until it is answered."""

    send: Callable[[], Awaitable[str]]
    read: Callable[[str], T]
    party: Callable[[], str]  # whose it is, to tell one tree's trouble from everybody's
    # Whether two tries that break the server itself may be this request's own doing.
    impatient: Callable[[], bool] = lambda: False


class RetryingClient:
    """Sends all requests to one server, with retries.

    Args:
        usage: requests and retries are counted there.
        rng, sleep, clock: the jitter of a wait, the wait, and the time of day in seconds.
    """

    def __init__(
        self,
        config: OpenAIEndpoint,
        server: Server,
        usage: Usage,
        *,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self.usage = usage
        self.slots = ConcurrencyLimiter.of(config.concurrency)
        self.busy_s = 0.0  # that requests were in flight, their sum
        self.faults: Counter[str] = Counter()  # tries that failed, by kind
        self._timeout_s = config.timeout_s
        self._server, self._rng, self._sleep, self._clock = server, rng, sleep, clock
        self._breaker = Breaker(server.url, patience_s=config.patience_s, sleep=sleep)

    async def answer(self, question: PendingRequest[T], *, attempts: int) -> T:
        """Send until an answer can be read; a try holds a slot, and a wait between tries none.

        While the server answers nobody, a try says nothing of this request, and does not count.
        """
        try:
            # Most are answered at once: tenacity's own work would cost a tenth of the request's.
            return await self._breaker.ask(lambda: self._try(question))
        except Unanswered as failure:
            return await self._again(failure, question, attempts=attempts)

    async def _again(self, failure: Unanswered, question: PendingRequest[T], *, attempts: int) -> T:
        """Try on after a first failure, which is the first of the attempts."""
        tried, doubts, broken, failures = 0, 0, 0, [failure]

        async def attempt() -> T:
            if failures:
                raise failures.pop()
            return await self._breaker.ask(lambda: self._try(question))

        def is_last(state: RetryCallState) -> bool:
            nonlocal tried, doubts, broken
            tried += not self._breaker.suspect
            error = state.outcome.exception() if state.outcome else None
            doubts += (doubted := isinstance(error, Doubtful))
            broken += isinstance(error, Unanswered) and error.kind in BROKEN
            hopeless = broken >= FEW and question.impatient()
            return tried >= attempts or hopeless or (doubted and doubts >= DOUBTS)

        tries = AsyncRetrying(
            retry=retry_if_exception_type(Unanswered),
            stop=is_last,
            wait=self._wait,
            sleep=self._sleep,
            before_sleep=self._note,
            reraise=True,
        )
        try:
            return await tries(attempt)
        except Doubtful:
            raise
        except Unanswered as error:
            cause, kind = self._server.line(str(error))[:MAX_SAID_CHARS], error.kind
        times = f"{attempts} tries" if attempts > 1 else "1 try"
        line = f"no answer from {self._server.url} after {times}: {cause}"
        unavailable = EndpointUnavailable(self._server.line(line))
        unavailable.kind = kind
        raise unavailable

    async def _try(self, question: PendingRequest[T]) -> T:
        async with self.slots:
            began = self._now()
            failure = await self._tried(question)
            self.busy_s += self._now() - began
        if not isinstance(failure, Exception):
            return failure
        if isinstance(failure, Unanswered):
            self._count(failure, question.party())
        else:
            self._breaker.answered()
        raise failure

    def _count(self, failure: Unanswered, party: str) -> None:
        """What failed is counted by kind; too many in a row, and the server is given up."""
        self.faults[failure.kind] += 1
        if failure.kind in TOO_MUCH:
            self.slots.refused(self._now())
        if isinstance(failure, Doubtful):
            self._breaker.answered()
            return
        cause = self._server.line(str(failure))[:MAX_SAID_CHARS]
        for_all = isinstance(failure, Unreached) or failure.kind in (*TOO_MUCH, "HTTP 502")
        self._breaker.failed(cause, NOBODY if for_all else party)

    async def _tried(self, question: PendingRequest[T]) -> T | Exception:
        """An answer, or what went wrong.

        Returned, so that the client's exception, which may quote the key, is chained to nothing.
        """
        self.usage.requests += 1
        began = self._now()
        try:
            # The client's own limit is on silence: a server that drips bytes would never meet it.
            async with asyncio.timeout(self._timeout_s):
                answer = question.read(await question.send())
        except (Unanswered, EndpointRejected) as failure:
            return failure
        except (TimeoutError, openai.APITimeoutError):
            return Unanswered("timed out")
        except openai.APIConnectionError as error:
            how = Unreached if never_reached(error) else Unanswered
            return how(deepest_cause(error), kind="connection")
        except openai.APIStatusError as error:
            return self._server.judge(error, now=self._clock())
        self._breaker.answered()
        self.slots.answered(began, self._now())
        return answer

    @staticmethod
    def _now() -> float:
        """Seconds of the loop's clock, which timeouts and sleeps go by too."""
        return asyncio.get_running_loop().time()

    def _wait(self, state: RetryCallState) -> float:
        """Exponential, on top of what the server asks; the jitter parts those who wait together."""
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, Doubtful):
            return 0.0  # the server is well: only this reply was odd
        asked = failure.after_s if isinstance(failure, Unanswered) else 0.0
        widest = FIRST_WAIT_S * 2 ** min(state.attempt_number - 1, 10)
        return min(asked + self._rng.uniform(widest / 2, widest), MAX_WAIT_S)

    def _note(self, state: RetryCallState) -> None:
        self.usage.retries += 1
        cause = state.outcome.exception() if state.outcome else None
        line = self._server.line(f"{self._server.url}: try {state.attempt_number}: {cause}")
        _log.debug("%s", line[:MAX_SAID_CHARS])
