"""One choice of a chat completion, as servers give it: its text, its reasoning, how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, model_validator

from agent_r.actor import Completion, encodable
from agent_r.grammar import REASONING
from agent_r.reading.reasoning import split_of
from agent_r.reading.reply import CUT, FAILED, MAX_TEXT_CHARS

# vLLM, DeepSeek, SGLang, llama.cpp; OpenRouter, Ollama, newer vLLM; some proxies.
_REASONING = ("reasoning_content", "reasoning", "thinking")


def _text(content: object) -> object:
    return encodable(content) if isinstance(content, str) else "" if content is None else content


class _Said(BaseModel):
    content: str = ""
    reasoning: str = ""
    broken: bool = False  # half characters were in it

    @model_validator(mode="before")
    @classmethod
    def _mend(cls, message: Any) -> Any:
        """A text, or a list of parts; a model's refusal in its own words is what it said."""
        if not isinstance(message, dict):
            return message
        content = message.get("content")
        thoughts = [thought for name in _REASONING if (thought := message.get(name))]
        if isinstance(content, dict):
            content = [content]
        if isinstance(content, list):
            parts = list(_parts(content))
            content = "".join(text for kind, text in parts if kind == "text")
            thoughts.append("".join(text for kind, text in parts if kind == "thinking"))
        if content is None and isinstance(message.get("refusal"), str):
            content = message["refusal"]
        whole = _text(content)
        broken = whole is not content and content is not None
        mended = {"content": whole, "broken": broken}
        for thought in thoughts:
            if isinstance(thought, str) and thought.strip():
                return mended | {"reasoning": encodable(thought)}
        return mended


def _parts(content: list[Any]) -> Iterator[tuple[str, str]]:
    """The texts among a message's parts, each with its kind: `text` or `thinking`."""
    for part in content:
        if isinstance(part, str):
            yield "text", part
        elif isinstance(part, dict):
            for kind in ("text", "thinking"):
                held = part.get(kind)
                if isinstance(held, list):
                    held = "".join(text for _, text in _parts(held))
                if isinstance(held, str):
                    named = str(part.get("type", kind))
                    yield ("thinking" if named in ("thinking", "reasoning") else kind), held


class Choice(BaseModel):
    """A message, and why it ends."""

    message: _Said
    finish_reason: Annotated[str, BeforeValidator(_text)] = ""

    @property
    def doubt(self) -> str:
        """What is odd about it; a text that tokens or a filter cut short is not."""
        text = self.message.content
        if self.finish_reason.lower() in FAILED:
            return "a reply that the server broke off"
        if not text and self.finish_reason in ("", "stop"):
            return "a reply without text"
        if len(text) > MAX_TEXT_CHARS:
            return f"a reply of more than {MAX_TEXT_CHARS:,} characters"
        return "a reply with broken characters" if self.message.broken else ""

    def completion(self, tags: tuple[str, ...] = ()) -> Completion:
        """The reply; reasoning in tags of the model's own is split off here."""
        text, reasoning = self.message.content, self.message.reasoning
        finish = "length" if len(text) > MAX_TEXT_CHARS else self.finish_reason or "stop"
        text = text[:MAX_TEXT_CHARS]
        if tags:
            split = split_of(text, (*REASONING, *tags), cut=finish in CUT)
            text, reasoning = split.answer, "\n".join(filter(None, (reasoning, split.reasoning)))
            finish = "length" if split.open and finish == "stop" else finish
        return Completion(text, finish, reasoning=reasoning)
