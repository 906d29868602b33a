"""What passes is asked for again, what does not is told in one line."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest

from agent_r.errors import (
    ContextOverflow,
    ConversationRefused,
    EndpointRejected,
    EndpointUnavailable,
)
from tests.support.faulty_endpoint import (
    CUT,
    DRIP,
    EMPTY_CHOICES,
    HANG,
    MALFORMED_JSON,
    NO_CHOICES,
    NOON,
    Fault,
    bench,
    refusal,
    texts,
)

RETRIED = [
    *[pytest.param(refusal(code), id=str(code)) for code in (408, 409, 429, 500, 502, 503, 529)],
    pytest.param(CUT, id="cut connection"),
    pytest.param(MALFORMED_JSON, id="malformed JSON"),
    pytest.param(Fault(body="[" * 100_000), id="JSON too deep to read"),
    pytest.param(Fault(body="<html>log in</html>"), id="a page in place of JSON"),
    pytest.param(Fault(body="null"), id="null"),
    pytest.param(NO_CHOICES, id="no choices"),
    pytest.param(EMPTY_CHOICES, id="empty choices"),
]


@pytest.mark.parametrize("fault", RETRIED)
async def test_passing_trouble_is_retried(fault: Fault) -> None:
    async with bench([fault, fault]) as (client, server):
        assert texts(await client.ask()) == ["reply 7"]
    assert len(server.completions) == 3
    assert client.actor.usage.requests == 3
    assert client.actor.usage.retries == 2
    assert len(client.waits) == 2


@pytest.mark.parametrize("fault", [HANG, DRIP], ids=["silent", "dripping"])
async def test_a_server_that_never_ends_times_out_and_is_asked_again(fault: Fault) -> None:
    async with bench([fault], timeout_s=1) as (client, server), asyncio.timeout(30):
        assert texts(await client.ask()) == ["reply 7"]
    assert len(server.completions) == 2


async def test_trouble_that_does_not_pass_is_unavailable_after_all_tries() -> None:
    async with bench([refusal(503, "over capacity")] * 3) as (client, server):
        with pytest.raises(EndpointUnavailable) as caught:
            await client.ask()
    assert str(caught.value) == (
        f"no answer from {server.base_url} after 3 tries: HTTP 503: over capacity"
    )
    assert len(server.completions) == 3


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (MALFORMED_JSON, "a reply that is not JSON"),
        (NO_CHOICES, "a reply without choices"),
        (Fault(body='{"error": {"message": "no GPU"}}'), "a reply without choices: no GPU"),
        (Fault(502, "<html><h1>502 Bad Gateway</h1>\n<hr>nginx</html>"), "502 Bad Gateway nginx"),
    ],
)
async def test_the_last_cause_is_named_in_one_line(fault: Fault, cause: str) -> None:
    async with bench([fault], attempts=1) as (client, _):
        with pytest.raises(EndpointUnavailable) as caught:
            await client.ask()
    assert str(caught.value).endswith(cause)
    assert "after 1 try:" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_waits_grow_and_differ() -> None:
    async with bench([refusal(500)] * 9, attempts=10) as (client, _):
        await client.ask()
    for k, wait in enumerate(client.waits):
        assert min(0.25 * 2**k, 60) <= wait <= min(0.5 * 2**k, 60)
    assert client.waits[-1] == 60
    assert len(set(client.waits)) > 6


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": formatdate(NOON + 20, usegmt=True)}, 20.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(NOON - 20, usegmt=True)}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "when it is ready"}, 0.0),
        ({"retry-after": "Mon, 99 Foo 2024 00:00:00 GMT"}, 0.0),
    ],
)
async def test_the_server_says_how_long_to_wait(headers: dict[str, str], seconds: float) -> None:
    async with bench([refusal(429, headers=headers)]) as (client, _):
        await client.ask()
    assert seconds + 0.25 <= client.waits[0] <= seconds + 0.5


@pytest.mark.parametrize("asked", ["86400", "inf", formatdate(NOON + 86400, usegmt=True)])
async def test_no_server_makes_us_wait_longer_than_a_minute(asked: str) -> None:
    async with bench([refusal(503, headers={"retry-after": asked})]) as (client, _):
        await client.ask()
    assert client.waits == [60.0]


PASSING_LIMITS = {
    "OpenAI": "Rate limit reached. Please try again in 20s. Add a payment method at /billing.",
    "Gemini": "You exceeded your current quota, please check your plan and billing details. "
    "Quota exceeded for metric: free_tier_requests, limit: 20. Please retry in 58.82s.",
}


@pytest.mark.parametrize("message", PASSING_LIMITS.values(), ids=PASSING_LIMITS.keys())
async def test_a_quota_that_comes_back_is_waited_for(message: str) -> None:
    async with bench([refusal(429, message)]) as (client, server):
        await client.ask()
    assert len(server.completions) == 2


@pytest.mark.parametrize(
    "fault",
    [
        refusal(429, "You have no more.", code="insufficient_quota"),
        refusal(429, "You exceeded your current quota."),
        refusal(429, "Check your billing details."),
    ],
)
async def test_a_quota_that_is_used_up_is_not_asked_for_again(fault: Fault) -> None:
    async with bench([fault]) as (client, server):
        with pytest.raises(EndpointRejected) as caught:
            await client.ask()
    assert str(caught.value).startswith(
        f"{server.base_url}: the account has no quota left (HTTP 429): "
    )
    assert len(server.completions) == 1


@pytest.mark.parametrize("status", [400, 403, 413, 422, 451])
async def test_a_refusal_while_others_are_answered_is_one_conversations(status: int) -> None:
    async with bench([refusal(status, "Content Exists Risk")]) as (client, server):
        with pytest.raises(ConversationRefused, match="Content Exists Risk") as caught:
            await client.ask(n=3)
        assert texts(await client.ask()) == ["reply 7"]
    assert caught.value.status == status
    asked, harmless = server.completions[:2]
    assert harmless.body["messages"] == [{"role": "user", "content": "Hi"}]
    settings = {name: value for name, value in asked.body.items() if name not in ("messages", "n")}
    assert settings.items() <= harmless.body.items()


@pytest.mark.parametrize("status", [400, 402, 403, 405, 413, 422])
async def test_what_everybody_is_refused_is_not_retried(status: int) -> None:
    async with bench(lambda _: refusal(status, "no such\nthing")) as (client, server):
        with pytest.raises(EndpointRejected, match="no such thing") as caught:
            await client.ask()
    assert not isinstance(caught.value, ConversationRefused)
    assert caught.value.status == status
    # And a harmless one, to tell whose matter it is, and that with no setting at all.
    assert len(server.completions) <= 4
    assert client.waits == []


async def test_a_message_that_is_refused_is_no_overflow_and_teaches_nothing() -> None:
    said = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
    async with bench([refusal(400, said)]) as (client, server):
        with pytest.raises(ConversationRefused) as caught:
            await client.ask()
    assert not isinstance(caught.value, ContextOverflow)
    first, harmless = (received.body for received in server.completions)
    assert first.keys() == harmless.keys()


async def test_a_message_carries_no_terminal_codes() -> None:
    async with bench([refusal(400, "a\x1b[31m\x07\u2028b\ud800")]) as (client, _):
        with pytest.raises(EndpointRejected) as caught:
            await client.ask()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("key", ["token", "x", "length", "maximum context"])
async def test_a_key_that_is_a_common_word_hides_no_meaning_and_is_not_shown(key: str) -> None:
    said = "This model's maximum context length is 2048 tokens: your token x is too much."
    async with bench([refusal(400, said)] * 2, api_key=key) as (client, _):
        with pytest.raises(ContextOverflow) as caught:
            await client.ask()
    assert "***" in str(caught.value)
    assert f" {key} " not in str(caught.value)
    assert "This model's" in str(caught.value)
