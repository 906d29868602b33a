"""Choose a chat template for training: one that renders every turn, reasoning included.

Qwen3's template adds an empty block to the last reply alone, and leaves out what was thought before
earlier ones; DeepSeek's opens a block in the generation prompt. Where reasoning is trained on and a
model's own template leaves it out, TRL has one for training for most models. Where a template takes
no system message, or moves it (Gemma 2, Mistral), the instruction goes into the first user turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent_r.errors import TrainerError
from agent_r.loading import one_line
from agent_r.reading.folding import Fold, folded
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
    folds: tuple[Fold, ...] = ()

    def texts(self, conversations: Sequence[Conversation]) -> list[str]:
        """Whole conversations."""
        return [_EMPTY.sub("", text) for text in self._apply(conversations, prompt=False)]

    def prompts(self, conversations: Sequence[Conversation]) -> list[str]:
        """Conversations as they are before a reply."""
        texts = self._apply(conversations, prompt=True)
        return [_OPENED.sub("", _EMPTY.sub("", text)) for text in texts]

    def _apply(self, conversations: Sequence[Conversation], *, prompt: bool) -> list[str]:
        from jinja2 import TemplateError

        if not conversations:
            return []
        try:
            return list(
                self.tokenizer.apply_chat_template(
                    [folded(turns, self.folds) for turns in conversations],
                    chat_template=self.source,
                    tokenize=False,
                    add_generation_prompt=prompt,
                )
            )
        except TemplateError as refusal:
            raise TrainerError(f"the model's chat template refuses: {one_line(refusal)}") from None

    def refuses(self, conversation: Conversation) -> str:
        """Why this one cannot be rendered, in the template's own words; "" where it can be."""
        try:
            self.texts([conversation])
        except TrainerError as refusal:
            return str(refusal)
        return ""

    def keeps(self, reasoning: str) -> bool:
        """Whether every turn is rendered whole and for good, and reasoning before each reply."""
        system = {"role": "system", "content": "An instruction."}
        reply = {"role": "assistant", "content": with_reasoning(reasoning, "Action: look")}
        ask = {"role": "user", "content": "What now?"}
        turns = [system, ask, reply, ask, reply]
        if self.refuses(turns):
            return False
        before, after = self.prompts([turns[:2], turns[:4]]), self.texts([turns[:3], turns])
        spans = [end[len(start) :] for start, end in zip(before, after, strict=True)]
        grown = all(end.startswith(start) for start, end in zip(before, after, strict=True))
        closed = reasoning.strip() == "" or all(
            span.count("<think>") == span.count("</think>") == span.count(reasoning) == 1
            for span in spans
        )
        instructed = all(text.count(system["content"]) == 1 for text in before)
        return grown and closed and instructed and after[1].startswith(after[0])


def template_for(tokenizer: PreTrainedTokenizerBase, *, reasoning: bool) -> Template:
    """The tokenizer's own template where it will do, else TRL's for training.

    Raises:
        TrainerError: neither will.
    """
    thought = _THOUGHT if reasoning else ""
    own = _folded(Template(tokenizer))
    if (found := _first_that_keeps(thought, own)) is not None:
        return found
    if (found := _first_that_keeps(thought, _folded(_for_training(tokenizer)))) is not None:
        return found
    left_out = reasoning and _first_that_keeps("", own) is not None
    raise TrainerError(_LEFT_OUT if left_out else REFUSED)


def _folded(template: Template | None) -> list[Template]:
    return [template, replace(template, folds=("system",))] if template is not None else []


def _first_that_keeps(reasoning: str, templates: Sequence[Template]) -> Template | None:
    return next((one for one in templates if one.keeps(reasoning)), None)


def _for_training(tokenizer: PreTrainedTokenizerBase) -> Template | None:
    from trl.chat_template_utils import get_training_chat_template  # costs seconds

    try:
        source = get_training_chat_template(tokenizer)
    except ValueError:
        return None
    return Template(tokenizer, source)
