"""Read what a chat completion server answers: its replies, its refusals, its errors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Self

import aiohttp
import httpx2
import openai
from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, Field, SecretStr

from agent_r.endpoint.choices import Choice
from agent_r.endpoint.habits.overflow import is_overflow
from agent_r.endpoint.habits.streaming import assembled, demands_stream, is_stream
from agent_r.endpoint.refusals.request_refused import RequestRefused
from agent_r.errors import ContextOverflow, EndpointRejected
from agent_r.printable import printable_line
from agent_r.reading.folding import is_of_turns
from agent_r.settings import OpenAIEndpoint

MAX_SAID_CHARS = 400  # of a server's own words in an error message
MAX_SEARCHED_CHARS = 4000  # of them, for what they mean: a router quotes its router's router
FEWER = "fewer replies than asked for"
SHORTEST_KEY = 8  # characters; a shorter one is a word that a server may say as well
NO_KEY = "none"  # sent where a server wants no key; no secret, so never scrubbed

# Words of a passing limit as well, in which case the server says when to come back.
_NO_QUOTA = re.compile(r"insufficient_quota|exceeded.(your.)?current.quota|billing", re.IGNORECASE)
_COME_BACK = re.compile(r"(re)?try( again)? in \d|retryDelay", re.IGNORECASE)


class Unanswered(Exception):
    """One try failed in a way that another may not; `kind` is what it is counted as."""

    def __init__(self, cause: str, *, kind: str = "", after_s: float = 0.0) -> None:
        super().__init__(cause)
        self.kind = kind or cause
        self.after_s = after_s


class Unreached(Unanswered):
    """There was no connection: that says nothing of the request."""


class Doubtful(Unanswered):
    """A reply that can be used, but that no healthy model gives: if it stays so, it is `reply`."""

    def __init__(self, cause: str, reply: Reply) -> None:
        super().__init__(cause)
        self.reply = reply


class ErrorInside(Unanswered):
    """An error in place of a reply, with a status that says all is well; `words` are its own."""

    def __init__(self, cause: str, *, kind: str, words: str) -> None:
        super().__init__(cause, kind=kind)
        self.words = words


class TooLong(ContextOverflow):
    """Prompt and reply do not fit; `words` are the server's: searched, never shown."""

    def __init__(self, message: str, *, status: int, words: SecretStr) -> None:
        super().__init__(message, status=status)
        self._words = words

    @property
    def words(self) -> str:
        return self._words.get_secret_value()


@dataclass(frozen=True, slots=True)
class Server:
    """A server as messages name it: each is one printable line, without a key or a password."""

    url: str
    model: str
    key: SecretStr
    key_holder: str
    more: tuple[SecretStr, ...] = ()  # that headers or the query carry

    @classmethod
    def of(cls, config: OpenAIEndpoint, key: str, held: Mapping[str, str]) -> Self:
        block = config.api_key_block
        holder = f"the Prefect block '{block}'" if block else f"${config.api_key_env}"
        more = tuple(SecretStr(value) for value in held.values() if value)
        return cls(config.base_url, config.model, SecretStr(key), holder, more)

    def line(self, text: str) -> str:
        for secret in (self.key, *self.more):
            value = secret.get_secret_value()
            text = text if value == NO_KEY else _scrubbed(text, value)
        return printable_line(text)

    def judge(self, error: openai.APIStatusError, *, now: float) -> Exception:
        """What a failing status means: another try, the end of an episode, or that of a run."""
        status, summary = error.status_code, self._summary(error)
        # As the server said it: a key that is a word of it must not hide what it means.
        words = f"{error.param} {error.code} {error.type} {_words(error.body)}"
        searched = " ".join(words[:MAX_SEARCHED_CHARS].split())
        if status == 429 and _NO_QUOTA.search(searched) and not _COME_BACK.search(searched):
            line = f"{self.url}: the account has no quota left (HTTP {status}): {summary}"
            return EndpointRejected(self.line(line), status=status)
        line = self._refusal(status, summary)
        if status == 404 and "/v1" not in self.url:
            line += " (does base_url lack its /v1?)"
        if is_overflow(searched, status=status):
            return self._too_long(_words(error.body), status, summary)
        refused = RequestRefused(
            self.line(line), status=status, answer=SecretStr(searched), page=error.body
        )
        if status in (408, 409, 429) or (status >= 500 and not _is_for_good(refused)):
            after_s = retry_after(error.response.headers, now=now)
            return Unanswered(f"HTTP {status}: {summary}", kind=f"HTTP {status}", after_s=after_s)
        if status == 401:
            line = f"{self.url}: the endpoint refuses the key in {self.key_holder}"
            return EndpointRejected(self.line(line), status=status)
        return refused

    def judge_inside(self, error: ErrorInside) -> Exception:
        """The same of an error that came with the status of a reply."""
        words, summary = error.words, self.line(error.words)[:MAX_SAID_CHARS]
        if is_overflow(words, status=400):
            return self._too_long(words, 200, summary)
        if is_of_turns(words) or demands_stream(words):
            line = self.line(self._refusal(200, summary))
            return RequestRefused(line, status=200, answer=SecretStr(words[:MAX_SEARCHED_CHARS]))
        return error

    def _too_long(self, words: str, status: int, summary: str) -> TooLong:
        line = self.line(self._refusal(status, summary))
        return TooLong(line, status=status, words=SecretStr(words[:MAX_SEARCHED_CHARS]))

    def _refusal(self, status: int, summary: str) -> str:
        return f"{self.url} refuses the request to '{self.model}' (HTTP {status}): {summary}"

    def _summary(self, error: openai.APIStatusError) -> str:
        """The server's own words; a proxy's are an HTML page."""
        words = self.line(_words(error.body))[:MAX_SAID_CHARS]  # scrubbed first: half a key is one
        plain = " ".join(re.sub(r"<[^>]*>", " ", words).split())
        return plain or error.response.reason_phrase


def _is_for_good(refused: RequestRefused) -> bool:
    """Whether the words mean the request, though the status is that of a passing failure."""
    words = refused.answer
    return refused.blames_a_setting or is_of_turns(words) or demands_stream(words)


def _scrubbed(text: str, key: str) -> str:
    """Without the key; one as short as a word is none where it is part of another word.

    >>> _scrubbed("expected x", "x")
    'expected ***'
    """
    if len(key) >= SHORTEST_KEY:
        return text.replace(key, "***")
    return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", "***", text)


def deepest_cause(error: BaseException) -> str:
    """`Connection refused` rather than the client's `Connection error.`"""
    cause, inner = type(error).__name__, error.__cause__ or error.__context__
    while inner is not None:
        if isinstance(inner, BaseExceptionGroup):  # one for each address of a host
            inner = inner.exceptions[0]
        cause = str(inner) or cause
        if isinstance(inner, OSError) and inner.errno and inner.strerror:
            # asyncio puts the address where the reason would be, and that we name already.
            vague = inner.strerror.startswith("Connect call failed")
            cause = os.strerror(inner.errno) if vague else inner.strerror
        inner = inner.__cause__ or inner.__context__
    return cause


def never_reached(error: BaseException) -> bool:
    """Whether there was no connection at all: nobody listens, or the name does not resolve."""
    causes = (error.__cause__, error.__context__)
    return any(isinstance(c, aiohttp.ClientConnectorError | httpx2.ConnectError) for c in causes)


def _count(value: object) -> int:
    """A reply is never lost because its bookkeeping is odd; 0 is no measurement."""
    try:
        return max(int(value), 0) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0


_Count = Annotated[int, BeforeValidator(_count)]


def _usage(*names: str) -> Any:
    """A count by OpenAI's name for it, or those that other interfaces have."""
    return Field(default=0, validation_alias=AliasChoices(*(AliasPath("usage", n) for n in names)))


class Reply(BaseModel):
    """What we read of a chat completion; the rest differs from server to server."""

    choices: list[Choice] = Field(min_length=1)
    prompt_tokens: _Count = _usage("prompt_tokens", "input_tokens", "promptTokenCount")
    completion_tokens: _Count = _usage("completion_tokens", "output_tokens", "candidatesTokenCount")
    cached_tokens: _Count = Field(
        default=0, validation_alias=AliasPath("usage", "prompt_tokens_details", "cached_tokens")
    )


def read_reply(text: str, *, n: int, usual: Container[str] = ()) -> Reply:
    """A chat completion; `Unanswered` where it is none.

    `usual` are doubts that this model has shown to be its way.
    """
    page = _json(text)
    if page is None and is_stream(text) and (page := assembled(text)) is None:
        raise Unanswered("a stream that broke off")
    try:
        reply = Reply.model_validate(page)
    except ValueError:
        # Some routers answer 200 with an error inside; its words are the cause.
        message = _words(page.get("error")) if isinstance(page, dict) else ""
        what = "a reply that is not JSON" if page is None else "a reply without choices"
        if not message:
            raise Unanswered(what) from None
        raise ErrorInside(f"{what}: {message}", kind=what, words=message) from None
    doubts = [choice.doubt for choice in reply.choices]
    doubts += [FEWER] if len(reply.choices) < n else []
    if doubt := next((doubt for doubt in doubts if doubt and doubt not in usual), ""):
        raise Doubtful(doubt, reply)
    return reply


def read_names(text: str) -> list[str]:
    """The names in a model list; none where it is no such list: it is a help, not a need."""
    page = _json(text)
    rows = page.get("data") if isinstance(page, dict) else page
    named = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [str(row["id"]) for row in named if row.get("id")]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _words(body: object) -> str:
    """What a server says of a failure, in OpenAI's shape, FastAPI's, or none.

    A router's own words say little: those of the server behind it are in its metadata.
    """
    if isinstance(body, list) and len(body) == 1:  # Gemini's
        body = body[0]
    if isinstance(body, dict) and isinstance(metadata := body.get("metadata"), dict):
        raw = metadata.get("raw")
        inner = _words(_json(raw) or raw) if isinstance(raw, str) else ""
        return ": ".join(filter(None, (_words(body | {"metadata": None}), inner)))
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    return str(body or "")


def retry_after(headers: Mapping[str, str], *, now: float) -> float:
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
