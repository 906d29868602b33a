"""An overflow without a word of it is found by the server's own limit, and by trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from agent_r.actor import Message
from agent_r.endpoint.habits.conversation_trial import shortened
from agent_r.endpoint.habits.server_limit import context_limit
from agent_r.errors import ContextOverflow, ConversationRefused, EndpointUnavailable
from tests.support.faulty_endpoint import PARAMS, Bench, Fault, Received, bench, refusal


def episode(steps: int) -> list[Message]:
    """A conversation that is 600 characters longer for each step."""
    turns = [Message("system", "Act."), Message("user", "Goal: a bowl." + " Rule." * 100)]
    for _ in range(steps):
        turns += [Message("assistant", "Action: look"), Message("user", "A room. " * 75)]
    return turns


def holding(chars: int, said: Fault) -> Any:
    """Refuses what is longer, and a list of models, without a word of why."""

    def fault(received: Received) -> Fault | None:
        if received.path.endswith("/models"):
            return refusal(404)
        sent = sum(len(turn["content"]) for turn in received.body["messages"])
        return said if sent > chars else None

    return fault


async def play(client: Bench, steps: int) -> None:
    for length in range(steps + 1):
        await client.actor.complete(episode(length), n=2, params=PARAMS)


SILENT = {
    "Bad Request": refusal(400, "Bad Request"),
    "an empty body": Fault(400, ""),
    "nginx": Fault(413, "<html><h1>413 Request Entity Too Large</h1>nginx</html>"),
    "a broken server": refusal(500, "Internal Server Error"),
    "a stack trace": refusal(500, "IndexError: index out of bounds: the len is 4096"),
    "another language": refusal(422, "Die Eingabe passt nicht"),
}


@pytest.mark.parametrize("said", SILENT.values(), ids=SILENT)
async def test_an_overflow_without_words_ends_the_episode_and_is_known_the_next_time(
    said: Fault,
) -> None:
    async with bench(holding(6_000, said), attempts=4) as (client, server):
        with pytest.raises(ContextOverflow):
            await play(client, 30)
        assert await client.ask() is not None
        before = len(server.completions)
        with pytest.raises(ContextOverflow):
            await client.actor.complete(episode(30), n=2, params=PARAMS)
        again = server.completions[before:]
    assert len(again) <= 3  # a refusal and a harmless one, or two of what may pass
    assert client.actor.folds == []


async def test_a_policy_refuses_the_short_as_well_and_is_no_overflow() -> None:
    def fault(received: Received) -> Fault | None:
        return refusal(400, "no") if "bomb" in str(received.body.get("messages")) else None

    async with bench(fault) as (client, _):
        await play(client, 3)
        with pytest.raises(ConversationRefused) as caught:
            await client.actor.complete(
                [*episode(9), Message("assistant", "Action: look"), Message("user", "A bomb.")],
                n=1, params=PARAMS,
            )  # fmt: skip
    assert not isinstance(caught.value, ContextOverflow)


async def test_a_server_that_is_broken_for_all_is_no_overflow() -> None:
    broken = refusal(500, "no GPU")
    async with bench(lambda _: broken, attempts=4, patience_s=1.0) as (client, _):
        with pytest.raises(EndpointUnavailable, match="no GPU"):
            await client.actor.complete(episode(9), n=1, params=PARAMS)


async def test_a_server_that_comes_back_in_the_meantime_is_no_overflow() -> None:
    async with bench([refusal(500)] * 2, attempts=4) as (client, _):
        replies = await client.actor.complete(episode(9), n=1, params=PARAMS)
    assert [reply.text for reply in replies] == ["reply 7"]


def test_the_shortened_conversation_keeps_the_opening_and_the_last_turn() -> None:
    turns = [{"role": one.role, "content": one.content} for one in episode(9)]
    short = shortened(turns)
    assert [turn["role"] for turn in short] == ["system", "user"]
    assert short[1]["content"].startswith("Goal") and short[1]["content"].endswith("A room. ")
    assert sum(len(turn["content"]) for turn in short) < 1_500


SERVERS: dict[str, tuple[dict[str, Any], int | None]] = {
    # vllm: entrypoints/openai/protocol.py, ModelCard
    "vLLM": ({"/v1/models": {"data": [{"id": "tiny", "max_model_len": 8192}]}}, 8192),
    "another model's": ({"/v1/models": {"data": [{"id": "big", "max_model_len": 8192}]}}, None),
    # openrouter.ai/docs: models
    "OpenRouter": (
        {"/v1/models": {"data": [{"id": "tiny", "top_provider": {"context_length": 4096}}]}},
        4096,
    ),
    "Groq": ({"/v1/models": {"data": [{"id": "tiny", "context_window": 131072}]}}, 131072),
    "Mistral": ({"/v1/models": {"data": [{"id": "tiny", "max_context_length": 32768}]}}, 32768),
    # llama.cpp: tools/server/README.md, GET /props
    "llama.cpp": (
        {
            "/v1/models": {"data": [{"id": "tiny", "meta": {"n_ctx_train": 131072}}]},
            "/props": {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4},
        },
        4096,
    ),
    # ollama: docs/api.md, GET /api/ps and POST /api/show
    "Ollama, running": (
        {"/api/ps": {"models": [{"name": "tiny:latest", "context_length": 4096}]}},
        4096,
    ),
    "Ollama, a model's file": (
        {
            "/api/ps": {"models": []},
            "/api/show": {
                "parameters": 'stop "<|eot|>"\nnum_ctx                        2048',
                "model_info": {"llama.context_length": 131072},
            },
        },
        2048,
    ),
    # lmstudio.ai/docs: REST API v0
    "LM Studio": (
        {
            "/api/v0/models": {
                "data": [
                    {"id": "tiny", "max_context_length": 131072, "loaded_context_length": 4096}
                ]
            }
        },
        4096,
    ),
    "odd pages": ({"/v1/models": [1, {"id": 7}], "/props": {"n_ctx": "many"}, "/api/ps": 3}, None),
    "no page": ({}, None),
}


@pytest.mark.parametrize(("pages", "limit"), SERVERS.values(), ids=SERVERS)
async def test_a_servers_own_limit_is_read_where_it_says_so(
    pages: dict[str, Any], limit: int | None
) -> None:
    async def fetch(url: str, body: Mapping[str, str] | None) -> str:
        path = url.removeprefix("http://server")
        assert (body is not None) == (path == "/api/show")
        return json.dumps(pages[path]) if path in pages else "<html>404</html>"

    assert await context_limit(fetch, "http://server/v1/", "tiny") == limit


async def test_what_is_longer_than_the_servers_own_limit_needs_no_trial() -> None:
    def fault(received: Received) -> Fault | None:
        if received.path.endswith("/models"):
            return Fault(body='{"data": [{"id": "tiny", "max_model_len": 1000}]}')
        sent = sum(len(turn["content"]) for turn in received.body["messages"])
        return refusal(400, "no") if sent > 4_000 else None

    usage = Message("user", "x" * 40)  # ten tokens, as the server counts
    async with bench(fault) as (client, server):
        await client.actor.complete([usage], n=1, params=PARAMS)
        before = len(server.completions)
        with pytest.raises(ContextOverflow):
            await client.actor.complete([Message("user", "y" * 9_000)], n=1, params=PARAMS)
    assert len(server.completions) == before + 2  # it, and the harmless one
