"""Ask any OpenAI-compatible server for replies: bounded, with retries and clear errors."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.concurrency import gather_bounded
from agent_r.endpoint.limiter import ConcurrencyLimiter
from agent_r.endpoint.payload import body_of, client_of, seed_of, wire_of, without
from agent_r.endpoint.responses import (
    FEWER,
    NO_KEY,
    Doubtful,
    Reply,
    RequestRefused,
    Server,
    read_names,
    read_reply,
)
from agent_r.endpoint.retry import PendingRequest, RetryingClient
from agent_r.endpoint.transport import Sent
from agent_r.errors import ConversationRefused, EndpointRejected, EndpointUnavailable
from agent_r.settings import OpenAIEndpoint

OF_ONE = (400, 403, 413, 422, 451)  # refusals that may be one conversation's matter
STUBBORN = 3  # requests in a row that stay odd in the same way: then it is the model's way

_log = logging.getLogger(__name__)


class EndpointActor:
    """An `Actor` behind an OpenAI-compatible server; its requests are retried.

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
        self._config = config
        self._refused: set[str] = set()  # settings that the model turned out not to take
        self._usual: set[str] = set()  # oddities of its replies that turned out to be its way
        self._odd: Counter[str] = Counter()  # requests that stayed odd, since the last healthy one
        self._server = Server.of(config, api_key.strip() or NO_KEY)
        self._asking = RetryingClient(
            config,
            self._server,
            self.usage,
            rng=rng or random.Random(),
            sleep=sleep,
            clock=clock,
        )
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
        return sorted(self._refused)

    @property
    def sent(self) -> Sent | None:
        """The last request for a completion as it went out, but for its key."""
        key = self._server.key.get_secret_value()
        sent = self._wire.sent
        return sent.hidden(key) if sent and key != NO_KEY else sent

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
        body = body_of(self._config, messages, params)
        replies = await self._draw(body, n)
        if len(replies) < min(n, 2) and self._odd[FEWER] >= STUBBORN:
            self._refused.add("n")
        single_bodies = [{**body, **seed_of(params, k)} for k in range(len(replies), n)]
        drawn = await gather_bounded(
            single_bodies, lambda one: self._draw(one, 1), limit=asyncio.Semaphore(n)
        )
        return replies + [reply for single in drawn for reply in single]

    async def once(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        """All replies to one request, odd ones too, fewer or more than `n`: to try a server out.

        Nothing comes back where the server does not take `n`; `complete` says what is raised.
        """
        return await self._draw(body_of(self._config, messages, params), n, as_it_is=True)

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

    async def _draw(
        self, body: dict[str, Any], n: int, *, as_it_is: bool = False
    ) -> list[Completion]:
        """At most `n` replies by one request; none where the server draws one a request.

        A setting that the model does not take is left out from then on.
        """
        while n == 1 or "n" not in self._refused:
            wanted = without(self._refused, body)
            if n > 1:  # some servers do not know `n` at all
                wanted["n"] = n
            try:
                return await (self._taken(wanted) if as_it_is else self._drawn(wanted, n))
            except RequestRefused as error:
                setting = error.setting(wanted)
                if error.spent_thinking:
                    return [Completion("", "length")] * n
                if not setting:
                    raise (await self._explained(error, wanted)) from None
            if setting not in self._refused | {"n"}:
                _log.warning("%s does not take `%s`: it is not sent again", self, setting)
            self._refused.add(setting)
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
        """A healthy reply; one that stays doubtful in all tries is taken as it is.

        Of several requests in a row it is the model's way, and no other is asked again for it.
        """
        try:
            question = PendingRequest(
                lambda: self._wire.post(body),
                lambda text: self._paid(text, n),
                lambda: repr(body["messages"][:2]),  # an episode's opening: one tree's
            )
            reply = await self._asking.answer(question, attempts=self._config.attempts)
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
        question = PendingRequest(
            lambda: self._client.get("/models", cast_to=str), read_names, lambda: "the list"
        )
        return await self._asking.answer(question, attempts=attempts)

    def _is_among(self, served: Sequence[str]) -> bool:
        """Ollama and Gemini list longer names than they are called by."""
        model = self._config.model
        return not {model, f"{model}:latest", f"models/{model}"}.isdisjoint(served)

    async def _explained(self, error: RequestRefused, asked: dict[str, Any]) -> EndpointRejected:
        """Whether it is the model's name (a 404, or a router's 400), or this conversation alone."""
        named = await self._misnamed(error) if error.status in (400, 404) else None
        if named is None and error.status in OF_ONE and await self._answers_others(asked):
            return ConversationRefused(str(error), status=error.status)
        return named or error

    async def _answers_others(self, asked: dict[str, Any]) -> bool:
        """Whether a harmless conversation is answered with the settings of one that was refused."""
        harmless = [{"role": "user", "content": "Hi"}]
        settings = {name: value for name, value in asked.items() if name != "n"}
        refused = self._wire.sent
        try:
            await self._reply(settings | {"messages": harmless}, 1)
        except (EndpointRejected, EndpointUnavailable):
            return False
        finally:
            self._wire.sent = refused  # what a person wants to see
        return True

    async def _misnamed(self, error: RequestRefused) -> EndpointRejected | None:
        """Where the model is not among those served: which there are."""
        try:
            served = await self._served(attempts=1)
        except (EndpointRejected, EndpointUnavailable):
            return None
        if not served or self._is_among(served):
            return None
        line = str(error)
        if error.status == 404:
            line = f"{self._server.url} does not serve the model '{self._config.model}'"
        more = f" and {len(served) - 5} more" if len(served) > 5 else ""
        line = self._server.line(f"{line}; it serves {', '.join(served[:5])}{more}")
        return EndpointRejected(line, status=error.status)
