"""Find out with a handful of requests how a server treats a request's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent_r.actor import Completion, Message, SamplingParams
from agent_r.endpoint.client import EndpointActor
from agent_r.endpoint.transport import Sent

SHORT = 64  # tokens, by which two samples of a text differ


@dataclass(frozen=True, slots=True)
class Manners:
    """How an endpoint behaves; None where it cannot be known."""

    sent: Sent | None  # a request in the shape of a run's, as it went out; its key is hidden
    refused: Sequence[str]  # settings that the server does not take
    found: Sequence[str]  # what was found out, in words: "does not take `seed`: …"
    choices: Sequence[Completion]  # that came of n = 2; none where `n` is refused
    repeats: bool | None  # two requests with equal seeds have equal replies
    varies: bool | None  # a request with another seed has another reply
    estimated: bool = False  # it does not count all tokens
    context: int | None = None  # tokens, where it says so

    @property
    def honours_seed(self) -> bool | None:
        """Replies that are always the same say nothing of the seed."""
        if self.repeats is False or "seed" in self.refused:
            return False
        return True if self.repeats and self.varies else None

    @property
    def alike(self) -> bool | None:
        """Whether every sample is the same reply, whatever its seed."""
        if self.varies is None:
            return None
        texts = {_text([choice]) for choice in self.choices}
        return bool(self.repeats) and not self.varies and len(texts) <= 1


async def observe(
    actor: EndpointActor, messages: Sequence[Message], params: SamplingParams
) -> Manners:
    """Ask for two replies at once, then for three short ones with two seeds.

    Raises:
        EndpointError: a request cannot be answered.
    """
    choices = await actor.once(messages, n=2, params=params)
    sent = actor.sent
    short = replace(params, temperature=1.0, max_tokens=min(params.max_tokens, SHORT))
    other = replace(short, seed=(short.seed or 0) + 1_000_003)
    first, second, third = [
        _text(await actor.once(messages, n=1, params=how)) for how in (short, short, other)
    ]
    has_text = bool(first or second or third)
    return Manners(
        sent=sent,
        refused=actor.refused,
        found=list(actor.learnt.lines),
        choices=choices,
        repeats=first == second if has_text else None,
        varies=first != third if has_text else None,
        estimated=bool(actor.usage.estimated),
        context=await actor.limit.tokens(),
    )


def _text(replies: Sequence[Completion]) -> str:
    return "\n".join(f"{reply.reasoning}{reply.text}" for reply in replies)
