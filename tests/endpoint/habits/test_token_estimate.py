"""A zero that is no measurement binds no budget; a prompt that is cut silently is found."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from agent_r.actor import Message
from agent_r.endpoint.budget import Budget, Budgeted
from agent_r.endpoint.habits.token_estimate import CutPrompts
from agent_r.errors import BudgetSpent
from agent_r.settings import BudgetConfig, OpenAIEndpoint
from tests.support.faulty_endpoint import PARAMS, Bench, Fault, Received, bench

ASKED = [Message("user", "x" * 400)]


def reply(usage: Any, text: str = "y" * 80) -> Fault:
    page: dict[str, Any] = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    return Fault(body=json.dumps(page if usage == "none" else page | {"usage": usage}))


UNCOUNTED = {
    "none": "none",
    "null": None,
    "empty": {},
    "zeros": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "words": {"prompt_tokens": "many", "completion_tokens": None},
    "negative": {"prompt_tokens": -1, "completion_tokens": -1},
    "other names": {"input": 90, "output": 12},
    "a list": [],
}


@pytest.mark.parametrize("usage", UNCOUNTED.values(), ids=UNCOUNTED)
async def test_tokens_that_are_not_counted_are_estimated_and_it_is_said_once(
    usage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "agent_r")
    async with bench(lambda r: reply(usage)) as (client, _):
        for _ in range(2):
            [said] = await client.actor.complete(ASKED, n=1, params=PARAMS)
        spent = client.actor.usage
    assert (said.prompt_tokens, said.completion_tokens) == (104, 20)
    assert (spent.prompt_tokens, spent.completion_tokens, spent.estimated) == (208, 40, 2)
    assert [r.message.count("estimated from characters") for r in caplog.records] == [1]


NAMES = {
    "Anthropic": {"input_tokens": 90, "output_tokens": 12},
    "Gemini": {"promptTokenCount": 90, "candidatesTokenCount": 12},
    "numbers as texts": {"prompt_tokens": "90", "completion_tokens": "12"},
    "fractions": {"prompt_tokens": 90.0, "completion_tokens": 12.0},
}


@pytest.mark.parametrize("usage", NAMES.values(), ids=NAMES)
async def test_other_names_and_kinds_of_the_same_counts_are_read(usage: Any) -> None:
    async with bench([reply(usage)]) as (client, _):
        [said] = await client.actor.complete(ASKED, n=1, params=PARAMS)
    assert (said.prompt_tokens, said.completion_tokens) == (90, 12)
    assert client.actor.usage.estimated == 0


async def test_what_the_server_has_counted_gives_the_characters_of_a_token() -> None:
    counted = reply({"prompt_tokens": 200, "completion_tokens": 40})
    async with bench([counted, reply(None)]) as (client, _):
        for _ in range(2):
            [said] = await client.actor.complete(ASKED, n=1, params=PARAMS)
    assert (said.prompt_tokens, said.completion_tokens) == (204, 40)


async def test_sampled_tokens_alone_are_estimated_where_they_alone_are_missing() -> None:
    async with bench([reply({"prompt_tokens": 100, "completion_tokens": 0})]) as (client, _):
        [said] = await client.actor.complete(ASKED, n=1, params=PARAMS)
    assert (said.prompt_tokens, said.completion_tokens) == (100, 20)
    assert client.actor.usage.estimated == 1


async def test_an_empty_reply_that_costs_nothing_is_no_estimate() -> None:
    nothing = reply({"prompt_tokens": 100, "completion_tokens": 0}, "")
    async with bench([nothing] * 4, attempts=9) as (client, _):
        await client.actor.complete(ASKED, n=1, params=PARAMS)
    assert client.actor.usage.estimated == client.actor.usage.completion_tokens == 0


async def test_a_tokenizer_that_is_known_counts_and_is_loaded_when_it_is_needed() -> None:
    loaded: list[str] = []

    def load() -> Any:
        loaded.append("now")
        return lambda messages: 7 * len(messages)

    counted = reply({"prompt_tokens": 200, "completion_tokens": 40})
    async with bench([counted, reply(None), reply(None)], tokenizer=load) as (client, _):
        await client.actor.complete(ASKED, n=1, params=PARAMS)
        assert loaded == []
        for _ in range(2):
            [said] = await client.actor.complete(ASKED, n=1, params=PARAMS)
    assert said.prompt_tokens == 7 and loaded == ["now"]


async def test_a_budget_ends_a_run_whose_server_counts_nothing() -> None:
    async with bench(lambda r: reply(None)) as (client, server):
        actor = client.actor
        endpoint = OpenAIEndpoint(base_url=server.base_url, model="tiny")
        budget = Budget(BudgetConfig(tokens=1_000), endpoint, actor.usage)
        with pytest.raises(BudgetSpent, match=r"budget\.tokens"):
            for _ in range(100):
                await Budgeted(actor, budget).complete(ASKED, n=1, params=PARAMS)
    assert len(server.completions) == 8  # of 124 tokens each


def episode(turns: int, opening: str = "Goal") -> list[Message]:
    first = [Message("system", "Act. " * 100), Message("user", opening + " text" * 300)]
    return first + [Message("user", "Seen. " * 100)] * turns


async def play(client: Bench, turns: int, opening: str = "Goal") -> None:
    for length in range(turns):
        await client.actor.complete(episode(length, opening), n=1, params=PARAMS)


def counting(num_ctx: int, *, cached: bool = False) -> Any:
    """Ollama's way: the oldest turns are left out until the rest fits, without a word."""
    seen: list[int] = [0]

    def fault(received: Received) -> Fault | None:
        if received.path.endswith("/models"):
            return None
        sizes = [len(turn["content"]) // 4 for turn in received.body["messages"]]
        while sum(sizes) > num_ctx and len(sizes) > 2:
            sizes.pop(1)
        tokens = sum(sizes)
        if cached:
            tokens, seen[0] = max(tokens - seen[0], 1), tokens
        return reply({"prompt_tokens": tokens, "completion_tokens": 20})

    return fault


async def test_a_prompt_that_is_cut_silently_is_found_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "agent_r")
    async with bench(counting(2048)) as (client, _):
        await play(client, 40)
        assert 1_800 < client.actor.reads_at_most <= 2048
    [line] = [r.message for r in caplog.records]
    assert "cuts the rest without a word" in line and "num_ctx" in line


@pytest.mark.parametrize("cached", [False, True], ids=["long enough", "cached tokens left out"])
async def test_a_server_that_reads_all_is_not_suspected(
    cached: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "agent_r")
    async with bench(counting(100_000, cached=cached)) as (client, _):
        await play(client, 40)
        await play(client, 3, "Another")
        assert client.actor.reads_at_most == 0
    assert caplog.records == []


def test_texts_of_another_density_are_no_cut_prompts() -> None:
    seen = CutPrompts()
    assert seen.see([{"role": "user", "content": "maze"}], 3_000, 1_500) is None
    for k in range(9):
        assert seen.see([{"role": "user", "content": str(k)}], 6_000, 1_500) is None
