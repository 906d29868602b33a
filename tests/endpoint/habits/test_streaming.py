"""Replies in pieces, and content in parts, are the same replies with the same usage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_r.endpoint.habits.streaming import demands_stream
from agent_r.errors import ContextOverflow, EndpointUnavailable
from tests.support.faulty_endpoint import Fault, Received, bench, refusal, texts

USAGE = {"prompt_tokens": 10, "completion_tokens": 3}


def events(*chunks: dict[str, Any] | str, end: str = "data: [DONE]\n\n") -> str:
    lines = [one if isinstance(one, str) else f"data: {json.dumps(one)}" for one in chunks]
    return "".join(f"{line}\n\n" for line in lines) + end


def delta(text: Any, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": text} | more, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [choice]}


LAST = {"choices": [], "usage": USAGE}
HELLO = [delta("", role="assistant"), delta("Hel"), delta("lo"), delta(None, finish="stop")]

STREAMS = {
    "OpenAI": events(*HELLO, LAST),
    "vLLM, usage in each chunk": events(*[one | {"usage": USAGE} for one in HELLO]),
    "DeepSeek, usage with the last choice": events(*HELLO[:3], HELLO[3] | {"usage": USAGE}),
    "Groq of old": events(*HELLO[:3], HELLO[3] | {"x_groq": {"usage": USAGE}}),
    "OpenRouter, comments": events(": OPENROUTER PROCESSING", *HELLO, ": …", LAST),
    "no space, carriage returns, names of events": events(*HELLO, LAST)
    .replace("data: ", "event: chunk\ndata:")
    .replace("\n", "\r\n"),
    "no mark of the end": events(*HELLO, LAST, end=""),
    "Mistral, parts": events(delta([{"type": "text", "text": "Hel"}]), delta("lo"), HELLO[3], LAST),
    "Perplexity, whole messages beside": events(
        *[
            {"choices": [one["choices"][0] | {"message": {"content": "Hel"}}]}
            for one in HELLO
        ],
        LAST,
    ),
    "whole messages alone": events(
        {"choices": [{"message": {"content": "Hel"}}]},
        {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": USAGE},
    ),
    "no index, odd lines between": events(
        "data: {half", "data: 7",
        *[{"choices": [{"delta": one["choices"][0]["delta"]}]} for one in HELLO],
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE},
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", STREAMS.values(), ids=STREAMS)
async def test_a_reply_in_pieces_is_the_same_reply_with_the_same_usage(text: str) -> None:
    async with bench([Fault(body=text)], stream="always") as (client, server):
        [reply] = await client.ask()
        usage = client.actor.usage
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")
    assert (reply.prompt_tokens, reply.completion_tokens) == (10, 3)
    assert (usage.requests, usage.prompt_tokens, usage.completion_tokens) == (1, 10, 3)
    assert usage.estimated == 0
    asked = server.completions[0].body
    assert asked["stream"] is True and asked["stream_options"] == {"include_usage": True}


async def test_several_replies_and_reasoning_come_interleaved() -> None:
    text = events(
        delta(None, 1, reasoning_content="Hm"), delta("a", 0),
        delta(None, 1, reasoning_content="m."),
        delta("b", 1), delta("A", 0, "stop"), delta("B", 1, "length"), LAST,
    )  # fmt: skip
    async with bench([Fault(body=text)], stream="always") as (client, _):
        first, second = await client.ask(n=2)
    assert (first.text, first.finish_reason, first.reasoning) == ("aA", "stop", "")
    assert (second.text, second.finish_reason, second.reasoning) == ("bB", "length", "Hmm.")


BROKEN = {
    "cut off": events(*HELLO[:3], end=""),
    "no choices": events(),
    "an error inside": events(*HELLO[:2], {"error": {"message": "the engine died"}}),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
async def test_a_stream_that_breaks_off_is_asked_for_again(text: str) -> None:
    async with bench([Fault(body=text), Fault(body=STREAMS["OpenAI"])], stream="always") as (c, s):
        assert texts(await c.ask()) == ["Hello"]
        assert len(s.completions) == 2


async def test_an_error_inside_that_means_something_is_understood() -> None:
    said = events({"error": {"code": 400, "message": "context length is 8192, 9000 were given"}})
    async with bench(lambda _: Fault(body=said), stream="always") as (client, server):
        with pytest.raises(ContextOverflow):
            await client.ask()
    assert len(server.completions) == 1


async def test_a_stream_that_nobody_asked_for_is_read() -> None:
    async with bench([Fault(body=STREAMS["OpenAI"])]) as (client, server):
        assert texts(await client.ask()) == ["Hello"]
    assert "stream" not in server.completions[0].body


DEMANDS = {
    # DashScope, of QwQ and Qwen3
    "DashScope": "This model only support stream mode, please enable the stream parameter to "
    "access the model. ",
    "DashScope, thinking": "parameter.enable_thinking must be set to false for non-streaming calls",
    # gateways to ChatGPT's Codex
    "Codex": "Stream must be set to true",
    # docs.fireworks.ai
    "Fireworks": "Requests with max_tokens > 4096 must have stream=true",
    # Anthropic's SDKs, of long replies
    "Anthropic": "Streaming is required for operations that may take longer than 10 minutes",
    "a gateway": "non-streaming requests are not supported",
}


def streams_only(said: Fault) -> Any:
    def fault(received: Received) -> Fault | None:
        if received.path.endswith("/models"):
            return None
        return Fault(body=STREAMS["OpenAI"]) if received.body.get("stream") else said

    return fault


@pytest.mark.parametrize("words", DEMANDS.values(), ids=DEMANDS)
@pytest.mark.parametrize("status", [400, 500])
async def test_a_server_that_demands_a_stream_gets_it_from_then_on(words: str, status: int) -> None:
    async with bench(streams_only(refusal(status, words))) as (client, server):
        for _ in range(2):
            assert texts(await client.ask()) == ["Hello"]
    assert [bool(one.body.get("stream")) for one in server.completions] == [False, True, True]
    assert demands_stream(words)


async def test_without_a_word_of_it_a_stream_is_found_out_by_trial() -> None:
    async with bench(streams_only(refusal(400, "Bad Request"))) as (client, server):
        assert texts(await client.ask()) == ["Hello"]
        before = len(server.completions)
        assert texts(await client.ask()) == ["Hello"]
    assert len(server.completions) == before + 1


async def test_never_is_never() -> None:
    said = refusal(400, "Stream must be set to true")
    async with bench(streams_only(said), stream="never") as (client, server):
        with pytest.raises(Exception, match="Stream must be"):
            await client.ask()
    assert not any(one.body.get("stream") for one in server.completions)


async def test_a_server_without_stream_options_is_asked_without_them() -> None:
    def fault(received: Received) -> Fault | None:
        if "stream_options" in received.body:
            return refusal(400, "Unrecognized request argument supplied: stream_options")
        return Fault(body=events(*HELLO))

    async with bench(fault, stream="always") as (client, server):
        assert texts(await client.ask()) == ["Hello"]
        assert client.actor.usage.estimated == 1
    assert server.completions[-1].body["stream"] is True


PARTS = {
    "text parts": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}],
    "bare texts": ["Hel", "lo"],
    "OpenAI's Responses": [{"type": "output_text", "text": "Hello"}],
    "one part": {"type": "text", "text": "Hello"},
}


@pytest.mark.parametrize("content", PARTS.values(), ids=PARTS)
async def test_content_in_parts_is_their_text(content: Any) -> None:
    page = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}], "usage": USAGE}
    async with bench([Fault(body=json.dumps(page))]) as (client, _):
        assert texts(await client.ask()) == ["Hello"]


async def test_a_stream_that_always_breaks_is_unavailable_and_says_so() -> None:
    broken = Fault(body=BROKEN["cut off"])
    async with bench([broken] * 3, stream="always") as (client, _):
        with pytest.raises(EndpointUnavailable, match="a stream that broke off"):
            await client.ask()
