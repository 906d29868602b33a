"""A served model that plays TextCraft: the expert with seeded mistakes, by the model's name."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from agent_r.actor import Message, SamplingParams
from agent_r.settings import ScriptedEndpoint, TextCraftEnv
from env_adapters.textcraft.scripted import ScriptedCrafter

T = TypeVar("T")


def crafting(rate_of: Callable[[str], float]) -> Callable[[dict[str, Any], int], str]:
    """What a server says, for `FaultyEndpoint`; the share of mistakes is by the model's name."""

    def says(body: dict[str, Any], place: int) -> str:
        messages = [Message(m["role"], m["content"]) for m in body["messages"]]
        actor = ScriptedCrafter(ScriptedEndpoint(error_rate=rate_of(body["model"])), TextCraftEnv())
        params = SamplingParams(seed=body.get("seed", 0))
        return _ended(actor.complete(messages, n=place + 1, params=params))[place].text

    return says


def _ended(coroutine: Coroutine[Any, Any, T]) -> T:
    """The value of a coroutine that waits for nothing."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as end:
            value: T = end.value
            return value
