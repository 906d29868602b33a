"""A request is shaped as its user says, and what lets it in is never shown."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from agent_r.actor import SamplingParams
from agent_r.endpoint.client import EndpointActor
from agent_r.errors import ConfigError, EndpointRejected
from agent_r.settings import OpenAIEndpoint
from tests.support.faulty_endpoint import HELLO, KEY, Fault, FaultyEndpoint, Received, bench

HELD = {"GATEWAY": "gate-0123456789", "block:vault": "vault-0123456789"}


def settings(server: FaultyEndpoint, **shape: Any) -> OpenAIEndpoint:
    return OpenAIEndpoint(base_url=server.base_url, model="tiny", attempts=1, **shape)


async def test_the_body_has_what_the_user_adds() -> None:
    more = {"top_k": 20, "chat_template_kwargs": {"enable_thinking": False}}
    shape: dict[str, Any] = {"extra_body": more, "top_p": 0.9, "stop": ["END"]}
    async with bench(**shape) as (client, server):
        await client.ask(n=2, params=SamplingParams(stop=("\n",), max_tokens=9))
    assert server.completions[0].body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 1.0,
        "max_tokens": 9,
        "top_p": 0.9,
        "stop": ["\n", "END"],
        "n": 2,
        **more,
    }


@pytest.mark.parametrize("route", ["/chat/completions", "/models"])
async def test_headers_query_and_key_go_out_as_the_settings_say(route: str) -> None:
    with FaultyEndpoint() as server:
        config = settings(
            server,
            auth_header="api-key",
            headers={"X-A": "Key $GATEWAY", "X-B": "block:vault", "User-Agent": "me"},
            query={"api-version": "2024-10-21"},
        )
        async with EndpointActor(config, api_key=KEY, held=HELD) as actor:
            await actor.check()
            await actor.complete(HELLO, n=1, params=SamplingParams())
    [received] = [r for r in server.received if r.path.endswith(route)]
    assert received.headers["api-key"] == KEY
    assert "authorization" not in received.headers
    assert received.headers["x-a"] == "Key gate-0123456789"
    assert received.headers["x-b"] == "vault-0123456789"
    assert received.headers["user-agent"] == "me"
    assert received.query == {"api-version": "2024-10-21"}


async def test_a_header_of_the_users_own_takes_the_keys_place() -> None:
    with FaultyEndpoint() as server:
        config = settings(server, headers={"authorization": "Token $GATEWAY"})
        async with EndpointActor(config, api_key=KEY, held=HELD) as actor:
            await actor.check()
            await actor.complete(HELLO, n=1, params=SamplingParams())
    assert {r.headers["authorization"] for r in server.received} == {"Token gate-0123456789"}


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_no_value_of_a_header_is_shown(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [KEY, *HELD.values()]

    def echoes(received: Received) -> Fault:
        return Fault(status, f"{received.headers} is wrong")

    with FaultyEndpoint(echoes) as server:
        config = settings(server, headers={"X-A": "$GATEWAY", "X-B": "block:vault"})
        async with EndpointActor(config, api_key=KEY, held=HELD) as actor:
            with pytest.raises(Exception, match=r"is wrong|refuses the key") as caught:
                await actor.complete(HELLO, n=1, params=SamplingParams())
            shown = [str(caught.value), repr(actor), str(vars(actor)), caplog.text, str(actor.sent)]
    assert not [text for text in shown if any(secret[:8] in text for secret in secrets)]
    assert actor.sent is not None
    assert actor.sent.headers["X-A"] == actor.sent.headers["X-B"] == "***"


@pytest.mark.parametrize("value", ["gate\u00e9", "gate\nX: y"])
def test_a_value_that_no_header_can_carry_is_refused_without_showing_it(value: str) -> None:
    config = OpenAIEndpoint(base_url="http://localhost/v1", model="m", headers={"X-A": "$GATEWAY"})
    with pytest.raises(ConfigError, match=r"endpoint.headers.X-A has characters") as caught:
        EndpointActor(config, api_key=KEY, held={"GATEWAY": value})
    assert "gate" not in str(caught.value)
    with pytest.raises(ConfigError, match="names GATEWAY, which nobody holds"):
        EndpointActor(config, api_key=KEY)


async def test_a_refused_key_names_its_header() -> None:
    async with bench([Fault(401)], auth_header="api-key") as (client, _):
        with pytest.raises(EndpointRejected, match=r"the key in \$OPENAI_API_KEY"):
            await client.ask()
