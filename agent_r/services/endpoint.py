"""The client of any OpenAI-compatible server: patient, bounded, and clear about what went wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

import openai
from pydantic import AliasPath, BaseModel, BeforeValidator, Field, SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.config import OpenAIEndpoint
from agent_r.errors import ConfigError, ContextOverflow, EndpointRejected, EndpointUnavailable

MAX_TEXT_CHARS = 100_000  # of one reply; a longer one is a server gone wrong
MAX_SAID_CHARS = 400  # of a server's own words in an error message
MAX_SEARCHED_CHARS = 4000  # of them, for what they mean: a router quotes its router's router
CONNECT_S = 10.0  # a host that drops packets is found out long before a slow reply is
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 60.0

# vLLM, llama.cpp, SGLang, TGI, OpenAI. A bare "too long" is not enough: a stop string can be that.
_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|context[ _-](length|size|window)"
    r"|maximum (context|model|sequence) length|reduce the length of the (messages|prompt|input)"
    r"|`inputs` (tokens \+|must have less than)|input token count"
    r"|\b(prompt|inputs?|request|conversation|messages|sequence) (\S+ ){0,6}too long\b",
    re.IGNORECASE,
)
_ONE_CHOICE_ONLY = re.compile(r"\bn\b.{0,40}\b(1|one)\b|one completion choice", re.IGNORECASE)

_NO_KEY = "none"  # sent where a server wants no key; no secret, so never scrubbed
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
        self._key = SecretStr(api_key.strip() or _NO_KEY)
        self._rng, self._sleep, self._clock = rng or random.Random(), sleep, clock
        self._slots = asyncio.Semaphore(config.concurrency)
        self._one_choice = False  # learnt: the server draws one reply a request, whatever `n` says
        self._url = re.sub(r"//[^/@]*@", "//", config.base_url)  # for messages: without a password
        self._client = self._connect()

    def _connect(self) -> openai.AsyncOpenAI:
        key, holder = self._key.get_secret_value(), self._key_holder
        if not _is_web_address(self._config.base_url):
            raise ConfigError(
                self._line(f"base_url '{self._url}' is not an http:// or https:// URL")
            )
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"the key in {holder} has characters that no HTTP header can carry")
        patience = self._config.timeout_s
        client = openai.AsyncOpenAI(
            api_key=key,
            base_url=self._config.base_url,
            timeout=openai.Timeout(patience, connect=min(CONNECT_S, patience)),
            max_retries=0,
        )
        # The library takes these from the environment: what we send is ours to say.
        client.organization = client.project = None
        return client

    def __repr__(self) -> str:
        return self._line(f"EndpointActor({self.name!r} at {self._url})")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; the actor answers no more."""
        await self._client.close()

    @property
    def name(self) -> str:
        """The model's name as the endpoint knows it."""
        return self._config.model

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        """Sample exactly `n` replies; see `Actor.complete` for what is raised.

        A server that draws one reply a request is asked `n` times at once, with seeds
        `params.seed`, `params.seed + 1`, …: with one seed the replies would be one reply.
        """
        if n < 1:
            raise ValueError(f"n is {n}: at least one reply must be asked for")
        body = _body(self.name, messages, params)
        replies = [] if n > 1 and self._one_choice else await self._draw(body, n)
        if len(replies) < min(n, 2):
            self._one_choice = True
        singles = [{**body, **_seed(params, k)} for k in range(len(replies), n)]
        for more in await _all_or_first_error([self._draw(single, 1) for single in singles]):
            replies += more
        return replies

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
        if not served:  # the list is optional, and some keys may not read it: ask for one token
            ask = [Message("user", "Hi")]
            await self.complete(ask, n=1, params=SamplingParams(max_tokens=1))
        elif not {self.name, f"{self.name}:latest", f"models/{self.name}"} & set(served):
            raise self._not_served(served)

    async def _draw(self, body: dict[str, Any], n: int) -> list[Completion]:
        """At most `n` replies by one request; none where the server refuses to draw several."""
        wanted = {**body, "n": n} if n > 1 else body  # some servers do not know `n` at all
        try:
            reply = await self._answer(
                lambda: self._client.post("/chat/completions", cast_to=str, body=wanted),
                _read_reply,
                attempts=self._config.attempts,
            )
        except ContextOverflow:
            raise
        except EndpointRejected as error:
            if n > 1 and error.status != 404 and _ONE_CHOICE_ONLY.search(str(error)):
                return []
            raise (await self._explained(error)) from None
        self.usage.prompt_tokens += reply.prompt_tokens
        self.usage.cached_tokens += reply.cached_tokens
        self.usage.completion_tokens += reply.completion_tokens
        return [choice.completion() for choice in reply.choices[:n]]

    async def _served(self, *, attempts: int) -> list[str]:
        return await self._answer(
            lambda: self._client.get("/models", cast_to=str), _read_names, attempts=attempts
        )

    async def _explained(self, error: EndpointRejected) -> EndpointRejected:
        """A 404 is mostly a model's name misspelt: then say which names there are."""
        if error.status != 404:
            return error
        try:
            served = await self._served(attempts=1)
        except (EndpointRejected, EndpointUnavailable):
            return error
        return self._not_served(served) if served and self.name not in served else error

    def _not_served(self, served: Sequence[str]) -> EndpointRejected:
        more = f" and {len(served) - 5} more" if len(served) > 5 else ""
        names = ", ".join(served[:5]) + more
        line = f"{self._url} does not serve the model '{self.name}'; it serves {names}"
        return EndpointRejected(self._line(line), status=404)

    async def _answer(
        self, send: Callable[[], Awaitable[str]], read: Callable[[str], T], *, attempts: int
    ) -> T:
        """Send until an answer can be read; a try holds a slot, and a wait between tries none."""
        tries = AsyncRetrying(
            retry=retry_if_exception_type(_Unanswered),
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
        except _Unanswered as error:
            cause = self._line(str(error))[:MAX_SAID_CHARS]
        tried = f"{attempts} tries" if attempts > 1 else "1 try"
        raise EndpointUnavailable(self._line(f"no answer from {self._url} after {tried}: {cause}"))

    async def _try(self, send: Callable[[], Awaitable[str]], read: Callable[[str], T]) -> T:
        patience = self._config.timeout_s
        failure: Exception
        self.usage.requests += 1
        try:
            # The client's own limit is on silence: a server that drips bytes would never meet it.
            async with asyncio.timeout(patience):
                return read(await send())
        except (TimeoutError, openai.APITimeoutError):
            failure = _Unanswered("timed out")
        except openai.APIConnectionError as error:
            failure = _Unanswered(_deepest_cause(error))
        except openai.APIStatusError as error:
            failure = self._judge(error)
        # Raised out here so that the client's exception, which may quote the key, is not chained.
        raise failure

    def _judge(self, error: openai.APIStatusError) -> Exception:
        """What a failing status means: another try, the end of an episode, or that of a run."""
        status, said = error.status_code, self._said(error)
        if status in (408, 409, 429) or status >= 500:
            after_s = _retry_after(error.response.headers, now=self._clock())
            return _Unanswered(f"HTTP {status}: {said}", after_s=after_s)
        if status == 401:
            line = f"{self._url}: the endpoint refuses the key in {self._key_holder}"
            return EndpointRejected(self._line(line), status=status)
        line = f"{self._url} refuses the request to '{self.name}' (HTTP {status}): {said}"
        if status == 404 and "/v1" not in self._url:
            line += " (does base_url lack its /v1?)"
        told = f"{error.code} {error.type} {_words(error.body)[:MAX_SEARCHED_CHARS]}"
        if status in (400, 413, 422) and _OVERFLOW.search(told):
            return ContextOverflow(self._line(line), status=status)
        return EndpointRejected(self._line(line), status=status)

    def _wait(self, state: RetryCallState) -> float:
        """Exponential, on top of what the server asks; the jitter parts those who wait together."""
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.after_s if isinstance(failure, _Unanswered) else 0.0
        widest = FIRST_WAIT_S * 2 ** min(state.attempt_number - 1, 10)
        return min(asked + self._rng.uniform(widest / 2, widest), MAX_WAIT_S)

    def _note(self, state: RetryCallState) -> None:
        self.usage.retries += 1
        cause = state.outcome.exception() if state.outcome else None
        _log.info(
            "%s", self._line(f"{self._url}: try {state.attempt_number}: {cause}")[:MAX_SAID_CHARS]
        )

    @property
    def _key_holder(self) -> str:
        block = self._config.api_key_block
        return f"the Prefect block '{block}'" if block else f"${self._config.api_key_env}"

    def _said(self, error: openai.APIStatusError) -> str:
        """The server's own words; a proxy's are an HTML page."""
        words = self._line(_words(error.body))[:MAX_SAID_CHARS]  # scrubbed first: half a key is one
        plain = " ".join(re.sub(r"<[^>]*>", " ", words).split())
        return plain or error.response.reason_phrase

    def _line(self, text: str) -> str:
        """One printable line without the key: every message passes through here."""
        key = self._key.get_secret_value()
        scrubbed = text if key == _NO_KEY else text.replace(key, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in scrubbed).split())


class _Unanswered(Exception):
    """One try failed in a way that another may not."""

    def __init__(self, cause: str, *, after_s: float = 0.0) -> None:
        super().__init__(cause)
        self.after_s = after_s


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _encodable(text: str) -> str:
    """JSON can escape a lone surrogate, and no file can hold one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _body(model: str, messages: Sequence[Message], params: SamplingParams) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": _encodable(m.content)} for m in messages],
        "temperature": params.temperature,
        "max_tokens": params.max_tokens,
        **_seed(params, 0),
    }
    return body | ({"stop": list(params.stop)} if params.stop else {})


def _seed(params: SamplingParams, k: int) -> dict[str, int]:
    return {} if params.seed is None else {"seed": params.seed + k}


async def _all_or_first_error(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Like `asyncio.gather`, but no call goes on, and costs, once another has failed."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
        return [task.result() for task in tasks]
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
    raise first


def _deepest_cause(error: BaseException) -> str:
    """`Connection refused` rather than the client's `Connection error.`"""
    said, inner = type(error).__name__, error.__cause__ or error.__context__
    while inner is not None:
        if isinstance(inner, BaseExceptionGroup):  # one for each address of a host
            inner = inner.exceptions[0]
        said = str(inner) or said
        if isinstance(inner, OSError) and inner.errno and inner.strerror:
            # asyncio puts the address where the reason would be, and that we name already.
            vague = inner.strerror.startswith("Connect call failed")
            said = os.strerror(inner.errno) if vague else inner.strerror
        inner = inner.__cause__ or inner.__context__
    return said


def _words(body: object) -> str:
    """What a server says of a failure, in OpenAI's shape, FastAPI's, or none."""
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    return str(body or "")


def _retry_after(headers: Mapping[str, str], *, now: float) -> float:
    """Seconds the server asks us to wait; 0 where it does not say, or not in words we know."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if seconds >= 0:  # which NaN is not
            return seconds
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - now)
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0.0


def _text(content: object) -> object:
    return _encodable(content) if isinstance(content, str) else "" if content is None else content


def _count(value: object) -> int:
    """A reply is never lost because its bookkeeping is odd."""
    return value if isinstance(value, int) and value >= 0 else 0


_Text = Annotated[str, BeforeValidator(_text)]
_Count = Annotated[int, BeforeValidator(_count)]


class _Said(BaseModel):
    content: _Text = ""


class _Choice(BaseModel):
    message: _Said
    finish_reason: _Text = ""

    def completion(self) -> Completion:
        text = self.message.content
        cut = len(text) > MAX_TEXT_CHARS
        return Completion(text[:MAX_TEXT_CHARS], "length" if cut else self.finish_reason or "stop")


class _Reply(BaseModel):
    """What we read of a chat completion; the rest differs from server to server."""

    choices: list[_Choice] = Field(min_length=1)
    prompt_tokens: _Count = Field(default=0, validation_alias=AliasPath("usage", "prompt_tokens"))
    completion_tokens: _Count = Field(
        default=0, validation_alias=AliasPath("usage", "completion_tokens")
    )
    cached_tokens: _Count = Field(
        default=0, validation_alias=AliasPath("usage", "prompt_tokens_details", "cached_tokens")
    )


def _read_reply(text: str) -> _Reply:
    page: object = None
    try:
        page = json.loads(text)
        return _Reply.model_validate(page)
    except (ValueError, RecursionError):
        # Some routers answer 200 with an error inside; its words are the cause.
        said = _words(page.get("error")) if isinstance(page, dict) else ""
    what = "a reply that is not JSON" if page is None else "a reply without choices"
    raise _Unanswered(f"{what}: {said}" if said else what)


def _read_names(text: str) -> list[str]:
    """The names in a model list; none where it is no such list: it is a help, not a need."""
    try:
        page = json.loads(text)
    except (ValueError, RecursionError):
        return []
    rows = page.get("data") if isinstance(page, dict) else page
    named = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [str(row["id"]) for row in named if row.get("id")]
