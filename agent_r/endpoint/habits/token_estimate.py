"""Estimate the tokens that a server does not count, and find out where it cuts prompts silently.

A prompt has tokens, and a text that was sampled has some: a zero there is no measurement. What a
server counts otherwise gives the characters of a token for what it leaves out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from agent_r.actor import Usage
from agent_r.endpoint.responses import Reply

CHARS_A_TOKEN = 4.0  # of English and code, where no server has counted any (OpenAI's rule of thumb)
A_TURN = 4  # tokens of a template around each turn, about
_GROWN = 1.5  # a conversation this much longer, with no more tokens, has been cut
_ALIKE = 0.05  # by how much counts of cut prompts may be above the longest that was whole
_MOST_CUT = 0.5  # a server that drops whole turns leaves at least so much; a cache leaves less
_WITNESSES = 3  # longer prompts with no more tokens, until it is said
LEAST_CONTEXT = 1_000  # tokens: no server's is smaller
_OPENINGS = 64  # conversations that are watched at once

_log = logging.getLogger(__name__)
Messages: TypeAlias = Sequence[Mapping[str, Any]]
Tokenizer: TypeAlias = Callable[[Sequence[dict[str, Any]]], int]  # of a whole conversation


class TokenEstimate:
    """Counts what a server does not.

    Args:
        who: the endpoint as messages name it.
        load: the model's own tokenizer, where it is known: seconds, that are often not needed.
    """

    def __init__(self, who: str, load: Callable[[], Tokenizer | None] | None = None) -> None:
        self._who, self._load = who, load
        self._tokenizer: Tokenizer | None = None
        self._chars = self._tokens = 0  # of prompts that the server counted
        self._warned = False
        self.cut_prompts = CutPrompts()

    def pay(self, usage: Usage, reply: Reply, messages: Messages) -> Reply:
        """Add a reply's tokens to the account; the reply, with those that were not counted."""
        chars = _chars(messages)
        missing = {}
        if reply.prompt_tokens:
            self._chars, self._tokens = self._chars + chars, self._tokens + reply.prompt_tokens
            if (cut := self.cut_prompts.see(messages, chars, reply.prompt_tokens)) is not None:
                _log.warning("%s %s", self._who, cut)
        else:
            missing["prompt_tokens"] = self._of_prompt(messages, chars)
        sampled = sum(len(c.message.content) + len(c.message.reasoning) for c in reply.choices)
        if not reply.completion_tokens and sampled:
            missing["completion_tokens"] = max(round(sampled / self.chars_a_token), 1)
        if missing:
            usage.estimated += 1
            reply = reply.model_copy(update=missing)
            self._tell()
        usage.prompt_tokens += reply.prompt_tokens
        usage.cached_tokens += reply.cached_tokens
        usage.completion_tokens += reply.completion_tokens
        return reply

    @property
    def chars_a_token(self) -> float:
        """As the server has counted so far; as texts mostly are, where it has counted nothing."""
        return self._chars / self._tokens if self._tokens else CHARS_A_TOKEN

    def _of_prompt(self, messages: Messages, chars: int) -> int:
        if self._load is not None:
            self._tokenizer, self._load = self._load(), None
        if self._tokenizer is not None:
            try:
                return self._tokenizer([dict(message) for message in messages])
            except Exception:  # noqa: BLE001 -- a stranger's template may refuse a turn
                self._tokenizer = None
        return max(round(chars / self.chars_a_token) + A_TURN * len(messages), 1)

    def _tell(self) -> None:
        if self._warned:
            return
        self._warned = True
        how = "with its tokenizer" if self._tokenizer else "from characters"
        _log.warning("%s does not count all tokens: they are estimated %s, and so are money and "
                     "a budget of tokens", self._who, how)  # fmt: skip


class CutPrompts:
    """Finds prompts that a server cuts to its context without a word (Ollama's `num_ctx`).

    Of one conversation the tokens stand still while its characters grow. A server that counts only
    what its cache does not hold is not meant: its counts fall far below, and are small.
    """

    def __init__(self) -> None:
        self.tokens = 0  # that the server reads at most; 0: nothing is cut, as far as is known
        self._longest: dict[int, tuple[int, int]] = {}  # by opening: tokens, and of how many chars
        self._witnesses = 0

    def see(self, messages: Messages, chars: int, tokens: int) -> str | None:
        """Note a prompt and its tokens; what to say, once."""
        if tokens < LEAST_CONTEXT or self.tokens:
            return None
        opening = hash(tuple(message["content"] for message in messages[:2]))
        most, of_chars = self._longest.pop(opening, (0, 0))
        if tokens > most * (1 + _ALIKE):
            self._witnesses = 0 if tokens > self._ceiling() * (1 + _ALIKE) else self._witnesses
            most, of_chars = tokens, chars
        elif chars >= _GROWN * of_chars and tokens >= _MOST_CUT * most:
            self._witnesses += 1
        self._longest[opening] = most, of_chars  # the latest is last
        if len(self._longest) > _OPENINGS:
            del self._longest[next(iter(self._longest))]
        if self._witnesses < _WITNESSES:
            return None
        self.tokens = self._ceiling()
        return (
            f"reads {self.tokens:,} tokens of a prompt at most, and cuts the rest without a word: "
            "the actor does not see its whole episode. Serve it with a longer context (Ollama "
            "num_ctx, LM Studio's context length), or lower search.max_depth"
        )

    def _ceiling(self) -> int:
        return max((tokens for tokens, _ in self._longest.values()), default=0)


def _chars(messages: Messages) -> int:
    return sum(len(message["content"]) for message in messages)
