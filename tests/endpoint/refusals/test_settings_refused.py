"""A refused setting is understood by structure, by words, or by trial; no run ends for one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from agent_r.actor import Completion, Message, SamplingParams
from agent_r.errors import ConversationRefused, EndpointRejected, EndpointUnavailable
from tests.endpoint.refusals.cases import REFUSED, TOO_MANY, WORDLESS, Refused
from tests.support.faulty_endpoint import Fault, Received, Script, bench, refusal

ALL = SamplingParams(temperature=0.5, max_tokens=9, stop=("\n",), seed=7)
SHAPED: dict[str, Any] = {"top_p": 0.9, "extra_body": {"top_k": 20}}
OURS = {"temperature", "max_tokens", "stop", "seed", "top_p", "n"}
SENT = OURS | {"top_k"}


def refuses(names: Collection[str], answer: Fault) -> Script:
    """A server that takes no request with one of these; one reply is no `n`."""
    return lambda received: answer if set(names) & received.body.keys() else None


def sent(received: Received) -> set[str]:
    return set(received.body) - {"model", "messages"}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_what_a_refusal_names_is_left_out_and_nothing_else(
    case: Refused, caplog: pytest.LogCaptureFixture
) -> None:
    shaped = SHAPED | {"extra_body": {"top_k": 20} | case.extra_body}
    script = refuses([case.setting], Fault(case.status, case.body))
    async with bench(script, attempts=1, **shaped) as (client, server):
        assert len(await client.ask(n=2, params=ALL)) == 2
        first = len(server.completions)
        assert len(await client.ask(n=2, params=ALL)) == 2
        assert client.actor.refused == [case.setting]
    alone = case.setting == "n"  # then a request for each reply
    assert first == 1 + (2 if alone else 1)
    for request in server.completions[1:]:
        assert sent(request) == (SENT | case.extra_body.keys()) - {case.setting}
    whose = "" if case.setting in OURS else "endpoint.extra_body."
    line = f"{client.actor!r} does not take `{whose}{case.setting}`: it is not sent again"
    assert warnings(caplog) == [line] * (not alone)


@pytest.mark.parametrize("names", [{"seed"}, {"n"}, {"top_k", "stop"}, {"max_tokens", "n"}, SENT])
@pytest.mark.parametrize("wording", WORDLESS)
async def test_where_nothing_is_named_each_setting_is_tried_once(
    wording: str, names: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    status, body, _ = WORDLESS[wording]
    async with bench(refuses(names, Fault(status, body)), attempts=1, **SHAPED) as (client, server):
        assert len(await client.ask(n=2, params=ALL)) == 2
        found = len(server.completions)
        await asyncio.gather(*(client.ask(n=2, params=ALL) for _ in range(3)))
        assert set(client.actor.refused) == names
    # Refused, harmless with all, harmless with nothing, one more setting each time, and again.
    assert found <= 3 + len(SENT) + 1 + 2
    newer = {"max_completion_tokens"} if "max_tokens" in names else set()
    for request in server.completions[found:]:
        assert sent(request) == SENT - names | newer
    assert len(warnings(caplog)) == len(names - {"n"})


async def test_requests_at_once_find_out_together(caplog: pytest.LogCaptureFixture) -> None:
    answer = Fault(400, "no")
    async with bench(refuses({"seed", "top_k"}, answer), **SHAPED) as (client, server):
        await asyncio.gather(*(client.ask(params=ALL) for _ in range(16)))
    # Each was sent, and again in the shape that one of them found out.
    assert len(server.completions) <= 16 + 2 + len(SENT) + 16
    assert len(warnings(caplog)) == 2


@pytest.mark.parametrize("who", TOO_MANY)
async def test_a_limit_that_is_too_high_is_lowered_to_what_is_taken(
    who: str, caplog: pytest.LogCaptureFixture
) -> None:
    most, body, _ = TOO_MANY[who]

    def most_tokens(received: Received) -> Fault | None:
        return Fault(400, body) if received.body["max_tokens"] > most else None

    async with bench(most_tokens) as (client, server):
        for asked in (9000, 9000, 100):
            await client.ask(params=SamplingParams(max_tokens=asked))
    assert [r.body["max_tokens"] for r in server.completions] == [9000, most, most, 100]
    assert warnings(caplog) == [
        f"{client.actor!r} takes a `max_tokens` of {most} at most: no more is asked for"
    ]


async def test_of_two_that_do_not_go_together_the_temperature_stays() -> None:
    def either(received: Received) -> Fault | None:
        both = {"temperature", "top_p"} <= received.body.keys()
        return refusal(400, "Bad combination.") if both else None

    async with bench(either, top_p=0.9) as (client, server):
        await client.ask(params=ALL)
        assert client.actor.refused == ["top_p"]
    assert server.completions[-1].body["temperature"] == 0.5


@pytest.mark.parametrize("words", ["no", "`temperature` must be strictly positive"])  # TGI
async def test_a_value_that_is_refused_takes_no_other_with_it(
    words: str, caplog: pytest.LogCaptureFixture
) -> None:
    def positive(received: Received) -> Fault | None:
        return refusal(422, words) if received.body.get("temperature") == 0 else None

    async with bench(positive) as (client, server):
        for _ in range(2):
            await client.ask(params=SamplingParams(temperature=0.7))
            await client.ask(params=SamplingParams(temperature=0.0))
        assert client.actor.refused == ["temperature = 0.0"]
    assert [r.body.get("temperature") for r in server.completions[-2:]] == [0.7, None]
    [line] = warnings(caplog)
    assert line.endswith("does not take `temperature = 0.0`: it is not sent again")


async def test_one_setting_after_another_is_found_out() -> None:
    def picky(received: Received) -> Fault | None:
        if received.body.get("max_tokens", 0) > 4096:
            return refusal(400, "max_tokens is too large: at most 4096")
        return refusal(400, "Unknown name: seed") if "seed" in received.body else None

    async with bench(picky) as (client, server):
        await client.ask(params=SamplingParams(max_tokens=9000, seed=7))
        await client.ask(params=SamplingParams(max_tokens=9000, seed=7))
    assert [r.body["max_tokens"] for r in server.completions] == [9000, 4096, 4096, 4096]
    assert ["seed" in r.body for r in server.completions] == [True, True, False, False]


async def test_a_refused_conversation_teaches_nothing_once_the_settings_are_known() -> None:
    """Its words may hold those of a setting."""

    def no_poison(received: Received) -> Fault | None:
        told = str(received.body["messages"])
        return refusal(400, "Unsupported content: stop, 'seed' of evil") if "evil" in told else None

    async with bench(no_poison, **SHAPED) as (client, server):
        await client.ask(params=ALL)
        for _ in range(2):
            with pytest.raises(ConversationRefused):
                await client.actor.complete([Message("user", "evil")], n=2, params=ALL)
        assert client.actor.refused == []
        await client.ask(n=2, params=ALL)
    assert sent(server.completions[-1]) == SENT


async def test_what_is_refused_with_no_setting_at_all_ends_the_run() -> None:
    async with bench(lambda _: refusal(422, "no"), **SHAPED) as (client, server):
        with pytest.raises(EndpointRejected) as caught:
            await client.ask(params=ALL)
    assert not isinstance(caught.value, ConversationRefused)
    assert len(server.completions) == 4
    assert client.actor.refused == []


BROKEN = Fault(500, '{"error": "Internal Server Error"}')


async def test_a_setting_that_breaks_the_server_is_found_out() -> None:
    async with bench(refuses({"seed"}, BROKEN), attempts=6) as (client, server):
        assert len(await client.ask(params=ALL)) == 1
        found = len(server.completions)
        assert len(await client.ask(params=ALL)) == 1
    assert client.actor.refused == ["seed"]
    assert found < 20
    assert len(server.completions) == found + 1


async def test_a_server_that_breaks_for_a_while_refuses_no_setting() -> None:
    async with bench([BROKEN] * 7, attempts=20, **SHAPED) as (client, server):
        assert len(await client.ask(n=2, params=ALL)) == 2
    assert client.actor.refused == []
    assert sent(server.completions[-1]) == SENT


async def test_trouble_while_it_is_found_out_says_nothing_of_the_settings() -> None:
    """A wordless refusal, and then a server that has too much to do."""
    faults = [Fault(400, "no"), Fault(400, "no"), *[refusal(429)] * 3]
    async with bench(faults, attempts=3, serve={"models": None}) as (client, server):
        with pytest.raises(EndpointUnavailable):
            await client.ask(params=ALL)
        assert client.actor.refused == []
        await client.ask(params=ALL)
    assert "seed" in server.completions[-1].body


async def test_one_reply_a_request_is_a_setting() -> None:
    async with bench(n=1) as (client, server):
        assert len(await client.ask(n=3)) == 3
    assert sorted(r.body["seed"] for r in server.completions) == [7, 8, 9]
    assert all("n" not in r.body for r in server.completions)


TURNS = [
    Message("user", "Go."),
    Message("assistant", "Action: east", "A door?"),
    Message("user", "."),
]
WANTED = "The `reasoning_content` in the thinking mode must be passed back to the API."


async def test_reasoning_that_is_demanded_is_sent_back(caplog: pytest.LogCaptureFixture) -> None:
    """DeepSeek V4: NousResearch/hermes-agent#15228, 2026-04-24."""

    def demands(received: Received) -> Fault | None:
        own = [m for m in received.body["messages"] if m["role"] == "assistant"]
        return None if all("reasoning_content" in m for m in own) else refusal(400, WANTED)

    async with bench(demands) as (client, server):
        await client.ask()
        for _ in range(2):
            assert await client.actor.complete(TURNS, n=1, params=ALL) == [Completion("reply 7")]
    assert len(server.completions) == 4
    assert server.completions[-1].body["messages"][1]["reasoning_content"] == "A door?"
    [line] = warnings(caplog)
    assert "`endpoint.send_reasoning = true`" in line


NOT_WANTED = {
    "Groq": "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : "
    "property 'reasoning_content' is unsupported)]",  # janhq/jan#8136, 2026-05-13
    "Mistral": '[{"type": "extra_forbidden", "loc": ["body", "messages", 1, "assistant", '
    '"reasoning_content"], "msg": "Extra inputs are not permitted"}]',  # charmbracelet/crush#1590
}


@pytest.mark.parametrize("who", NOT_WANTED)
async def test_reasoning_that_is_refused_is_not_sent(
    who: str, caplog: pytest.LogCaptureFixture
) -> None:
    def forbids(received: Received) -> Fault | None:
        told = str(received.body["messages"])
        return refusal(400, NOT_WANTED[who]) if "reasoning_content" in told else None

    async with bench(forbids, send_reasoning=True) as (client, server):
        for _ in range(2):
            await client.actor.complete(TURNS, n=1, params=ALL)
    assert len(server.completions) == 3
    [line] = warnings(caplog)
    assert "`endpoint.send_reasoning = false`" in line
