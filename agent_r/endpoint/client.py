"""Ask any OpenAI-compatible server for replies: bounded, with retries and clear errors."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.concurrency import gather_bounded
from agent_r.endpoint.access import Access
from agent_r.endpoint.limiter import ConcurrencyLimiter
from agent_r.endpoint.oddities import Oddities
from agent_r.endpoint.payload import client_of, reseeded, wire_of
from agent_r.endpoint.refusals.acceptance import Acceptance, Body
from agent_r.endpoint.refusals.model_list import is_among, misnamed
from agent_r.endpoint.refusals.request_refused import RequestRefused
from agent_r.endpoint.responses import (
    NO_KEY,
    Doubtful,
    Reply,
    Server,
    read_names,
    read_reply,
)
from agent_r.endpoint.retry import PendingRequest, RetryingClient
from agent_r.endpoint.transport import Sent
from agent_r.errors import ConversationRefused, EndpointRejected, EndpointUnavailable
from agent_r.settings import OpenAIEndpoint

# Refusals that may be one conversation's matter, or that of the settings it is sent with.
OF_ONE = (400, 403, 404, 413, 415, 422, 451, 501)
HARMLESS = [{"role": "user", "content": "Hi"}]


class EndpointActor:
    """An `Actor` behind an OpenAI-compatible server; its requests are retried.

    Args:
        api_key: sent to the server, and scrubbed from every message.
        held: likewise, what the settings' headers name: by `NAME` and `block:NAME`.
        rng, sleep, clock: the jitter of a wait, the wait, and the time of day in seconds.

    Raises:
        ConfigError: `base_url` is no URL, or the key cannot be sent in a header.
    """

    def __init__(
        self,
        config: OpenAIEndpoint,
        *,
        api_key: str,
        held: Mapping[str, str] | None = None,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.usage = Usage()
        self._config = config
        self._server = Server.of(config, api_key.strip() or NO_KEY, held or {})
        self._asking = RetryingClient(
            config, self._server, self.usage, rng=rng or random.Random(), sleep=sleep, clock=clock
        )
        self._acceptance = Acceptance(config, repr(self))
        self._oddities = Oddities(repr(self))
        access = Access.of(config, self._server, held or {})
        self._client = client_of(config, self._server, access)
        self._wire = wire_of(config, access)

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
        """The model's name in datasets."""
        return self._config.alias or self._config.model

    @property
    def slots(self) -> ConcurrencyLimiter:
        return self._asking.slots

    @property
    def busy_s(self) -> float:
        """Seconds that requests were in flight, their sum."""
        return self._asking.busy_s

    @property
    def refused(self) -> list[str]:
        """Settings that the model turned out not to take: they are not sent again."""
        return sorted(self._acceptance.refused)

    @property
    def found(self) -> list[str]:
        """What was found out of the server, in words that its name begins."""
        return self._acceptance.found

    @property
    def sent(self) -> Sent | None:
        """The last request for a completion as it went out, but for its key and headers."""
        return self._wire.sent

    @property
    def faults(self) -> Counter[str]:
        """Tries that failed, by kind."""
        return self._asking.faults

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        """Sample exactly `n` replies; see `Actor.complete` for what is raised.

        A server that draws one reply a request is asked `n` times at once, with seeds
        `params.seed`, `params.seed + 1`, …: with one seed the replies would be one reply.
        """
        if n < 1:
            raise ValueError(f"n is {n}: at least one reply must be asked for")
        replies = await self._draw(messages, params, n)
        if len(replies) < min(n, 2) and self._oddities.gives_fewer:
            self._acceptance.refused.add("n")
        drawn = await gather_bounded(
            [reseeded(params, k) for k in range(len(replies), n)],
            lambda one: self._draw(messages, one, 1),
            limit=asyncio.Semaphore(n),
        )
        return replies + [reply for single in drawn for reply in single]

    async def once(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        """All replies to one request, odd ones too, fewer or more than `n`: to try a server out.

        Nothing comes back where the server does not take `n`; `complete` says what is raised.
        """
        return await self._draw(messages, params, n, as_it_is=True)

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
        if not is_among(self._config.model, served):
            ask = [Message("user", "Hi")]
            await self.complete(ask, n=1, params=SamplingParams(max_tokens=1))

    async def _draw(
        self, messages: Sequence[Message], params: SamplingParams, n: int, *, as_it_is: bool = False
    ) -> list[Completion]:
        """At most `n` replies by one request; none where the server draws one a request.

        A setting that the model does not take is left out from then on.
        """

        def shaped() -> Body:
            return self._acceptance.body(messages, params, n)

        suspected: list[str] = []
        while n == 1 or self._acceptance.several:
            asked = shaped()
            try:
                replies = await (self._taken(asked) if as_it_is else self._drawn(asked, n))
            except RequestRefused as error:
                if error.spent_thinking:
                    return [Completion("", "length")] * n
                if shaped() != asked:
                    continue  # another request has found it out
                if named := self._acceptance.suspect(error, asked):
                    suspected.append(named)
                elif refused := await self._understood(error, asked, shaped):
                    self._acceptance.restore(suspected)
                    raise refused from None
            else:
                self._acceptance.took(asked, suspected)
                return replies
        return []

    async def _drawn(self, body: dict[str, Any], n: int) -> list[Completion]:
        return self._completions(await self._reply(body, n), n)

    async def _taken(self, body: dict[str, Any]) -> list[Completion]:
        def read(text: str) -> Reply:
            try:
                return self._paid(text, 1)
            except Doubtful as doubt:
                return doubt.reply

        question = PendingRequest(lambda: self._wire.post(body), read, lambda: "a trial")
        reply = await self._asking.answer(question, attempts=self._config.attempts)
        return self._completions(reply, len(reply.choices))

    def _completions(self, reply: Reply, n: int) -> list[Completion]:
        """The first `n` choices; the first tells the tokens of them all."""
        tags = self._config.reasoning_tags
        first, *others = [choice.completion(tags) for choice in reply.choices[:n]]
        spent = replace(
            first, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens
        )
        return [spent, *others]

    async def _reply(self, body: dict[str, Any], n: int) -> Reply:
        """A healthy reply; one that stays doubtful in all tries is taken as it is."""
        try:
            question = PendingRequest(
                lambda: self._wire.post(body),
                lambda text: self._paid(text, n),
                lambda: repr(body["messages"][:2]),  # an episode's opening: one tree's
            )
            reply = await self._asking.answer(question, attempts=self._config.attempts)
        except Doubtful as doubt:
            self._oddities.stayed(doubt)
            return doubt.reply
        self._oddities.healthy(n)
        return reply

    def _paid(self, text: str, n: int) -> Reply:
        """Read a reply, and count its tokens: also one that will be asked for again was paid."""
        try:
            reply = read_reply(text, n=n, usual=self._oddities.usual)
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
        question = PendingRequest(
            lambda: self._client.get("/models", cast_to=str), read_names, lambda: "the list"
        )
        return await self._asking.answer(question, attempts=attempts)

    async def _understood(
        self, error: RequestRefused, asked: Body, shaped: Callable[[], Body]
    ) -> EndpointRejected | None:
        """Whose matter a refusal is: the model's name, this conversation alone, or everybody's.

        None where it was a setting's: the request may be sent again.
        """
        async with self._acceptance.finding_out(asked):
            if shaped() != asked:
                return None
            if error.status in (400, 404):  # a router's, and a server's
                served = await self._listed()
                if served and not is_among(self._config.model, served):
                    return misnamed(error, served, self._server)
                if error.status == 404 and not served:
                    return error
            if error.status not in OF_ONE:
                return error
            if await self._answers(asked):
                return ConversationRefused(str(error), status=error.status)
            return None if await self._acceptance.try_without(asked, self._answers) else error

    async def _listed(self) -> list[str]:
        """The models served, where the server says."""
        try:
            return await self._served(attempts=1)
        except (EndpointRejected, EndpointUnavailable):
            return []

    async def _answers(self, asked: Body) -> bool:
        """Whether a harmless conversation is answered with the same settings."""
        refused = self._wire.sent
        try:
            await self._taken(asked | {"messages": HARMLESS})
        except (EndpointRejected, EndpointUnavailable):
            return False
        finally:
            self._wire.sent = refused  # what a person wants to see
        return True
