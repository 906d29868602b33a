"""Conversations as text, in the form that the model's chat template gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from trl.chat_template_utils import get_training_chat_template

from agent_r.training.script.script_settings import Refusal
from agent_r.training.script.version_rows import THOUGHT, Messages, is_trained

EMPTY = re.compile(r"<think>\s*</think>\s*")
OPENED = re.compile(r"<think>\s*$")


@dataclass(frozen=True)
class Rendering:
    """How conversations become text.

    `source` is a chat template, None for the tokenizer's own; `fold`: the instruction goes into the
    first user turn, where a template knows no system; `field`: reasoning is handed over beside the
    reply (gpt-oss); `whole`: what comes later changes nothing that came before, so that a whole
    conversation goes through the model once. Where it does, each reply is a row of its own.
    """

    tokenizer: Any
    source: str | None
    fold: bool = False
    field: bool = False
    whole: bool = True

    def text(self, messages: Messages, *, prompt: bool = False) -> str:
        """A conversation as the model reads it; `prompt`: up to where a reply begins."""
        turns = [{"role": m["role"], "content": m["content"]} for m in messages]
        if self.fold:
            turns = without_system(turns)
        if self.field:
            turns = [thought_apart(turn) for turn in turns]
        try:
            text = self.tokenizer.apply_chat_template(
                turns, chat_template=self.source, tokenize=False, add_generation_prompt=prompt
            )
        except (TemplateError, TypeError) as error:
            words = str(error).split("\n")[0]
            raise Refusal(f"the model's chat template refuses: {words}") from error
        text = EMPTY.sub("", text)  # no empty block of reasoning is trained
        return OPENED.sub("", text) if prompt else text

    def keeps(self, thought: str) -> bool:
        """Whether it renders every turn whole and for good, and reasoning before each reply."""
        turns = [SYSTEM, ASK, reply(thought), ASK, reply(thought)]
        try:
            before = [self.text(turns[:2], prompt=True), self.text(turns[:4], prompt=True)]
            after = [self.text(turns[:3]), self.text(turns)]
        except Refusal:
            return False
        spans = [end[len(start) :] for start, end in zip(before, after, strict=True)]
        return (
            all(end.startswith(start) for start, end in zip(before, after, strict=True))
            and after[1].startswith(after[0])
            and all(text.count(SYSTEM["content"]) == 1 for text in before)
            and all(span.count(ANSWER) == 1 for span in spans)
            and (not thought or all(span.count(thought) == 1 for span in spans))
            and all(span.count("<think>") == span.count("</think>") for span in spans)
        )

    def shows(self, turns: Messages, words: str) -> bool:
        """Whether those words are in what the model reads."""
        with suppress(Refusal):
            return words in self.text(turns)
        return False


SYSTEM = {"role": "system", "content": "An instruction."}
ASK = {"role": "user", "content": "What now?"}
ANSWER, THINKING = "Action: look", "A thought of its own."


def reply(thought: str) -> dict[str, Any]:
    """As a reasoning model writes it."""
    content = f"<think>\n{thought}\n</think>\n\n{ANSWER}" if thought else ANSWER
    return {"role": "assistant", "content": content}


def without_system(turns: Messages) -> Messages:
    """The instruction as the beginning of the first user turn."""
    if turns[0]["role"] != "system" or len(turns) < 2:
        return turns
    first = turns[1] | {"content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
    return [first, *turns[2:]]


def thought_apart(turn: dict[str, Any]) -> dict[str, Any]:
    """A reply with its reasoning in a field of its own."""
    found = THOUGHT.match(turn["content"])
    if turn["role"] != "assistant" or not found:
        return turn
    return turn | {"thinking": found[1].strip(), "content": turn["content"][found.end() :]}


def rendering_for(tokenizer: Any, rows: Sequence[Messages]) -> Rendering:
    """The model's own template where it will do, else TRL's for training, else reply by reply."""
    thinks = any(THOUGHT.match(m["content"]) for c in rows for m in c if is_trained(m))
    thought = THINKING if thinks else ""
    apart = Rendering(tokenizer, None, field=True)
    field = apart.shows([ASK, reply(THINKING)], THINKING) and thinks
    sources = [None]
    with suppress(ValueError):  # TRL knows no other for this model
        sources.append(get_training_chat_template(tokenizer))
    for source in sources:
        for fold in (False, True):
            found = Rendering(tokenizer, source, fold, field)
            if found.keeps(thought):
                return found
    takes_system = Rendering(tokenizer, None).shows([SYSTEM, ASK], SYSTEM["content"])
    return Rendering(tokenizer, None, not takes_system, field, whole=False)
