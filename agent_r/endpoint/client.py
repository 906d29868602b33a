"""Ask any OpenAI-compatible server for replies: bounded, with retries and clear errors."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.concurrency import gather_bounded
from agent_r.endpoint.access import Access
from agent_r.endpoint.exchange import Body, Exchange
from agent_r.endpoint.habits.conversation_trial import ConversationTrial
from agent_r.endpoint.habits.learnt import Learnt
from agent_r.endpoint.habits.overflow import Room
from agent_r.endpoint.habits.server_limit import ServerLimit
from agent_r.endpoint.habits.token_estimate import TokenEstimate, Tokenizer
from agent_r.endpoint.limiter import ConcurrencyLimiter
from agent_r.endpoint.payload import client_of, reseeded, wire_of
from agent_r.endpoint.refusals.inquiry import Inquiry
from agent_r.endpoint.refusals.model_list import is_among
from agent_r.endpoint.refusals.request_refused import RequestRefused
from agent_r.endpoint.responses import NO_KEY, Server, TooLong, read_names
from agent_r.endpoint.retry import BROKEN, PendingRequest, RetryingClient
from agent_r.endpoint.transport import Sent
from agent_r.errors import ContextOverflow, EndpointRejected, EndpointUnavailable
from agent_r.reading.folding import Fold
from agent_r.settings import OpenAIEndpoint


class EndpointActor:
    """An `Actor` behind an OpenAI-compatible server; its requests are retried.

    Args:
        api_key: sent to the server, and scrubbed from every message.
        held: likewise, what the settings' headers name: by `NAME` and `block:NAME`.
        learnt: what an actor before this one has found out of the endpoint.
        tokenizer: loads the model's own, where it is known: for what the server does not count.
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
        learnt: Learnt | None = None,
        tokenizer: Callable[[], Tokenizer | None] | None = None,
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
        access = Access.of(config, self._server, held or {})
        self._client = client_of(config, self._server, access)
        self._wire = wire_of(config, access)
        tokens = TokenEstimate(repr(self), tokenizer)
        self._exchange = Exchange(
            config, self._server, self._asking, self._wire, self.usage, tokens, repr(self)
        )
        self.learnt = learnt or Learnt.of(config, repr(self))
        self._acceptance, self._folding, self._streaming = self.learnt
        self.limit = ServerLimit(self._client, self._server, tokens)
        self._trial = ConversationTrial(self._folding, self._exchange.answers, self.limit.chars)
        self._inquiry = Inquiry(
            self._server, self.learnt, self._exchange, self._trial, self._listed,
            attempts=config.attempts,
        )  # fmt: skip

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
    def folds(self) -> list[Fold]:
        """How a conversation's turns are folded before they are sent."""
        return sorted(self._folding.folds)

    @property
    def reads_at_most(self) -> int:
        """Tokens to which the server cuts prompts without a word; 0: it is not known to."""
        return self._exchange.tokens.cut_prompts.tokens

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
        if len(replies) < min(n, 2) and self._exchange.oddities.gives_fewer:
            self._acceptance.refused.add("n")
        if len(replies) == n:  # as it is mostly: a group of no tasks takes its time as well
            return replies
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

        What was left out of a request that is not answered all the same was not the reason.
        """
        suspected, folds = list[str](), list[Fold]()
        try:
            return await self._answered(messages, params, n, suspected, folds, as_it_is=as_it_is)
        except BaseException:
            self._acceptance.restore(suspected)
            self._folding.restore(folds)
            raise

    async def _answered(
        self,
        messages: Sequence[Message],
        params: SamplingParams,
        n: int,
        suspected: list[str],
        folds: list[Fold],
        *,
        as_it_is: bool,
    ) -> list[Completion]:
        """Ask until it is known what the model takes.

        What it turns out not to take is left out from then on; a reply that does not fit beside
        its prompt is asked for with fewer tokens.
        """
        room = Room(params.max_tokens)

        def shaped() -> Body:
            fits = room.tokens == params.max_tokens
            how = params if fits else replace(params, max_tokens=room.tokens)
            body = self._acceptance.body(messages, how, n)
            return self._streaming.shaped(self._folding.shaped(body), self._acceptance.refused)

        def impatient() -> bool:  # asked at failures alone: for each request it would be dear
            return not patient and self._trial.suspects(asked)

        patient = as_it_is
        while n == 1 or self._acceptance.several:
            asked = shaped()
            try:
                if as_it_is:
                    replies = await self._exchange.as_it_is(asked)
                else:
                    replies = await self._exchange.healthy(asked, n, impatient=impatient)
            except TooLong as error:
                if not room.shrinks(error.words):
                    raise ContextOverflow(str(error), status=error.status) from None
            except EndpointUnavailable as error:
                if error.kind not in BROKEN:
                    raise
                if not impatient():
                    if not await self._inquiry.breaks_at_settings(asked, shaped):
                        raise
                elif await self._inquiry.of_breakage(error.kind, asked, shaped):
                    raise ContextOverflow(str(error), status=500) from None
                patient = True
            except RequestRefused as error:
                if error.spent_thinking:
                    return [Completion("", "length")] * n
                if shaped() != asked or self._streaming.demanded(error.answer):
                    continue  # another request has found it out
                if named := self._acceptance.suspect(error, asked):
                    suspected.append(named)
                elif fold := self._folding.suspect(error.answer, asked["messages"]):
                    folds.append(fold)
                elif refused := await self._inquiry.of_refusal(error, asked, shaped):
                    raise refused from None
            else:
                self._acceptance.took(asked, suspected)
                self._trial.answered(asked, folds)
                return room.ended(replies)
        return []

    async def _served(self, *, attempts: int) -> list[str]:
        question = PendingRequest(
            lambda: self._client.get("/models", cast_to=str), read_names, lambda: "the list"
        )
        return await self._asking.answer(question, attempts=attempts)

    async def _listed(self) -> list[str]:
        """The models served, where the server says."""
        try:
            return await self._served(attempts=1)
        except (EndpointRejected, EndpointUnavailable):
            return []
