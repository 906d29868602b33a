"""Ask for a reply in pieces where a server gives none otherwise, and put the pieces together.

Read: OpenAI's chunks, and what vLLM, llama.cpp, Ollama, DeepSeek, Groq, OpenRouter and Mistral make
of them: comments that keep a connection alive, usage in each chunk or in the last, whole messages
in place of differences, an error in the middle.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, TypeAlias

from agent_r.settings import OpenAIEndpoint

_log = logging.getLogger(__name__)

# DashScope; gateways to OpenAI's Codex; Fireworks and Anthropic, of long replies.
_DEMANDED = re.compile(
    r"stream\w*.{0,40}(must|has to|need|required|recommended|mandatory)"
    r"|(must|only|requires?|please (enable|use|set)).{0,50}\bstream"
    r"|non.?stream\w*.{0,60}(not|n't|unsupported|false)|(not|n't) support.{0,20}non.?stream",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"\ufeff?\s*(data|event|id|retry)?:", re.IGNORECASE)
Answers: TypeAlias = Callable[[dict[str, Any]], Awaitable[bool]]
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning", "thinking")


def demands_stream(words: str) -> bool:
    """Whether a refusal means that the request must be streamed.

    >>> demands_stream("This model only support stream mode, please enable the stream parameter")
    True
    """
    return bool(_DEMANDED.search(words))


def streamed(body: dict[str, Any]) -> dict[str, Any]:
    """The same request for a reply in pieces, its usage included."""
    return body | {"stream": True, "stream_options": {"include_usage": True}}


def is_stream(text: str) -> bool:
    """Whether a body is a stream of events, asked for or not."""
    return bool(_BEGINS.match(text))


def assembled(text: str) -> dict[str, Any] | None:
    """The chat completion that a stream's chunks make up; its error, where it has one.

    None: it broke off. No chunk of it makes it fail.
    """
    choices: dict[int, dict[str, Any]] = {}
    usage: Any = None
    whole = False
    for chunk in _chunks(text):
        if chunk is None:
            whole = True
            break
        if chunk.get("error") or chunk.get("object") == "error":
            return {"error": chunk.get("error") or chunk}
        usage = _usage(chunk) or usage
        for place, piece in enumerate(_listed(chunk.get("choices"))):
            index = piece.get("index")
            at = index if isinstance(index, int) else place
            _add(choices.setdefault(at, {"index": at, "message": {}}), piece)
    ended = [one for one in choices.values() if one.get("finish_reason")]
    if not whole and len(ended) < max(len(choices), 1):
        return None
    return {"choices": [_joined(choices[at]) for at in sorted(choices)], "usage": usage}


def _chunks(text: str) -> Iterator[dict[str, Any] | None]:
    """The events' data; None for the mark of the end. What is no JSON is left out."""
    for line in text.splitlines():
        name, _, data = line.strip().partition(":")
        if name != "data":
            continue
        if data.strip() == "[DONE]":
            yield None
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(chunk, dict):
            yield chunk


def _usage(chunk: dict[str, Any]) -> Any:
    """OpenAI's place, or Groq's of old; the last one counts them all."""
    groq = chunk.get("x_groq")
    return chunk.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)


def _listed(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _add(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    """A difference is added; a whole message, where there is no difference, takes its place."""
    if reason := piece.get("finish_reason"):
        choice["finish_reason"] = reason
    delta = piece.get("delta")
    if not isinstance(delta, dict):
        if isinstance(piece.get("message"), dict):
            choice["message"] = {name: [held] for name, held in piece["message"].items()}
        elif isinstance(piece.get("text"), str):
            choice["message"].setdefault("content", []).append(piece["text"])
        return
    for name in _TEXTS:
        if (held := delta.get(name)) is not None:
            choice["message"].setdefault(name, []).append(held)


def _joined(choice: dict[str, Any]) -> dict[str, Any]:
    """Texts as one text; parts as one list of parts."""
    message: dict[str, Any] = {}
    for name, pieces in choice["message"].items():
        if all(isinstance(piece, str) for piece in pieces):
            message[name] = "".join(pieces)
        elif name in _TEXTS:
            lists = [piece if isinstance(piece, list) else [piece] for piece in pieces]
            message[name] = [part for parts in lists for part in parts]
    return choice | {"message": message}


class Streaming:
    """Whether requests are streamed: as set, or as a refusal has shown to be wanted.

    Args:
        who: the endpoint as messages name it.
    """

    def __init__(self, config: OpenAIEndpoint, who: str) -> None:
        self.on = config.stream == "always"
        self._may, self._who = config.stream == "auto", who
        self.found: list[str] = []  # in words

    def shaped(self, body: dict[str, Any], refused: Collection[str]) -> dict[str, Any]:
        """The request, streamed where that is wanted and none of it is refused."""
        if not self.on or "stream" in refused:
            return body
        more = streamed(body)
        return {name: value for name, value in more.items() if name not in refused}

    def demanded(self, words: str) -> bool:
        """Whether a refusal asks for it for the first time."""
        return self._may and not self.on and demands_stream(words) and self.begin()

    async def helps(self, body: dict[str, Any], answers: Answers) -> bool:
        """Whether a request that is refused, and still is, is answered in pieces."""
        if not self._may or self.on or not await answers(streamed(body)) or await answers(body):
            return False
        return self.begin()

    def begin(self) -> bool:
        """From now on; said once."""
        self.on = True
        self.found.append("gives replies in pieces alone: they are streamed from now on")
        _log.warning("%s %s", self._who, self.found[-1])
        return True
