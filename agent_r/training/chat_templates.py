"""Choose a chat template for training: one that renders every turn, reasoning included.

Qwen3's template adds an empty block to the last reply alone, and leaves out what was thought before
earlier ones; DeepSeek's opens a block in the generation prompt. Where reasoning is trained on and a
model's own template leaves it out, TRL has one for training for most models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_r.errors import TrainerError
from agent_r.reading.reasoning import with_reasoning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_EMPTY = re.compile(r"<think>\s*</think>\s*")
_OPENED = re.compile(r"<think>\s*$")
_THOUGHT = "a thought of its own"
REFUSED = (
    "the model's chat template renders earlier messages differently when later ones follow: it "
    "cannot be trained on message by message"
)
_LEFT_OUT = (
    "the model's chat template leaves reasoning out of earlier turns, and TRL knows no other for "
    "it: set dataset.reasoning = false, or train on the `prompt_completion` rows elsewhere"
)

Conversation = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Template:
    """What conversations are rendered with; `source` is None for the tokenizer's own."""

    tokenizer: PreTrainedTokenizerBase
    source: str | None = None

    def texts(self, conversations: Sequence[Conversation]) -> list[str]:
        """Whole conversations."""
        return [_EMPTY.sub("", text) for text in self._apply(conversations, prompt=False)]

    def prompts(self, conversations: Sequence[Conversation]) -> list[str]:
        """Conversations as they are before a reply."""
        texts = self._apply(conversations, prompt=True)
        return [_OPENED.sub("", _EMPTY.sub("", text)) for text in texts]

    def _apply(self, conversations: Sequence[Conversation], *, prompt: bool) -> list[str]:
        if not conversations:
            return []
        return list(
            self.tokenizer.apply_chat_template(
                list(map(list, conversations)),
                chat_template=self.source,
                tokenize=False,
                add_generation_prompt=prompt,
            )
        )

    def keeps(self, reasoning: str) -> bool:
        """Whether every reply is rendered whole and for good, with the reasoning before it."""
        reply = {"role": "assistant", "content": with_reasoning(reasoning, "Action: look")}
        ask = {"role": "user", "content": "What now?"}
        turns = [ask, reply, ask, reply]
        before, after = self.prompts([turns[:1], turns[:3]]), self.texts([turns[:2], turns])
        spans = [end[len(start) :] for start, end in zip(before, after, strict=True)]
        grown = all(end.startswith(start) for start, end in zip(before, after, strict=True))
        closed = reasoning.strip() == "" or all(
            span.count("<think>") == span.count("</think>") == span.count(reasoning) == 1
            for span in spans
        )
        return grown and closed and after[1].startswith(after[0])


def template_for(tokenizer: PreTrainedTokenizerBase, *, reasoning: bool) -> Template:
    """The tokenizer's own template where it will do, else TRL's for training.

    Raises:
        TrainerError: neither will.
    """
    thought = _THOUGHT if reasoning else ""
    own = Template(tokenizer)
    if own.keeps(thought):
        return own
    other = _for_training(tokenizer)
    if other is not None and other.keeps(thought):
        return other
    raise TrainerError(_LEFT_OUT if reasoning and own.keeps("") else REFUSED)


def _for_training(tokenizer: PreTrainedTokenizerBase) -> Template | None:
    from trl.chat_template_utils import get_training_chat_template  # costs seconds

    try:
        source = get_training_chat_template(tokenizer)
    except ValueError:
        return None
    return Template(tokenizer, source)
