"""The actor interface: a language model that answers conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    reasoning: str = ""  # of the actor's own turn: sent back only to servers that demand it


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How a completion is drawn; `seed` makes it repeatable where the server honours it."""

    temperature: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled reply; `finish_reason` is the server's word (stop, length, …)."""

    text: str
    finish_reason: str = "stop"
    # What the server counted; a request's tokens are counted once, with its first reply.
    prompt_tokens: int = field(default=0, compare=False)
    completion_tokens: int = field(default=0, compare=False)
    reasoning: str = ""  # what the server gave apart; reasoning in the text is not yet split off


@dataclass(slots=True)
class Usage:
    """What an actor has cost so far, in requests and tokens."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt tokens, those the server did not compute again
    completion_tokens: int = 0
    estimated: int = 0  # requests whose tokens the server did not count, or not all

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: Usage) -> None:
        self.requests += other.requests
        self.retries += other.retries
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens
        self.completion_tokens += other.completion_tokens
        self.estimated += other.estimated


class Actor(Protocol):
    """A model behind an endpoint; it explores, and judges its own steps."""

    @property
    def name(self) -> str:
        """The model's name as the endpoint knows it."""
        ...

    @property
    def usage(self) -> Usage: ...

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        """Sample `n` replies to one conversation; fewer come back only if the server fails to.

        Raises:
            ConversationRefused: this one alone is refused, or does not fit (ContextOverflow): an
                episode ends there.
            EndpointRejected: the request is wrong and will stay so.
            EndpointUnavailable: retries are used up.
        """
        ...


class ActorAround:
    """The base of an actor that passes requests to another: its name and usage are the other's."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    @property
    def name(self) -> str:
        return self.actor.name

    @property
    def usage(self) -> Usage:
        return self.actor.usage


@dataclass(slots=True)
class Metered:
    """An actor whose requests and tokens are counted apart: what one tree alone has cost."""

    actor: Actor
    usage: Usage = field(default_factory=Usage)

    @property
    def name(self) -> str:
        return self.actor.name

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        self.usage.requests += 1
        replies = await self.actor.complete(messages, n=n, params=params)
        self.usage.prompt_tokens += sum(reply.prompt_tokens for reply in replies)
        self.usage.completion_tokens += sum(reply.completion_tokens for reply in replies)
        return replies


def encodable(text: str) -> str:
    """JSON can escape a lone surrogate, and no file can hold one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
