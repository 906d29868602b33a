"""Read one reply: find its action, and cut off what others are made to say in it.

docs/replies.md says it for readers. No text can make it fail, nor take more than linear time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from agent_r.actor import Completion
from agent_r.grammar import DEFAULT, Grammar
from agent_r.reading.reasoning import split_of, split_reasoning
from agent_r.reading.spellings import invented
from agent_r.reading.values import MAX_ACTION_CHARS, find, whole

__all__ = [
    "DEFAULT",
    "MAX_ACTION_CHARS",
    "MAX_TEXT_CHARS",
    "Grammar",
    "Outcome",
    "Reading",
    "answer",
    "parse_action",
    "read",
    "split_reasoning",
]

MAX_TEXT_CHARS = 100_000  # of one reply; a longer one is a model or a server gone wrong

# Marks of a model's own that a server left in its text: there a turn ends, or another begins.
_NAMED = r"</?s>|<eos>|<bos>|<pad>|<EOT>|\[EOS\]|\[/?INST\]|</?(?:start|end)_of_turn>|<turn\|>"
_NAMED += r"|(?<=[^\s-])assistant(?=\n\n)"  # a header whose marks were left out
_NAMED += r"|<[|｜][\w▁]{0,40}[|｜]?\Z"  # half a mark
_MARK = rf"(?:{_NAMED}|<[|｜](?!begin_of_box|end_of_box)[\w▁ /-]{{1,40}}[|｜]>)"
_MARKS = re.compile(_MARK)
_OWN_TURN = re.compile(
    r"\s*(?:<\|im_start\|>\s*assistant\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    r"|<start_of_turn>\s*model\b|<s>|<bos>|\[/INST\]|<\|(?:assistant|begin_of_text|begin_of_solution)\|>"
    r"|<｜(?:Assistant|begin▁of▁sentence)｜>|<\|start\|>\s*assistant)\s*"
)
# What servers call the end of a reply (`finish_reason`), where it is not the actor's own.
CONTEXT_FULL = "context_full"  # our word: cut not by our limit, but where the context ended
CUT = {"length", "max_tokens", "max_length", "max_output_tokens", "model_length", "incomplete"}
CUT |= {CONTEXT_FULL}
FILTERED = {"content_filter", "content-filter", "safety", "recitation", "prohibited_content"}
FILTERED |= {"blocklist", "spii", "refusal", "sensitive"}
FAILED = {"error", "failed", "abort", "aborted", "cancelled", "network_error", "timeout"}
FAILED |= {"insufficient_system_resource", "malformed_function_call"}


_REMEMBERED_CHARS = 2_000  # of a reply that is read once: a search plays its steps again and again
_AGAIN = 4  # what is left after a cut may be garbage that reads otherwise: until it does not


class Outcome(StrEnum):
    """What came of a reply; only the first two are the actor's doing."""

    ACTION = "action"
    NO_ACTION = "no action"
    CUT = "cut"  # the token limit ended it in the middle
    EMPTY = "empty"  # no text: reasoning alone, marks alone, or a call of a tool there is not
    FILTERED = "filtered"  # a provider's filter took it
    FAILED = "failed"  # the server's fault


_NOT_THE_ACTOR = (Outcome.CUT, Outcome.EMPTY, Outcome.FILTERED, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Reading:
    """A reply after reading: its outcome, text, action and reasoning.

    Args:
        text: the answer, without reasoning, cut after its action: what is stored, sent back and
            trained on. Read again, it says the same.
        action: what the world is sent; "" where the outcome is another.
    """

    outcome: Outcome
    text: str
    action: str
    reasoning: str


def read(completion: Completion, grammar: Grammar = DEFAULT) -> Reading:
    """Read one reply, as the server's `finish_reason` and the world's grammar say."""
    reading = _once(completion, grammar)
    if reading.outcome in _NOT_THE_ACTOR or reading.text == completion.text:
        return reading
    for _ in range(_AGAIN):
        again = _once(Completion(reading.text), grammar)
        if (again.text, again.action) == (reading.text, reading.action):
            break
        reading = replace(again, reasoning=_joined(reading.reasoning, again.reasoning))
    return reading


def _once(completion: Completion, grammar: Grammar) -> Reading:
    long = len(completion.text) > MAX_TEXT_CHARS
    finish = "length" if long else completion.finish_reason.lower()
    split = split_of(completion.text[:MAX_TEXT_CHARS], grammar.reasoning, cut=finish in CUT)
    own = _own_part(split.answer, grammar)
    more = len(own) < len(split.answer) or split.open
    reasoning = _joined(completion.reasoning, split.reasoning)
    if finish in FILTERED | FAILED:
        outcome = Outcome.FILTERED if finish in FILTERED else Outcome.FAILED
        return Reading(outcome, own.rstrip(), "", reasoning)
    found = find(own, grammar)
    if found is None:
        outcome = Outcome.CUT if finish in CUT or split.open else _unsaid(own)
        return Reading(outcome, own.rstrip(), "", reasoning)
    text, in_fence = whole(own, found)
    rest = own[found.end :]
    ended = found.closed or more or bool(rest.strip()) or ("\n" in rest and not in_fence)
    if finish in CUT and (found.open or not ended):
        return Reading(Outcome.CUT, own.rstrip(), "", reasoning)
    return Reading(Outcome.ACTION, text, found.action, reasoning)


def answer(completion: Completion, grammar: Grammar = DEFAULT) -> Reading:
    """Read a reply that answers a question, and holds no action: a judgement, say."""
    return read(completion, Grammar(labels=(), ends=(), reasoning=grammar.reasoning))


def parse_action(text: str, grammar: Grammar = DEFAULT) -> str:
    """The action in a reply's whole text, or "" where there is none; no text can make it fail.

    >>> parse_action("Thought: I need planks.\\nAction: get 1 oak log")
    'get 1 oak log'
    >>> parse_action("I would rather not.")
    ''
    """
    if len(text) > _REMEMBERED_CHARS:
        return read(Completion(text), grammar).action
    return _remembered(text, grammar)


@lru_cache(maxsize=1024)
def _remembered(text: str, grammar: Grammar) -> str:
    return read(Completion(text), grammar).action


def _own_part(answer: str, grammar: Grammar) -> str:
    """The answer up to where somebody else speaks, or a mark ends the turn."""
    while own := _OWN_TURN.match(answer):
        answer = answer[own.end() :]
    mark = _MARKS.search(answer)
    answer = answer[: mark.start()] if mark else answer
    return answer[: invented(answer, grammar)]


def _unsaid(text: str) -> Outcome:
    written = any(c.isprintable() and not c.isspace() for c in text)
    return Outcome.NO_ACTION if written else Outcome.EMPTY


def _joined(reported: str, found: str) -> str:
    """Reasoning from the server's field and from the text; some servers give it twice."""
    reported = reported.strip()
    return reported if not found or found == reported else f"{reported}\n{found}".strip()
