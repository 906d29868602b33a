"""What the endpoint client asks of a server, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_r.actor import Actor, Completion, Message, SamplingParams
from agent_r.endpoint.client import EndpointActor
from agent_r.endpoint.oddities import STUBBORN
from agent_r.endpoint.retry import DOUBTS
from agent_r.errors import ContextOverflow, EndpointRejected
from agent_r.reading.reply import MAX_TEXT_CHARS
from agent_r.settings import OpenAIEndpoint
from tests.support.faulty_endpoint import (
    HANG,
    HELLO,
    KEY,
    LONE_SURROGATES,
    MEGABYTE,
    NULL_CONTENT,
    ONE_CHOICE,
    PARAMS,
    Fault,
    FaultyEndpoint,
    Received,
    bench,
    refusal,
    texts,
)
from tests.support.waiting import PATIENCE_S, soon


async def test_a_reply_is_the_servers_text_and_finish_reason() -> None:
    async with bench() as (client, server):
        actor: Actor = client.actor  # mypy holds the class to the protocol here
        asked = SamplingParams(temperature=0.5, max_tokens=9, stop=("\n",), seed=7)
        replies = await actor.complete(HELLO, n=2, params=asked)
        await client.ask(params=SamplingParams())
    assert replies == [Completion("reply 7"), Completion("reply 8")]
    assert server.completions[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.completions[0].body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["\n"],
        "seed": 7,
        "n": 2,
    }
    assert server.completions[1].body.keys().isdisjoint({"seed", "stop", "n"})


UNSUPPORTED = {
    "OpenAI, max_tokens": refusal(
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead.",
    ),
    "OpenAI, temperature": refusal(
        400,
        "Unsupported value: 'temperature' does not support 0.5 with this model. "
        "Only the default (1) value is supported.",
    ),
    "Moonshot, temperature": refusal(400, "invalid temperature: only 1 is allowed for this model"),
    "OpenAI, stop": refusal(400, "Unsupported parameter: 'stop' is not supported with this model."),
    "Gemini, seed": refusal(400, 'Invalid JSON payload received. Unknown name "seed".'),
    "Mistral, seed": Fault(
        422,
        '{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], '
        '"msg": "Extra inputs are not permitted", "input": 7}]}',
    ),
}
ALL_SET = SamplingParams(temperature=0.5, max_tokens=9, stop=("\n",), seed=7)
SETTINGS = {"temperature": 0.5, "max_tokens": 9, "stop": ["\n"], "seed": 7}


def settings_of(received: Received) -> dict[str, Any]:
    return {k: v for k, v in received.body.items() if k not in ("model", "messages", "n")}


@pytest.mark.parametrize(("who", "fault"), UNSUPPORTED.items(), ids=UNSUPPORTED.keys())
async def test_a_setting_the_model_does_not_take_is_left_out_from_then_on(
    who: str, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    setting = who.split(", ")[1]
    async with bench([fault]) as (client, server):
        assert len(await client.ask(n=2, params=ALL_SET)) == 2
        await client.ask(params=ALL_SET)
    limit = {"max_completion_tokens": 9} if setting == "max_tokens" else {}
    left = {k: v for k, v in SETTINGS.items() if k != setting} | limit
    assert [settings_of(r) for r in server.completions] == [SETTINGS, left, left]
    line = f"does not take `{setting}`: it is not sent again"
    if setting == "max_tokens":
        line = "takes `max_completion_tokens` in place of `max_tokens`"
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == [f"{client.actor!r} {line}"]


def takes_little(received: Received) -> Fault | None:
    """A reasoning model: one refusal for each setting it does not take."""
    return next((f for w, f in UNSUPPORTED.items() if w.split(", ")[1] in received.body), None)


async def test_calls_at_once_learn_all_that_a_model_does_not_take() -> None:
    async with bench(takes_little) as (client, server):
        await asyncio.gather(*(client.ask(params=ALL_SET) for _ in range(4)))
        tries = len(server.completions)
        await client.ask(params=ALL_SET)
    assert len(server.completions) == tries + 1
    assert settings_of(server.completions[-1]) == {"max_completion_tokens": 9}


async def test_a_setting_still_refused_when_it_is_left_out_ends_the_call() -> None:
    async with bench(lambda _: UNSUPPORTED["OpenAI, stop"]) as (client, server):
        with pytest.raises(EndpointRejected, match="'stop' is not supported"):
            await client.ask(params=ALL_SET)
    # The last are harmless, with all settings left, with none, and streamed: all are refused.
    assert len(server.completions) == 5
    assert client.actor.refused == []


async def test_tokens_all_spent_on_hidden_thinking_are_a_reply_cut_short() -> None:
    said = "Could not finish the message because max_tokens or model output limit was reached."
    async with bench([refusal(400, said)]) as (client, _):
        assert await client.ask(n=2) == [Completion("", "length")] * 2


async def test_requests_in_flight_never_exceed_the_limit() -> None:
    async with bench(serve={"delay_s": 0.02, "ignores_n": True}, concurrency=3) as (client, server):
        await asyncio.gather(*(client.ask(n=3) for _ in range(6)))
    assert server.most_in_flight == 3


async def test_a_request_that_waits_gives_its_slot_back() -> None:
    served_meanwhile = asyncio.Event()

    async def wait_for_the_other(_: float) -> None:
        await asyncio.wait_for(served_meanwhile.wait(), timeout=PATIENCE_S)

    with FaultyEndpoint([refusal(429)]) as server:
        config = OpenAIEndpoint.model_validate(
            {"base_url": server.base_url, "model": "tiny", "concurrency": 1}
        )
        async with EndpointActor(config, api_key=KEY, sleep=wait_for_the_other) as actor:
            waiting = asyncio.create_task(actor.complete(HELLO, n=1, params=PARAMS))
            await soon(lambda: actor.usage.retries > 0)
            await actor.complete(HELLO, n=1, params=PARAMS)
            served_meanwhile.set()
            assert texts(await waiting) == ["reply 7"]


async def test_a_cancelled_call_leaves_its_slot_free() -> None:
    async with bench([HANG, HANG], concurrency=1) as (client, server):
        hung: list[asyncio.Task[list[Completion]]] = []
        for _ in range(2):
            call = asyncio.create_task(client.ask())
            await soon(lambda: len(server.completions) > len(hung))
            hung.append(call)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        async with asyncio.timeout(PATIENCE_S):
            assert texts(await client.ask()) == ["reply 7"]
    assert client.actor.usage.retries == 0


async def test_a_call_cancelled_while_it_waits_ends_at_once() -> None:
    waiting = asyncio.Event()

    async def wait_for_ever(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    with FaultyEndpoint([refusal(429)]) as server:
        config = OpenAIEndpoint.model_validate({"base_url": server.base_url, "model": "tiny"})
        async with EndpointActor(config, api_key=KEY, sleep=wait_for_ever) as actor:
            call = asyncio.create_task(actor.complete(HELLO, n=1, params=PARAMS))
            await asyncio.wait_for(waiting.wait(), timeout=PATIENCE_S)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call


async def test_a_server_that_ignores_n_is_topped_up_and_remembered() -> None:
    async with bench(serve={"ignores_n": True}, attempts=9) as (client, server):
        for _ in range(STUBBORN):
            assert texts(await client.ask(n=3)) == ["reply 7", "reply 8", "reply 9"]
        assert texts(await client.ask(n=2)) == ["reply 7", "reply 8"]
    asked = [(r.body.get("n"), r.body["seed"]) for r in server.completions]
    once = DOUBTS + 2
    assert asked[:DOUBTS] == [(3, 7)] * DOUBTS
    assert sorted(asked[DOUBTS:once]) == [(None, 8), (None, 9)]
    assert sorted(asked[STUBBORN * once :]) == [(None, 7), (None, 8)]


async def test_single_requests_are_sent_at_once() -> None:
    async with bench([ONE_CHOICE], serve={"ignores_n": True, "delay_s": 0.05}) as (client, server):
        for _ in range(STUBBORN):
            await client.ask(n=2)
        await client.ask(n=4)
    assert server.most_in_flight == 4


@pytest.mark.parametrize("choices", [1, 2])
async def test_a_server_that_drops_a_choice_once_is_asked_again(choices: int) -> None:
    async with bench([Fault(choices=choices)]) as (client, server):
        assert texts(await client.ask(n=3)) == ["reply 7", "reply 8", "reply 9"]
        await client.ask(n=3)
    assert [r.body.get("n") for r in server.completions] == [3, 3, 3]


async def test_a_server_that_always_drops_a_choice_is_topped_up() -> None:
    async with bench([Fault(choices=2)] * DOUBTS, attempts=9) as (client, server):
        assert texts(await client.ask(n=3)) == ["reply 7", "reply 8", "reply 9"]
        await client.ask(n=3)
    assert [r.body.get("n") for r in server.completions] == [3] * DOUBTS + [None, 3]


@pytest.mark.parametrize(
    "message", ["Only one completion choice is allowed", "n must be 1 when using greedy sampling"]
)
async def test_a_server_that_refuses_n_is_asked_for_one_at_a_time(message: str) -> None:
    async with bench([refusal(400, message)]) as (client, server):
        assert texts(await client.ask(n=2)) == ["reply 7", "reply 8"]
        await client.ask(n=2)
    assert [r.body.get("n") for r in server.completions] == [2, None, None, None, None]


async def test_more_choices_than_n_are_cut() -> None:
    async with bench([Fault(choices=5), Fault(choices=5)]) as (client, _):
        assert texts(await client.ask(n=2)) == ["reply 7", "reply 8"]
        assert texts(await client.ask()) == ["reply 7"]


async def test_one_failed_single_ends_the_others_and_keeps_its_type() -> None:
    def fail_the_second(received: Received) -> Fault | None:
        return (
            refusal(400, "too long a prompt: 9000 tokens > 99")
            if received.body.get("seed") == 8
            else None
        )

    async with bench(fail_the_second, serve={"ignores_n": True}, concurrency=1) as (client, server):
        with pytest.raises(ContextOverflow):
            await client.ask(n=9)
    assert len(server.completions) < 5 + DOUBTS


async def test_no_reply_at_all_cannot_be_asked_for() -> None:
    async with bench() as (client, _):
        with pytest.raises(ValueError, match="n is 0"):
            await client.ask(n=0)


ODD = {
    "no text": (NULL_CONTENT, ""),
    "an empty text": (Fault(content=""), ""),
    "a megabyte": (MEGABYTE, "x" * MAX_TEXT_CHARS),
    "half characters": (LONE_SURROGATES, "a\ufffdb\ufffdc"),
}


@pytest.mark.parametrize("fault", [fault for fault, _ in ODD.values()], ids=list(ODD))
async def test_an_odd_reply_is_asked_for_again_and_counted(fault: Fault) -> None:
    async with bench([fault]) as (client, _):
        assert texts(await client.ask()) == ["reply 7"]
        assert client.actor.faults.total() == 1


@pytest.mark.parametrize(("fault", "text"), list(ODD.values()), ids=list(ODD))
async def test_a_model_whose_replies_are_always_odd_is_taken_as_it_is(
    fault: Fault, text: str
) -> None:
    async with bench([fault] * (STUBBORN * DOUBTS + 1), attempts=9) as (client, server):
        for _ in range(STUBBORN + 1):
            assert texts(await client.ask()) == [text]
    assert len(server.completions) == STUBBORN * DOUBTS + 1


async def test_one_request_that_stays_odd_says_nothing_of_the_model() -> None:
    stubborn = [NULL_CONTENT] * DOUBTS
    faults = [*stubborn, None, *stubborn, None, *stubborn, None, NULL_CONTENT]
    async with bench(faults, attempts=9) as (client, _):
        for _ in range(3):
            assert texts(await client.ask()) == [""]
            assert texts(await client.ask()) == ["reply 7"]
        assert texts(await client.ask()) == ["reply 7"]
        assert client.actor.faults.total() == 3 * DOUBTS + 1


async def test_replies_that_are_asked_for_again_are_paid_for() -> None:
    async with bench([NULL_CONTENT, None, NULL_CONTENT]) as (client, server):
        await client.ask()
        once = client.actor.usage.completion_tokens
        await client.ask()
        assert client.actor.usage.completion_tokens == 2 * once > 0
        assert len(server.completions) == 4


async def test_an_empty_text_that_tokens_cut_short_is_not_odd() -> None:
    async with bench([Fault(content=None, finish_reason="length")]) as (client, server):
        assert texts(await client.ask()) == [""]
    assert len(server.completions) == 1


async def test_a_very_long_text_that_is_taken_says_that_it_was_cut() -> None:
    async with bench([MEGABYTE] * DOUBTS, attempts=9) as (client, _):
        (reply,) = await client.ask()
    assert reply.finish_reason == "length"


async def test_what_is_sent_can_be_written_as_utf_8() -> None:
    async with bench() as (client, server):
        await client.actor.complete([Message("user", "x\ud800y")], n=1, params=PARAMS)
    assert server.completions[0].body["messages"][0]["content"] == "x\ufffdy"


async def test_usage_counts_requests_and_tokens() -> None:
    async with bench([refusal(500)]) as (client, _):
        await client.ask(n=2)
        await client.ask()
        usage = client.actor.usage
    assert (usage.requests, usage.retries) == (3, 1)
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (20, 8, 9)
