"""One request and its reply: sent, read, paid for, and taken as it is where it stays odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from agent_r.actor import Completion, Usage
from agent_r.endpoint.habits.token_estimate import TokenEstimate
from agent_r.endpoint.oddities import Oddities
from agent_r.endpoint.responses import Doubtful, ErrorInside, Reply, Server, read_reply
from agent_r.endpoint.retry import BROKEN, PendingRequest, RetryingClient
from agent_r.endpoint.transport import Transport
from agent_r.errors import EndpointRejected, EndpointUnavailable
from agent_r.settings import OpenAIEndpoint

Body: TypeAlias = dict[str, Any]


class Exchange:
    """Asks one server for chat completions.

    Args:
        usage: tokens are counted there, those of replies that are asked for again too.
    """

    def __init__(
        self,
        config: OpenAIEndpoint,
        server: Server,
        asking: RetryingClient,
        wire: Transport,
        usage: Usage,
        tokens: TokenEstimate,
        who: str,
    ) -> None:
        self.oddities = Oddities(who)
        self.tokens = tokens
        self._config, self._server, self._asking = config, server, asking
        self._wire, self._usage = wire, usage

    async def healthy(
        self, body: Body, n: int, *, impatient: Callable[[], bool]
    ) -> list[Completion]:
        """At most `n` healthy replies; one that stays doubtful in all tries is taken as it is.

        Args:
            impatient: asked when the server breaks: whether to give up early, since it may mean
                this conversation.
        """
        try:
            question = PendingRequest(
                lambda: self._wire.post(body),
                lambda text: self._paid(text, n, body),
                lambda: repr(body["messages"][:2]),  # an episode's opening: one tree's
                impatient=impatient,
            )
            reply = await self._asking.answer(question, attempts=self._config.attempts)
        except Doubtful as doubt:
            self.oddities.stayed(doubt)
            return self._completions(doubt.reply, n)
        self.oddities.healthy(n)
        return self._completions(reply, n)

    async def as_it_is(self, body: Body, *, attempts: int = 0) -> list[Completion]:
        """All replies, odd ones too."""

        def read(text: str) -> Reply:
            try:
                return self._paid(text, 1, body)
            except Doubtful as doubt:
                return doubt.reply

        question = PendingRequest(lambda: self._wire.post(body), read, lambda: "a trial")
        reply = await self._asking.answer(question, attempts=attempts or self._config.attempts)
        return self._completions(reply, len(reply.choices))

    async def answers(self, body: Body, *, tries: int = 1) -> bool:
        """Whether a request is answered at all: a trial, that nobody wants to see.

        Raises:
            EndpointUnavailable: of several tries, for reasons that are not this request's.
        """
        seen = self._wire.sent
        try:
            await self.as_it_is(body, attempts=tries)
        except EndpointRejected:
            return False
        except EndpointUnavailable as error:
            if tries > 1 and error.kind not in BROKEN:
                raise
            return False
        finally:
            self._wire.sent = seen
        return True

    def _completions(self, reply: Reply, n: int) -> list[Completion]:
        """The first `n` choices; the first tells the tokens of them all."""
        tags = self._config.reasoning_tags
        first, *others = [choice.completion(tags) for choice in reply.choices[:n]]
        spent = replace(
            first, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens
        )
        return [spent, *others]

    def _paid(self, text: str, n: int, body: Body) -> Reply:
        """Read a reply, and count its tokens: also one that will be asked for again was paid."""
        messages: Sequence[dict[str, str]] = body["messages"]
        try:
            reply = read_reply(text, n=n, usual=self.oddities.usual)
        except Doubtful as doubt:
            doubt.reply = self.tokens.pay(self._usage, doubt.reply, messages)
            raise
        except ErrorInside as error:
            raise self._server.judge_inside(error) from None
        return self.tokens.pay(self._usage, reply, messages)
