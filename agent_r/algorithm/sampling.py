"""Sample an actor's replies to a conversation; where none can be used, how the episode ends.

A reply that the token limit cut, that a filter took, that the provider broke off or that is empty
is the server's doing: it becomes no step, is never sent back, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from agent_r.actor import Actor, Message, SamplingParams
from agent_r.algorithm.trajectory import StopReason
from agent_r.algorithm.tree import SearchTree
from agent_r.environment import Environment, Proofreading
from agent_r.errors import ContextOverflow, ConversationRefused
from agent_r.reading.reply import CONTEXT_FULL, Grammar, Outcome, Reading, read

USABLE = frozenset({Outcome.ACTION, Outcome.NO_ACTION})  # what the actor itself has said
MAX_SAMPLE_CHARS = 400  # of an odd reply that is kept for a person to look at
JUDGING, _AGAIN = 1, 104_729  # by these the seeds of a judge and of a second request differ

_ENDS = {
    Outcome.CUT: StopReason.CUT,
    Outcome.FILTERED: StopReason.FILTERED,
    Outcome.FAILED: StopReason.FAILED,
    Outcome.EMPTY: StopReason.NO_REPLY,
}


@dataclass(slots=True)
class Sampled:
    """The replies to one conversation; `stop` says why the episode ends, where none is usable."""

    all: list[Reading] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # theirs, verbatim: what a person looks at
    stop: StopReason | None = None
    calls: int = 0  # requests made
    refusal: ConversationRefused | None = None  # what the server said, where that is the stop

    @property
    def usable(self) -> list[Reading]:
        return [reading for reading in self.all if reading.outcome in USABLE]


async def sample(
    actor: Actor,
    messages: Sequence[Message],
    *,
    n: int,
    params: SamplingParams,
    grammar: Grammar,
) -> Sampled:
    """Ask for `n` replies; once more, with another seed, where all were lost and some were cut.

    Raises:
        EndpointError: no answer, or a refusal; that of this conversation alone, as of one that is
            too long, is data.
    """
    sampled = Sampled()
    for tried in (params, reseeded(params, 0, _AGAIN)):
        sampled.calls += 1
        try:
            replies = await actor.complete(messages, n=n, params=tried)
        except ContextOverflow:
            sampled.stop = StopReason.CONTEXT_OVERFLOW
            return sampled
        except ConversationRefused as refusal:
            sampled.stop, sampled.refusal = StopReason.REFUSED, refusal
            return sampled
        sampled.all += [read(reply, grammar) for reply in replies]
        sampled.texts += [reply.text for reply in replies]
        was_cut = any(reading.outcome is Outcome.CUT for reading in sampled.all)
        full = any(reply.finish_reason == CONTEXT_FULL for reply in replies)
        if full and not sampled.usable:
            sampled.stop = StopReason.CONTEXT_OVERFLOW  # which a longer reply would not mend
            return sampled
        if sampled.usable or not was_cut or tried.temperature == 0:
            break  # a filter would take it again, and the client has tried an empty one already
    if not sampled.usable:
        sampled.stop = _ENDS[sampled.all[0].outcome] if sampled.all else StopReason.NO_REPLY
    return sampled


def count(tree: SearchTree, sampled: Sampled) -> None:
    """Add replies to a tree's account; of each kind without an action, one is kept as a sample."""
    for reading, verbatim in zip(sampled.all, sampled.texts, strict=True):
        kind = reading.outcome.value
        tree.replies[kind] = tree.replies.get(kind, 0) + 1
        if reading.outcome in (Outcome.CUT, Outcome.EMPTY):
            tree.reasoned_away += bool(reading.reasoning) and not reading.text
        if reading.outcome is not Outcome.ACTION and kind not in tree.samples:
            tree.samples[kind] = (verbatim or reading.reasoning)[:MAX_SAMPLE_CHARS]


def reseeded(params: SamplingParams, index: int, offset: int = 0) -> SamplingParams:
    """A request of a node or a step draws from a seed of its own: a state may come again.

    >>> reseeded(SamplingParams(seed=1), 2).seed, reseeded(SamplingParams(), 2).seed
    (15839, None)
    """
    if params.seed is None:
        return params
    return replace(params, seed=(params.seed + 7919 * index + offset) % 2**31)


def is_misstated(env: Environment, prompt: str) -> Callable[[str], bool]:
    """Tells false words in an episode's replies; finds none where the world cannot.

    >>> from agent_r.testing import Corridor
    >>> is_misstated(Corridor(), "You are in a corridor.")("Thought: I fly.\\nAction: forward")
    False
    """
    if not isinstance(env, Proofreading):
        return lambda reply: False
    misstates = env.misstates
    return lambda reply: misstates(prompt, reply)


def distinct(readings: Iterable[Reading], misstated: Callable[[str], bool]) -> list[Reading]:
    """Those that act alike are one, worded as the first whose words are not false."""
    found: dict[str, Reading] = {}
    for reading in readings:
        action = normal(reading.action)
        if action not in found or (misstated(found[action].text) and not misstated(reading.text)):
            found[action] = reading
    return list(found.values())


def normal(action: str) -> str:
    """An action as it is compared: white space does not matter.

    >>> normal(" get 1  ash log ")
    'get 1 ash log'
    """
    return " ".join(action.split())
