"""The client of any OpenAI-compatible server: patient, bounded, and clear about what went wrong."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.errors import EndpointRejected, EndpointUnavailable
from agent_r.services.breaker import NOBODY, Breaker
from agent_r.services.replies import (
    FEWER,
    MAX_SAID_CHARS,
    NO_KEY,
    Doubtful,
    Refused,
    Reply,
    Server,
    Unanswered,
    Unreached,
    deepest_cause,
    never_reached,
    read_names,
    read_reply,
)
from agent_r.services.requests import body_of, client_of, seed_of, wire_of, without
from agent_r.services.slots import Slots
from agent_r.settings import OpenAIEndpoint
from agent_r.together import each

DOUBTS = 4  # tries until an odd reply is taken as it is
STUBBORN = 3  # requests in a row that stay odd in the same way: then it is the model's way
TOO_MUCH = ("HTTP 429", "HTTP 503")  # what a server says that has enough to do
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 60.0

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """Something that a server is asked, as often as it takes."""

    send: Callable[[], Awaitable[str]]
    read: Callable[[str], T]
    party: Callable[[], str]  # whose it is, to tell one tree's trouble from everybody's


class EndpointActor:
    """An `Actor` behind an OpenAI-compatible server; its requests outlive passing trouble.

    Args:
        api_key: sent to the server, and scrubbed from every message.
        rng, sleep, clock: the jitter of a wait, the wait, and the time of day in seconds.

    Raises:
        ConfigError: `base_url` is no URL, or the key cannot be sent in a header.
    """

    def __init__(
        self,
        config: OpenAIEndpoint,
        *,
        api_key: str,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.usage = Usage()
        self.slots = Slots.of(config.concurrency)
        self.busy_s = 0.0  # that requests were in flight, their sum
        self.faults: Counter[str] = Counter()  # tries that failed, by kind
        self._config = config
        self._rng, self._sleep, self._clock = rng or random.Random(), sleep, clock
        self._refused: set[str] = set()  # settings that the model turned out not to take
        self._usual: set[str] = set()  # oddities of its replies that turned out to be its way
        self._odd: Counter[str] = Counter()  # requests that stayed odd, since the last healthy one
        self._server = Server.of(config, api_key.strip() or NO_KEY)
        self._breaker = Breaker(self._server.url, patience_s=config.patience_s, sleep=sleep)
        self._client = client_of(config, self._server)
        self._wire = wire_of(config, self._server)

    def __repr__(self) -> str:
        return self._server.line(f"EndpointActor({self.name!r} at {self._server.url})")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the actor answers no more."""
        await self._client.close()
        await self._wire.aclose()

    @property
    def name(self) -> str:
        """What datasets call the model."""
        return self._config.alias or self._config.model

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        """Sample exactly `n` replies; see `Actor.complete` for what is raised.

        A server that draws one reply a request is asked `n` times at once, with seeds
        `params.seed`, `params.seed + 1`, …: with one seed the replies would be one reply.
        """
        if n < 1:
            raise ValueError(f"n is {n}: at least one reply must be asked for")
        body = body_of(self._config.model, messages, params)
        replies = await self._draw(body, n)
        if len(replies) < min(n, 2) and self._odd[FEWER] >= STUBBORN:
            self._refused.add("n")
        singles = [{**body, **seed_of(params, k)} for k in range(len(replies), n)]
        drawn = await each(singles, lambda one: self._draw(one, 1), limit=asyncio.Semaphore(n))
        return replies + [reply for single in drawn for reply in single]

    async def check(self) -> None:
        """Find out, before a run begins, whether the model answers; a good run calls this once.

        Raises:
            EndpointRejected: the key is refused, or no model of that name is served.
            EndpointUnavailable: nothing answers there.
        """
        served: list[str] = []
        try:
            served = await self._served(attempts=self._config.attempts)
        except EndpointRejected as error:
            if error.status == 401:
                raise
        except EndpointUnavailable:
            if not any(kind.startswith("HTTP") for kind in self.faults):
                raise  # nobody is there; a server that fails at this alone may do the rest
        # The list is optional, some keys may not read it, and many leave aliases out.
        if not self._is_among(served):
            ask = [Message("user", "Hi")]
            await self.complete(ask, n=1, params=SamplingParams(max_tokens=1))

    async def _draw(self, body: dict[str, Any], n: int) -> list[Completion]:
        """At most `n` replies by one request; none where the server draws one a request.

        A setting that the model does not take is left out from then on.
        """
        while n == 1 or "n" not in self._refused:
            wanted = without(self._refused, body)
            if n > 1:  # some servers do not know `n` at all
                wanted["n"] = n
            try:
                return await self._drawn(wanted, n)
            except Refused as error:
                setting = error.setting(wanted)
                if error.spent_thinking:
                    return [Completion("", "length")] * n
                if not setting:
                    raise (await self._explained(error)) from None
            if setting not in self._refused | {"n"}:
                _log.warning("%s does not take `%s`: it is not sent again", self, setting)
            self._refused.add(setting)
        return []

    async def _drawn(self, body: dict[str, Any], n: int) -> list[Completion]:
        reply = await self._reply(body, n)
        first, *others = [choice.completion() for choice in reply.choices[:n]]
        spent = replace(
            first, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens
        )
        return [spent, *others]

    async def _reply(self, body: dict[str, Any], n: int) -> Reply:
        """A reply without doubt; one that stays doubtful in all tries is taken as it is.

        Of several requests in a row it is the model's way, and no other is asked again for it.
        """
        try:
            question = Question(
                lambda: self._wire.post(body),
                lambda text: self._paid(text, n),
                lambda: repr(body["messages"][:2]),  # an episode's opening: one tree's
            )
            reply = await self._answer(question, attempts=self._config.attempts)
        except Doubtful as doubt:
            self._odd[doubt.kind] += 1
            # For fewer replies the server is asked otherwise.
            if doubt.kind != FEWER and self._odd[doubt.kind] >= STUBBORN:
                self._usual.add(doubt.kind)
                _log.warning("%s: %s, again and again: taken as it is", self, doubt)
            return doubt.reply
        for kind in [kind for kind in self._odd if n > 1 or kind != FEWER]:
            del self._odd[kind]  # one of one says nothing of several
        return reply

    def _paid(self, text: str, n: int) -> Reply:
        """Read a reply, and count its tokens: also one that will be asked for again was paid."""
        try:
            reply = read_reply(text, n=n, usual=self._usual)
        except Doubtful as doubt:
            self._pay(doubt.reply)
            raise
        self._pay(reply)
        return reply

    def _pay(self, reply: Reply) -> None:
        self.usage.prompt_tokens += reply.prompt_tokens
        self.usage.cached_tokens += reply.cached_tokens
        self.usage.completion_tokens += reply.completion_tokens

    async def _served(self, *, attempts: int) -> list[str]:
        question = Question(
            lambda: self._client.get("/models", cast_to=str), read_names, lambda: "the list"
        )
        return await self._answer(question, attempts=attempts)

    def _is_among(self, served: Sequence[str]) -> bool:
        """Ollama and Gemini list longer names than they are called by."""
        model = self._config.model
        return not {model, f"{model}:latest", f"models/{model}"}.isdisjoint(served)

    async def _explained(self, error: Refused) -> EndpointRejected:
        """A 404, or a router's 400, is mostly a name misspelt: then say which names there are."""
        if error.status not in (400, 404):
            return error
        try:
            served = await self._served(attempts=1)
        except (EndpointRejected, EndpointUnavailable):
            return error
        if not served or self._is_among(served):
            return error
        line = str(error)
        if error.status == 404:
            line = f"{self._server.url} does not serve the model '{self._config.model}'"
        more = f" and {len(served) - 5} more" if len(served) > 5 else ""
        line = self._server.line(f"{line}; it serves {', '.join(served[:5])}{more}")
        return EndpointRejected(line, status=error.status)

    async def _answer(self, question: Question[T], *, attempts: int) -> T:
        """Send until an answer can be read; a try holds a slot, and a wait between tries none.

        While the server answers nobody, a try says nothing of this request, and does not count.
        """
        try:
            # Most are answered at once: tenacity's own work would cost a tenth of the request's.
            return await self._breaker.ask(lambda: self._try(question))
        except Unanswered as failure:
            return await self._again(failure, question, attempts=attempts)

    async def _again(self, failure: Unanswered, question: Question[T], *, attempts: int) -> T:
        """Try on after a first failure, which is the first of the attempts."""
        tried, doubts, failures = 0, 0, [failure]

        async def attempt() -> T:
            if failures:
                raise failures.pop()
            return await self._breaker.ask(lambda: self._try(question))

        def is_last(state: RetryCallState) -> bool:
            nonlocal tried, doubts
            tried += not self._breaker.suspect
            doubted = state.outcome and isinstance(state.outcome.exception(), Doubtful)
            doubts += bool(doubted)
            return tried >= attempts or (bool(doubted) and doubts >= DOUBTS)

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
            cause = self._server.line(str(error))[:MAX_SAID_CHARS]
        times = f"{attempts} tries" if attempts > 1 else "1 try"
        line = f"no answer from {self._server.url} after {times}: {cause}"
        raise EndpointUnavailable(self._server.line(line))

    async def _try(self, question: Question[T]) -> T:
        async with self.slots:
            began = time.monotonic()
            failure = await self._tried(question)
            self.busy_s += time.monotonic() - began
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
            self.slots.refused(time.monotonic())
        if isinstance(failure, Doubtful):
            self._breaker.answered()
            return
        cause = self._server.line(str(failure))[:MAX_SAID_CHARS]
        for_all = isinstance(failure, Unreached) or failure.kind in (*TOO_MUCH, "HTTP 502")
        self._breaker.failed(cause, NOBODY if for_all else party)

    async def _tried(self, question: Question[T]) -> T | Exception:
        """An answer, or what went wrong.

        Returned, so that the client's exception, which may quote the key, is chained to nothing.
        """
        self.usage.requests += 1
        try:
            # The client's own limit is on silence: a server that drips bytes would never meet it.
            async with asyncio.timeout(self._config.timeout_s):
                answer = question.read(await question.send())
        except Unanswered as failure:
            return failure
        except (TimeoutError, openai.APITimeoutError):
            return Unanswered("timed out")
        except openai.APIConnectionError as error:
            how = Unreached if never_reached(error) else Unanswered
            return how(deepest_cause(error), kind="connection")
        except openai.APIStatusError as error:
            return self._server.judge(error, now=self._clock())
        self._breaker.answered()
        self.slots.answered(time.monotonic())
        return answer

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
