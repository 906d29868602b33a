"""Tell from a server's words that a conversation is too long, and how many tokens are left to it.

No list of phrases can be complete: what is looked for is a name of the prompt, a word for excess
and a unit of length, in any order. The numbers tell more than the words: a limit is the smaller of
what was asked for and what there is.
"""

from __future__ import annotations

import re
from dataclasses import replace

from agent_r.actor import Completion
from agent_r.reading.reply import CONTEXT_FULL, CUT

FEWEST = 16  # tokens of a reply, below which it holds no action
MOST_SHRINKS = 4  # tries of one request with fewer tokens each time

# Where one of these is named there is no doubt, whatever the status.
_NAMED = re.compile(
    r"context_length_exceeded|exceed_context_size|context_?window_?exceeded|tokens_limit_reached"
    r"|string_above_max_length|model_max_prompt_tokens_exceeded"
    r"|context[ _-](length|size|window|limit)|context the overflows|length of context"
    r"|(maximum|max) (context|model|sequence|prompt|input)([ _-]\w+)? ?(length|len|tokens)"
    r"|model token limit|reduce (the length of|your) (the )?(messages?|prompt|inputs?)\b"
    r"|`inputs` (tokens \+|must have less than)|input token count|range of input length",
    re.IGNORECASE,
)
_PROMPT = r"(prompts?|inputs?|requests?|conversations?|messages|history|sequences?|tokens|context)"
_EXCESS = (
    r"(too (long|large|many|big)|exceed(s|ed|ing)?|(long|larg|great)er than|more than|over the"
    r"|overflow(s|ed)?|cannot exceed|should not exceed|at most|less than)"
)
_BETWEEN = r"\b(?:[^\w]+[\w.'-]+){0,8}?[^\w]+"
_TOO_MUCH = re.compile(
    rf"\b{_PROMPT}{_BETWEEN}{_EXCESS}\b|\b{_EXCESS}{_BETWEEN}{_PROMPT}\b", re.IGNORECASE
)
_UNIT = re.compile(
    r"\btokens?\b|\blength\b|\blong\b|\bcontext\b|\bwindow\b|max_?(input|seq|model)\w*|\bcharacters\b",
    re.IGNORECASE,
)
_OUT_OF_TIME = re.compile(r"per[ _-](min|day|hour|sec|month)|\b[tr]p[md]\b|rate.?limit|quota", re.I)
_NEVER = re.compile(r"request too large for|reduce your message size", re.IGNORECASE)
# About the reply's length alone: what is too much is our `max_tokens`.
_REPLY = re.compile(
    r"max_?(completion_|output_|new_)?tokens?|maximum tokens you requested|completion tokens"
    r"|output tokens",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.-])\d{1,3}(?:,\d{3})+(?![\w-]|\.\d)|(?<![\w.,-])\d+(?![\w-]|\.\d)")
_NOTHING_LEFT = re.compile(r"at least 1\b.{0,20}got -?\d", re.IGNORECASE)


def is_overflow(words: str, *, status: int) -> bool:
    """Whether a server's words mean that prompt, or prompt and reply, are longer than it can take.

    >>> is_overflow("Context size has been exceeded.", status=500)
    True
    >>> is_overflow("Limit of tokens per minute exceeded", status=429)
    False
    """
    if _NEVER.search(words):  # of a limit in time, but no time would be enough for it
        return status in (400, 413, 429)
    if _OUT_OF_TIME.search(words) or status in (401, 402, 404):
        return False
    if _NOTHING_LEFT.search(words) and _REPLY.search(words):
        return True
    if is_cap(words):
        return False
    if _NAMED.search(words):
        return True
    busy = status in (408, 409, 429, 502, 503, 504, 529)  # tokens may be too many in its queue
    return not busy and bool(_TOO_MUCH.search(words) and _UNIT.search(words))


def is_cap(words: str) -> bool:
    """Whether it is the reply alone that may not be as long as was asked for.

    >>> is_cap("max_tokens is too large: 9000. This model supports at most 4096 completion tokens")
    True
    """
    if not _REPLY.search(words) or _NOTHING_LEFT.search(words):
        return False
    return (
        len(_numbers(words)) <= 2 and bool(_LIMIT.search(words)) and not _PROMPT_TOO.search(words)
    )


_LIMIT = re.compile(
    r"less than or equal|at most|too (large|high|big)|exceed|range|<=|maximum|lower than|above"
    r"|> \d",
    re.IGNORECASE,
)
_PROMPT_TOO = re.compile(r"\b(prompt|inputs?|messages|total|sum|context length)\b", re.IGNORECASE)


def fewer_tokens(words: str, asked: int) -> int | None:
    """How many tokens a reply may still have, by what the server says; None: nothing fits.

    Without numbers it is a guess: a quarter of what was asked for.

    >>> fewer_tokens("at most 8192 tokens, but 8292 were requested (8036 in the messages, 256 in "
    ...              "the completion)", 256)
    156
    >>> fewer_tokens("prompt is too long: 9000 tokens > 8000 maximum", 256)
    """
    if _NOTHING_LEFT.search(words):
        return None
    left = _left(_numbers(words), asked)
    if "at least" in words:  # the server has counted no further than it had to
        left = min(left, asked // 2)
    return left if FEWEST <= left < asked else None


def _numbers(words: str) -> set[int]:
    """Whole numbers that stand alone: no part of a name, a version or a fraction."""
    return {int(found.replace(",", "")) for found in _NUMBER.findall(words)}


def _left(numbers: set[int], asked: int) -> int:
    """What the numbers leave; 0 where the prompt alone is too much."""
    named, others = asked in numbers, sorted(numbers - {asked})
    for total in reversed(others) if named else ():
        if (prompt := total - asked) in numbers:
            limit = max(numbers - {asked, total, prompt}, default=0)
            return limit - prompt
    if not others or (len(others) == 1 and others[0] >= asked):
        return asked // 4  # a guess
    if len(others) == 1:
        return others[0]
    *_, low, high = others
    # With the reply named apart the two are prompt and limit; else limit, and all that was asked.
    return high - low if named and high - low < asked else asked - (high - low)


class Room:
    """The tokens that one request asks its reply to have; fewer after each refusal for length."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._shrinks = 0
        self._words = ""

    def shrinks(self, words: str) -> bool:
        """Whether fewer tokens may do; a server that says the same again means the prompt."""
        fewer = fewer_tokens(words, self.tokens)
        if fewer is None or words == self._words or self._shrinks >= MOST_SHRINKS:
            return False
        self.tokens, self._words = fewer, words
        self._shrinks += 1
        return True

    def ended(self, replies: list[Completion]) -> list[Completion]:
        """Replies as they are; where what was left of the context did not do, their end says so."""
        if not self._shrinks:
            return replies
        return [
            replace(reply, finish_reason=CONTEXT_FULL)
            if reply.finish_reason.lower() in CUT
            else reply
            for reply in replies
        ]
