"""A real server on loopback that answers as real ones do: healthy models, and odd ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.responses import Response

from agent_r.algorithm.prompts import JUDGE
from tests.support.faulty_endpoint import Fault, FaultyEndpoint, Received, refusal


@dataclass(frozen=True, slots=True)
class Said:
    """One choice of a reply."""

    content: str | None
    finish_reason: str = "stop"
    reasoning: str | None = None  # sent as `reasoning_content`
    tokens: int = 20


Model: TypeAlias = Callable[[dict[str, Any], int], Said]


class OddEndpoint(FaultyEndpoint):
    """Serves one model.

    Args:
        model: what it says to a request's body, as the choice of that place.
        ignores: settings that change nothing: `n`, `seed`.
        refuses: settings that are answered with 400; `system` for a system message, and `policy`
            for any conversation with a goal.
        key: the only one that is let in; "": all are.
        context: characters of all messages, above which a request is refused; 0: none.
        delay_s: how long each completion takes.
    """

    def __init__(
        self,
        model: Model,
        *,
        ignores: Collection[str] = (),
        refuses: Collection[str] = (),
        key: str = "",
        context: int = 0,
        delay_s: float = 0.0,
    ) -> None:
        super().__init__(self._refusal, delay_s=delay_s)
        self._model, self._ignores, self._refuses = model, ignores, refuses
        self._key, self._context = key, context

    def _refusal(self, received: Received) -> Fault | None:
        body = received.body
        if self._key and received.headers.get("authorization") != f"Bearer {self._key}":
            return refusal(401, "Incorrect API key provided")
        for name in self._refuses:
            if name in body and (name != "n" or body["n"] > 1):
                return refusal(400, f"Unsupported parameter: '{name}' is not supported: only 1")
        instructed = any(message["role"] == "system" for message in body.get("messages", ()))
        if "system" in self._refuses and instructed:
            return refusal(400, "System role not supported")
        if "policy" in self._refuses and "Goal: " in json.dumps(body.get("messages")):
            return refusal(400, "The prompt violates our usage policy")
        sent = sum(len(message["content"]) for message in body.get("messages", ()))
        if self._context and sent > self._context:
            said = f"This model's maximum context length is {self._context} tokens"
            return refusal(400, said, code="context_length_exceeded")
        return None

    def _completion(self, asked: dict[str, Any], fault: Fault) -> Response:
        if "seed" in self._ignores:
            asked = asked | {"seed": next(self._unseeded)}
        n = 1 if "n" in self._ignores else asked.get("n", 1)
        said = [self._model(asked, place) for place in range(n)]
        page = {"object": "chat.completion", "choices": [], "usage": {}}
        page["choices"] = [_choice(place, one) for place, one in enumerate(said)]
        page["usage"] = {"prompt_tokens": 90, "completion_tokens": sum(s.tokens for s in said)}
        return Response(json.dumps(page), media_type="application/json")


def _choice(place: int, said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.content}
    if said.reasoning is not None:
        message["reasoning_content"] = said.reasoning
    return {"index": place, "message": message, "finish_reason": said.finish_reason}


def judges(body: dict[str, Any]) -> bool:
    """Whether a request asks for a judgement."""
    return bool(body["messages"][-1]["content"].endswith(JUDGE))


def healthy(body: dict[str, Any], place: int) -> Said:
    """Follows the format; other seeds say something else, equal ones the same."""
    if judges(body):
        return Said("It brought nothing new.\nJudgement: Bad")
    return Said(f"Thought: my number is {body.get('seed', 0) + place}.\nAction: inventory")


def always(content: str | None, finish_reason: str = "stop", **more: Any) -> Model:
    """A model that says one thing."""
    return lambda body, place: Said(content, finish_reason, **more)


BASE_MODEL = always("<|im_start|>user")
CUT = always("Thought: to craft this I have to think of all the things that", "length", tokens=128)
EMPTY = always("")
TALKER = always("I would love to help you with that! What would you like to craft?")
FILTERED = always("", "content_filter")


def thinker(body: dict[str, Any], place: int) -> Said:
    """Reasons in its content, its judgements too, as Qwen3 without a reasoning parser."""
    said = healthy(body, place)
    return Said(f"<think>\nWhat have I got?\n</think>\n\n{said.content}", tokens=60)


def parsed_thinker(body: dict[str, Any], place: int) -> Said:
    """Reasons in a field of its own, as vLLM with a reasoning parser."""
    return Said(healthy(body, place).content, reasoning="What have I got?", tokens=60)


def endless_thinker(body: dict[str, Any], place: int) -> Said:
    """All its tokens go into reasoning."""
    return Said("<think>\nWhat have I got? Let me see. First,", "length", tokens=128)


def json_actor(body: dict[str, Any], place: int) -> Said:
    """Acts in JSON."""
    if judges(body):
        return healthy(body, place)
    return Said(json.dumps({"thought": "I look.", "action": "inventory"}))
