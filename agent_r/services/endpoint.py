"""The client of any OpenAI-compatible server: patient, bounded, and clear about what went wrong."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.errors import ConfigError, EndpointRejected, EndpointUnavailable
from agent_r.services.replies import (
    MAX_SAID_CHARS,
    NO_KEY,
    Refused,
    Server,
    Unanswered,
    deepest_cause,
    encodable,
    read_names,
    read_reply,
)
from agent_r.settings import OpenAIEndpoint
from agent_r.together import each

CONNECT_S = 10.0  # a host that drops packets is found out long before a slow reply is
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 60.0

_log = logging.getLogger(__name__)
T = TypeVar("T")


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
        self._config = config
        self._rng, self._sleep, self._clock = rng or random.Random(), sleep, clock
        self._slots = asyncio.Semaphore(config.concurrency)
        self._refused: set[str] = set()  # settings that the model turned out not to take
        self._server = Server.of(config, api_key.strip() or NO_KEY)
        self._client = _client(config, self._server)

    def __repr__(self) -> str:
        return self._server.line(f"EndpointActor({self.name!r} at {self._server.url})")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the actor answers no more."""
        await self._client.close()

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
        body = _body(self._config.model, messages, params)
        replies = await self._draw(body, n)
        if len(replies) < min(n, 2):
            self._refused.add("n")
        singles = [{**body, **_seed(params, k)} for k in range(len(replies), n)]
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
        # The list is optional, some keys may not read it, and many leave aliases out.
        if not self._is_among(served):
            ask = [Message("user", "Hi")]
            await self.complete(ask, n=1, params=SamplingParams(max_tokens=1))

    async def _draw(self, body: dict[str, Any], n: int) -> list[Completion]:
        """At most `n` replies by one request; none where the server draws one a request.

        A setting that the model does not take is left out from then on.
        """
        while n == 1 or "n" not in self._refused:
            wanted = _without(self._refused, body)
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
        reply = await self._answer(
            lambda: self._client.post("/chat/completions", cast_to=str, body=body),
            read_reply,
            attempts=self._config.attempts,
        )
        self.usage.prompt_tokens += reply.prompt_tokens
        self.usage.cached_tokens += reply.cached_tokens
        self.usage.completion_tokens += reply.completion_tokens
        first, *others = [choice.completion() for choice in reply.choices[:n]]
        spent = replace(
            first, prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens
        )
        return [spent, *others]

    async def _served(self, *, attempts: int) -> list[str]:
        return await self._answer(
            lambda: self._client.get("/models", cast_to=str), read_names, attempts=attempts
        )

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

    async def _answer(
        self, send: Callable[[], Awaitable[str]], read: Callable[[str], T], *, attempts: int
    ) -> T:
        """Send until an answer can be read; a try holds a slot, and a wait between tries none."""
        tries = AsyncRetrying(
            retry=retry_if_exception_type(Unanswered),
            stop=stop_after_attempt(attempts),
            wait=self._wait,
            sleep=self._sleep,
            before_sleep=self._note,
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    async with self._slots:
                        return await self._try(send, read)
        except Unanswered as error:
            cause = self._server.line(str(error))[:MAX_SAID_CHARS]
        tried = f"{attempts} tries" if attempts > 1 else "1 try"
        line = f"no answer from {self._server.url} after {tried}: {cause}"
        raise EndpointUnavailable(self._server.line(line))

    async def _try(self, send: Callable[[], Awaitable[str]], read: Callable[[str], T]) -> T:
        failure: Exception
        self.usage.requests += 1
        try:
            # The client's own limit is on silence: a server that drips bytes would never meet it.
            async with asyncio.timeout(self._config.timeout_s):
                return read(await send())
        except (TimeoutError, openai.APITimeoutError):
            failure = Unanswered("timed out")
        except openai.APIConnectionError as error:
            failure = Unanswered(deepest_cause(error))
        except openai.APIStatusError as error:
            failure = self._server.judge(error, now=self._clock())
        # Raised out here so that the client's exception, which may quote the key, is not chained.
        raise failure

    def _wait(self, state: RetryCallState) -> float:
        """Exponential, on top of what the server asks; the jitter parts those who wait together."""
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.after_s if isinstance(failure, Unanswered) else 0.0
        widest = FIRST_WAIT_S * 2 ** min(state.attempt_number - 1, 10)
        return min(asked + self._rng.uniform(widest / 2, widest), MAX_WAIT_S)

    def _note(self, state: RetryCallState) -> None:
        self.usage.retries += 1
        cause = state.outcome.exception() if state.outcome else None
        line = self._server.line(f"{self._server.url}: try {state.attempt_number}: {cause}")
        _log.info("%s", line[:MAX_SAID_CHARS])


def _client(config: OpenAIEndpoint, server: Server) -> openai.AsyncOpenAI:
    key, patience = server.key.get_secret_value(), config.timeout_s
    if not _is_web_address(config.base_url):
        line = f"base_url '{server.url}' is not an http:// or https:// URL"
        raise ConfigError(server.line(line))
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"the key in {server.key_holder} has characters that no HTTP header can carry"
        )
    client = openai.AsyncOpenAI(
        api_key=key,
        base_url=config.base_url,
        timeout=openai.Timeout(patience, connect=min(CONNECT_S, patience)),
        max_retries=0,
    )
    # The library takes these from the environment: what we send is ours to say.
    client.organization = client.project = None
    return client


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _body(model: str, messages: Sequence[Message], params: SamplingParams) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": encodable(m.content)} for m in messages],
        "temperature": params.temperature,
        "max_tokens": params.max_tokens,
        **_seed(params, 0),
    }
    return body | ({"stop": list(params.stop)} if params.stop else {})


def _seed(params: SamplingParams, k: int) -> dict[str, int]:
    return {} if params.seed is None else {"seed": params.seed + k}


def _without(refused: set[str], body: dict[str, Any]) -> dict[str, Any]:
    """The body less what the model does not take; its token limit goes by another name there."""
    renamed = {"max_completion_tokens": body["max_tokens"]} if "max_tokens" in refused else {}
    return {name: value for name, value in body.items() if name not in refused} | renamed
