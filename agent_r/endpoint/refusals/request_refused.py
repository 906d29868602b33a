"""A refused request, as it can be understood: which of its settings the server complains of."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pydantic import SecretStr

from agent_r.endpoint.refusals.named_settings import (
    blames,
    by_structure,
    by_wording,
    settings_at,
)
from agent_r.errors import EndpointRejected

_SPENT_THINKING = re.compile(r"max_tokens or model output limit was reached", re.IGNORECASE)
_TOO_LARGE = re.compile(r"too (large|high|big)|at most|above|range|exceed|maximum|>", re.IGNORECASE)
_WANTS_REASONING = re.compile(
    r"\breasoning(_content)?\b.{0,80}\b(must|has to|should|needs? to) be (passed|sent|included)"
    r"|missing.{0,20}\breasoning_content",
    re.IGNORECASE,
)
_NO_REASONING = re.compile(
    r"reasoning_content.{0,80}(unsupported|not (supported|permitted|allowed)|extra_forbidden)"
    r"|extra_forbidden.{0,80}reasoning_content",
    re.IGNORECASE,
)


class RequestRefused(EndpointRejected):
    """The request is refused; `answer` is the server's whole answer: searched, never shown."""

    def __init__(
        self, message: str, *, status: int, answer: SecretStr, page: object = None
    ) -> None:
        super().__init__(message, status=status)
        self._answer = answer
        self._places: Sequence[str] = by_structure(page)

    @property
    def answer(self) -> str:
        return self._answer.get_secret_value()

    def settings(self, sent: Collection[str]) -> list[str]:
        """The settings of the body sent that are named, the likeliest first; none where none is."""
        return settings_at(self._places, sent) or by_wording(self.answer, sent)

    @property
    def blames_a_setting(self) -> bool:
        """Whether a server's error is a refusal: llama.cpp answers 500 to an `n` of 2."""
        return self.status == 501 or bool(self._places) or blames(self.answer)

    def number_below(self, value: int) -> int:
        """The largest number said to be the limit of a value that is too large; 0: none is said."""
        if not _TOO_LARGE.search(self.answer):
            return 0
        numbers = (int(number) for number in re.findall(r"(?<![\w.-])\d{2,9}\b", self.answer))
        return max((number for number in numbers if number < value), default=0)

    @property
    def wants_reasoning(self) -> bool:
        """Whether each turn must bring its reasoning along (DeepSeek, Kimi)."""
        return bool(_WANTS_REASONING.search(self.answer))

    @property
    def forbids_reasoning(self) -> bool:
        """Whether no turn may bring its reasoning along (Groq, Mistral)."""
        return not self.wants_reasoning and bool(_NO_REASONING.search(self.answer))

    @property
    def spent_thinking(self) -> bool:
        """OpenAI refuses after the fact where all tokens went into hidden reasoning."""
        return self.status == 400 and bool(_SPENT_THINKING.search(self.answer))
