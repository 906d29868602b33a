"""Find out by trial what of a conversation a server does not take: its turns, or its length.

The words of a refusal may say neither. What is tried is the same conversation, folded, and then
shortened: where that is answered, the reason is known, once for a run.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from agent_r.endpoint.habits.template_folds import Folding
from agent_r.reading.folding import Fold, folded

Body: TypeAlias = dict[str, Any]
Verdict: TypeAlias = Literal["folded", "too long", ""]
FOLDED: Literal["folded"] = "folded"
LONG: Literal["too long"] = "too long"
LEAST_CHARS = 2_000  # no context is so small that fewer are too many for it
_NEARLY = 0.9  # of a length that was answered: estimates of tokens are no better


class ConversationTrial:
    """Tries a refused conversation in other shapes.

    Args:
        answers: whether a request is answered.
        room: the characters that the server's context holds, about; None where it does not say.
    """

    def __init__(
        self,
        folding: Folding,
        answers: Callable[[Body], Awaitable[bool]],
        room: Callable[[], Awaitable[float | None]],
    ) -> None:
        self._folding, self._answers, self._room = folding, answers, room
        self._longest = 0  # characters of a conversation that was answered
        self._too_long: dict[str, int] = {}  # by a refusal's words: from how many characters on

    def answered(self, body: Body, folds: Sequence[Fold]) -> None:
        """Note that this one is taken, and that it is since it was folded so."""
        for fold in folds:
            self._folding.adopt(fold)
        self._longest = max(self._longest, chars_of(body["messages"]))
        self._folding.answered(body["messages"])

    def suspects(self, body: Body) -> bool:
        """Whether there is anything to be tried."""
        return self._is_long(body["messages"]) or bool(self._folding.untried(body["messages"]))

    def _is_long(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Longer than any that was taken, about."""
        return chars_of(messages) > max(_NEARLY * self._longest, LEAST_CHARS)

    async def verdict(self, words: str, asked: Body, *, passing: bool) -> Verdict:
        """Why this conversation is refused; "" where it is neither.

        Args:
            words: the server's; where it said the same of one too long, that is known.
            passing: the failure may pass by itself, so that the whole is tried once more.
        """
        messages: Sequence[Mapping[str, Any]] = asked["messages"]
        chars, words = chars_of(messages), re.sub(r"\d+", "", words)
        if chars >= self._too_long.get(words, chars + 1):
            return LONG
        for fold in self._folding.untried(messages):
            turns = folded(messages, [fold])
            if await self._answers(asked | {"messages": turns}):
                if passing and await self._answers(asked):
                    return ""
                self._folding.adopt(fold)
                return FOLDED
        if not self._is_long(messages):
            return ""
        room = await self._room()
        certain = room is not None and chars * _NEARLY > room
        if not certain and not await self._answers(asked | {"messages": shortened(messages)}):
            return ""
        if passing and await self._answers(asked):
            return ""
        self._too_long[words] = min(chars, self._too_long.get(words, chars))
        return LONG


def chars_of(messages: Sequence[Mapping[str, Any]]) -> int:
    """Characters of all turns."""
    return sum(len(turn["content"]) for turn in messages)


def shortened(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A conversation's opening and its last turn as one; less of each, where it has no more.

    >>> shortened([{"role": "user", "content": "Hello there!"}])
    [{'role': 'user', 'content': 'Hel'}]
    """
    users = [place for place, turn in enumerate(messages) if turn["role"] == "user"]
    first = users[0] if users else 0
    opening = [dict(turn) for turn in messages[: first + 1]]
    if len(users) > 1:
        opening[-1]["content"] += "\n\n" + messages[users[-1]]["content"]
    if 2 * chars_of(opening) > chars_of(messages):
        opening = [t | {"content": t["content"][: max(len(t["content"]) // 4, 1)]} for t in opening]
    return opening
