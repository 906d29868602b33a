"""Before a run: the address, the name and the key are right, or one line says what is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from agent_r.config import parse
from agent_r.errors import ConfigError, EndpointRejected, EndpointUnavailable
from tests.support.faulty_endpoint import (
    HELLO,
    KEY,
    PARAMS,
    Bench,
    Fault,
    FaultyEndpoint,
    Received,
    bench,
    refusal,
)
from tests.support.ports import closed_port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_unreachable_endpoint_is_unavailable_and_says_why(host: str) -> None:
    url = f"http://{host}:{closed_port()}/v1"
    async with Bench(None, {"base_url": url}).actor as actor:
        with pytest.raises(EndpointUnavailable) as caught:
            await actor.check()
    assert str(caught.value) == f"no answer from {url} after 3 tries: Connection refused"


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    url = "http://no-such-host.invalid/v1"
    async with Bench(None, {"base_url": url, "attempts": 1}).actor as actor:
        with pytest.raises(EndpointUnavailable, match=r"no-such-host.invalid.* try: \w+"):
            await actor.complete(HELLO, n=1, params=PARAMS)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://a/v1", "http://", "http://[::1", ""])
def test_an_address_that_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        Bench(None, {"base_url": url})


async def test_an_address_without_its_version_is_told_so() -> None:
    with FaultyEndpoint() as server:
        bare = server.base_url.removesuffix("/v1")
        async with Bench(None, {"base_url": bare}).actor as actor:
            with pytest.raises(EndpointRejected, match=r"does base_url lack its /v1\?"):
                await actor.check()


@pytest.mark.parametrize("ask", [Bench.ask, lambda client: client.actor.check()])
async def test_a_wrong_model_is_told_the_names_there_are(
    ask: Callable[[Bench], Awaitable[object]],
) -> None:
    models = [f"model-{k}" for k in range(7)]
    async with bench(serve={"models": models}, concurrency=1) as (client, server):
        with pytest.raises(EndpointRejected) as caught:
            await asyncio.wait_for(ask(client), timeout=30)
    assert caught.value.status == 404
    assert str(caught.value) == (
        f"{server.base_url} does not serve the model 'tiny'; "
        "it serves model-0, model-1, model-2, model-3, model-4 and 2 more"
    )


async def test_a_router_that_answers_400_for_a_wrong_model_is_explained_too() -> None:
    said = refusal(400, "tiny is not a valid model ID")
    async with bench([said], serve={"models": ["other"]}) as (client, _):
        with pytest.raises(EndpointRejected, match=r"400\): tiny is not .* ID; it serves other$"):
            await client.actor.check()


async def test_a_wrong_model_is_named_where_no_list_is_served() -> None:
    async with bench([refusal(404, "who?")], serve={"models": None}) as (client, server):
        with pytest.raises(EndpointRejected, match=r"'tiny' \(HTTP 404\): who\?"):
            await client.ask()
    assert len(server.received) == 2  # the list of models is asked for once, not retried


@pytest.mark.parametrize("listed", ["tiny", "tiny:latest", "models/tiny"])
async def test_check_passes_where_the_model_is_listed(listed: str) -> None:
    async with bench(serve={"models": ["other", listed]}) as (client, server):
        await client.actor.check()
    assert server.completions == []


async def test_check_passes_where_a_name_that_is_not_listed_answers() -> None:
    answers = Fault()
    async with bench([answers], serve={"models": ["other"]}) as (client, server):
        await client.actor.check()
    assert [r.body["max_tokens"] for r in server.completions] == [1]


def models_answer(fault: Fault) -> Callable[[Received], Fault | None]:
    return lambda received: fault if received.path.endswith("/models") else None


@pytest.mark.parametrize(
    "fault", [refusal(404), refusal(403), refusal(405), Fault(body="no JSON"), Fault(body="[]")]
)
async def test_check_asks_for_one_token_where_no_list_is_served(fault: Fault) -> None:
    async with bench(models_answer(fault)) as (client, server):
        await client.actor.check()
    assert [r.body["max_tokens"] for r in server.completions] == [1]


async def test_check_refuses_a_wrong_model_where_no_list_is_served() -> None:
    async with bench([refusal(404, "no model tiny")], serve={"models": None}) as (client, _):
        with pytest.raises(EndpointRejected, match="no model tiny"):
            await client.actor.check()


async def test_check_refuses_a_wrong_key() -> None:
    async with bench(models_answer(refusal(401))) as (client, server):
        with pytest.raises(EndpointRejected, match="refuses the key"):
            await client.actor.check()
    assert len(server.received) == 1


async def test_check_waits_for_a_server_that_is_starting() -> None:
    starting = iter([refusal(503), refusal(503)])
    async with bench(lambda _: next(starting, None)) as (client, _):
        await client.actor.check()
    assert len(client.waits) == 2


async def test_a_refused_key_names_where_it_came_from() -> None:
    async with bench([refusal(401)] * 2, api_key_env="MY_KEY") as (client, _):
        with pytest.raises(EndpointRejected, match=r"the endpoint refuses the key in \$MY_KEY"):
            await client.ask()
    async with bench([refusal(401)], api_key_block="vault") as (client, _):
        with pytest.raises(EndpointRejected, match="the key in the Prefect block 'vault'"):
            await client.ask()


@pytest.mark.parametrize("key", ["sk-\u00e9t\u00e9-secret", "sk-secret\nX-Header: 1"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError, match=r"\$OPENAI_API_KEY") as caught:
        Bench(None, {"base_url": "http://localhost/v1", "api_key": key})
    assert "secret" not in str(caught.value)


def chain(error: BaseException | None) -> list[str]:
    """Everything a traceback would show."""
    if error is None:
        return []
    return [str(error), repr(error), *chain(error.__cause__), *chain(error.__context__)]


@pytest.mark.parametrize("status", [400, 401, 404, 429])
@pytest.mark.parametrize("shape", ["json", "text", "cut"])
async def test_the_key_is_in_no_message_repr_or_log(
    status: int, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    padding = "x" * 385 if shape == "cut" else "key"
    said = refusal(status, f"{padding} {KEY} is wrong")
    fault = Fault(status, f"{padding} {KEY} is wrong") if shape == "text" else said
    async with bench([fault] * 3, serve={"models": [KEY, "tiny"]}) as (client, server):
        with pytest.raises((EndpointRejected, EndpointUnavailable)) as caught:
            await client.ask()
    shown = [*chain(caught.value), repr(client.actor), str(vars(client.actor)), caplog.text]
    assert not [text for text in shown if KEY[:10] in text]
    assert server.completions[0].headers["authorization"].endswith(KEY)


async def test_a_key_in_a_model_list_is_scrubbed() -> None:
    async with bench(serve={"models": [f"m-{KEY}"]}) as (client, _):
        with pytest.raises(EndpointRejected) as caught:
            await client.ask()
    assert "m-***" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://me:pa55@host/v1", "me:pa55@host/v1", "http://a\n/v1", "a b"]
)
def test_an_address_with_a_password_or_white_space_is_no_setting(url: str) -> None:
    endpoint = {"kind": "openai", "base_url": url, "model": "tiny"}
    with pytest.raises(ConfigError, match=r"^test: endpoint\.base_url: [^\n]+$") as caught:
        parse({"endpoint": endpoint}, source="test")
    assert "pa55" not in str(caught.value)


async def test_a_list_of_models_that_breaks_is_no_reason_to_stop() -> None:
    def no_list(received: Received) -> Fault | None:
        return refusal(501) if received.path.endswith("/models") else None

    async with bench(no_list) as (client, server):
        await client.actor.check()
        assert len(server.completions) == 1


async def test_an_empty_key_is_sent_as_a_placeholder() -> None:
    async with bench(api_key="") as (client, server):
        await client.ask()
    assert server.completions[0].headers["authorization"] == "Bearer none"


async def test_the_environment_adds_nothing_to_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "from-env")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://no-such-host.invalid/v1")
    async with bench() as (client, server):
        await client.ask()
    assert "from-env" not in str(server.completions[0].headers)
