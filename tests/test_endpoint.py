"""The endpoint client against a real server that fails on purpose."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest
from faulty_endpoint import (
    CUT,
    DRIP,
    EMPTY_CHOICES,
    HANG,
    LONE_SURROGATES,
    MALFORMED_JSON,
    MEGABYTE,
    NO_CHOICES,
    NULL_CONTENT,
    ONE_CHOICE,
    Fault,
    FaultyEndpoint,
    Received,
    Script,
    refusal,
)

from agent_r.actor import Actor, Completion, Message, SamplingParams
from agent_r.config import OpenAIEndpoint
from agent_r.errors import (
    ConfigError,
    ContextOverflow,
    EndpointRejected,
    EndpointUnavailable,
)
from agent_r.services.endpoint import MAX_TEXT_CHARS, EndpointActor

KEY = "sk-test-0123456789"
HELLO = [Message("user", "Hello")]
PARAMS = SamplingParams(seed=7)
NOON = 1_700_000_000.0


class Bench:
    """A client of a scripted server, with the waits it would have made."""

    def __init__(self, server: FaultyEndpoint | None, settings: dict[str, Any]) -> None:
        self.waits: list[float] = []
        base_url = server.base_url if server else settings.pop("base_url")
        key = settings.pop("api_key", KEY)
        given = {"base_url": base_url, "model": "tiny", "attempts": 3, "timeout_s": 5.0}
        self.actor = EndpointActor(
            OpenAIEndpoint.model_validate(given | settings),
            api_key=key,
            rng=random.Random(0),
            sleep=self._sleep,
            clock=lambda: NOON,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def ask(self, n: int = 1, params: SamplingParams = PARAMS) -> list[Completion]:
        return await self.actor.complete(HELLO, n=n, params=params)


@asynccontextmanager
async def bench(
    script: Script = (), *, serve: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[Bench, FaultyEndpoint]]:
    with FaultyEndpoint(script, **(serve or {})) as server:
        made = Bench(server, settings)
        async with made.actor:
            yield made, server


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not happened():  # the server lives in a thread: it can set no event of ours
            await asyncio.sleep(0.005)


def texts(replies: list[Completion]) -> list[str]:
    return [reply.text for reply in replies]


async def test_a_reply_is_the_servers_text_and_finish_reason() -> None:
    async with bench() as (client, server):
        actor: Actor = client.actor  # mypy holds the class to the protocol here
        asked = SamplingParams(temperature=0.5, max_tokens=9, stop=("\n",), seed=7)
        replies = await actor.complete(HELLO, n=2, params=asked)
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


async def test_what_is_not_asked_for_is_not_sent() -> None:
    async with bench() as (client, server):
        await client.ask(params=SamplingParams())
    assert server.completions[0].body.keys().isdisjoint({"seed", "stop", "n"})


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
    async with bench([fault], timeout_s=0.3) as (client, server), asyncio.timeout(5):
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


@pytest.mark.parametrize("status", [400, 402, 403, 405, 413, 422])
async def test_other_refusals_are_not_retried(status: int) -> None:
    async with bench([refusal(status, "no such\nthing")]) as (client, server):
        with pytest.raises(EndpointRejected, match="no such thing") as caught:
            await client.ask()
    assert not isinstance(caught.value, ContextOverflow)
    assert caught.value.status == status
    assert len(server.completions) == 1
    assert client.waits == []


OVERFLOWS = {
    "OpenAI": refusal(400, "Too many tokens.", code="context_length_exceeded"),
    "vLLM": refusal(
        400,
        "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens.",
    ),
    "vLLM, newer": refusal(
        400, "The decoder prompt (length 3000) is longer than the maximum model length of 2048."
    ),
    "llama.cpp": refusal(
        400, "the request exceeds the available context size. try increasing the context size"
    ),
    "llama.cpp, plain body": Fault(
        400, '{"error": {"code": 400, "message": "no", "type": "exceed_context_size_error"}}'
    ),
    "SGLang": refusal(400, "The input (9 tokens) is longer than the model's context length (8)."),
    "TGI": Fault(422, '{"error": "`inputs` tokens + `max_new_tokens` must be <= 4096"}'),
    "too long": refusal(400, "prompt is too long: 9000 tokens > 8000 maximum"),
    "a router's words around it": refusal(
        400, "BadRequestError: " * 60 + "This model's maximum context length is 2048 tokens."
    ),
    "too long, FastAPI": Fault(413, '{"detail": "Input is too long for the requested model."}'),
}


@pytest.mark.parametrize("fault", OVERFLOWS.values(), ids=OVERFLOWS.keys())
async def test_a_prompt_that_does_not_fit_is_an_overflow_in_any_wording(fault: Fault) -> None:
    async with bench([fault]) as (client, server):
        with pytest.raises(ContextOverflow) as caught:
            await client.ask(n=2)
    assert caught.value.status == fault.status
    assert len(server.completions) == 1


@pytest.mark.parametrize(
    "message", ["Invalid 'stop[0]': string too long.", "'temperature' must be at most 2"]
)
async def test_another_bad_request_is_no_overflow(message: str) -> None:
    async with bench([refusal(400, message)]) as (client, _):
        with pytest.raises(EndpointRejected) as caught:
            await client.ask()
    assert not isinstance(caught.value, ContextOverflow)


async def test_a_refused_key_names_where_it_came_from() -> None:
    async with bench([refusal(401)] * 2, api_key_env="MY_KEY") as (client, _):
        with pytest.raises(EndpointRejected, match=r"the endpoint refuses the key in \$MY_KEY"):
            await client.ask()
    async with bench([refusal(401)], api_key_block="vault") as (client, _):
        with pytest.raises(EndpointRejected, match="the key in the Prefect block 'vault'"):
            await client.ask()


async def test_a_wrong_model_is_told_the_names_there_are() -> None:
    models = [f"model-{k}" for k in range(7)]
    async with bench(serve={"models": models}) as (client, server):
        with pytest.raises(EndpointRejected) as caught:
            await client.ask()
    assert caught.value.status == 404
    assert str(caught.value) == (
        f"{server.base_url} does not serve the model 'tiny'; "
        "it serves model-0, model-1, model-2, model-3, model-4 and 2 more"
    )


async def test_a_wrong_model_is_named_where_no_list_is_served() -> None:
    async with bench([refusal(404, "who?")], serve={"models": None}) as (client, server):
        with pytest.raises(EndpointRejected, match=r"'tiny' \(HTTP 404\): who\?"):
            await client.ask()
    assert len(server.received) == 2  # the list of models is asked for once, not retried


async def test_an_address_without_its_version_is_told_so() -> None:
    with FaultyEndpoint() as server:
        bare = server.base_url.removesuffix("/v1")
        async with Bench(None, {"base_url": bare}).actor as actor:
            with pytest.raises(EndpointRejected, match=r"does base_url lack its /v1\?"):
                await actor.check()


async def test_a_message_carries_no_terminal_codes() -> None:
    async with bench([refusal(400, "a\x1b[31m\x07\u2028b\ud800")]) as (client, _):
        with pytest.raises(EndpointRejected) as caught:
            await client.ask()
    assert str(caught.value).isprintable()


async def test_a_wrong_model_is_explained_with_one_slot_only() -> None:
    async with bench(serve={"models": ["other"]}, concurrency=1) as (client, _):
        with pytest.raises(EndpointRejected, match="it serves other"):
            await asyncio.wait_for(client.ask(), timeout=3)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_unreachable_endpoint_is_unavailable_and_says_why(host: str) -> None:
    url = f"http://{host}:{free_port()}/v1"
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


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
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


async def test_a_key_in_a_model_list_or_an_address_is_scrubbed() -> None:
    async with bench(serve={"models": [f"m-{KEY}"]}) as (client, server):
        with pytest.raises(EndpointRejected) as caught:
            await client.ask()
        url = server.base_url.replace("http://", f"http://me:{KEY}@")
    assert "m-***" in str(caught.value)
    shown = repr(Bench(None, {"base_url": url, "api_key": "another"}).actor)
    assert KEY not in shown


async def test_a_passwords_address_is_shown_without_it() -> None:
    url = f"http://me:pa55@127.0.0.1:{free_port()}/v1"
    async with Bench(None, {"base_url": url, "attempts": 1}).actor as actor:
        with pytest.raises(EndpointUnavailable) as caught:
            await actor.check()
    assert "pa55" not in str(caught.value) + repr(actor)


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


async def test_requests_in_flight_never_exceed_the_limit() -> None:
    async with bench(serve={"delay_s": 0.02, "ignores_n": True}, concurrency=3) as (client, server):
        await asyncio.gather(*(client.ask(n=3) for _ in range(6)))
    assert server.most_in_flight == 3
    assert len(server.completions) == 18


async def test_a_request_that_waits_gives_its_slot_back() -> None:
    served_meanwhile = asyncio.Event()

    async def wait_for_the_other(_: float) -> None:
        await asyncio.wait_for(served_meanwhile.wait(), timeout=3)

    with FaultyEndpoint([refusal(429)]) as server:
        config = OpenAIEndpoint.model_validate(
            {"base_url": server.base_url, "model": "tiny", "concurrency": 1}
        )
        async with EndpointActor(config, api_key=KEY, sleep=wait_for_the_other) as actor:
            waiting = asyncio.create_task(actor.complete(HELLO, n=1, params=PARAMS))
            await until(lambda: actor.usage.retries > 0)
            await actor.complete(HELLO, n=1, params=PARAMS)
            served_meanwhile.set()
            assert texts(await waiting) == ["reply 7"]


async def test_a_cancelled_call_leaves_its_slot_free() -> None:
    async with bench([HANG, HANG], concurrency=1) as (client, server):
        hung: list[asyncio.Task[list[Completion]]] = []
        for _ in range(2):
            call = asyncio.create_task(client.ask())
            await until(lambda: len(server.completions) > len(hung))
            hung.append(call)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        async with asyncio.timeout(3):
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
            await asyncio.wait_for(waiting.wait(), timeout=3)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call


async def test_a_server_that_ignores_n_is_topped_up_and_remembered() -> None:
    async with bench(serve={"ignores_n": True}) as (client, server):
        assert texts(await client.ask(n=3)) == ["reply 7", "reply 8", "reply 9"]
        assert texts(await client.ask(n=2)) == ["reply 7", "reply 8"]
    asked = [(r.body.get("n"), r.body["seed"]) for r in server.completions]
    assert asked[0] == (3, 7)
    assert sorted(asked[1:3]) == [(None, 8), (None, 9)]
    assert sorted(asked[3:]) == [(None, 7), (None, 8)]


async def test_single_requests_are_sent_at_once() -> None:
    async with bench([ONE_CHOICE], serve={"ignores_n": True, "delay_s": 0.05}) as (client, server):
        await client.ask(n=2)
        await client.ask(n=4)
    assert server.most_in_flight == 4


async def test_a_server_that_drops_a_choice_once_is_still_asked_for_n() -> None:
    async with bench([Fault(choices=2)]) as (client, server):
        assert texts(await client.ask(n=3)) == ["reply 7", "reply 8", "reply 9"]
        await client.ask(n=3)
    assert [r.body.get("n") for r in server.completions] == [3, None, 3]


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
        return refusal(400, "prompt is too long") if received.body.get("seed") == 8 else None

    async with bench(fail_the_second, serve={"ignores_n": True}, concurrency=1) as (client, server):
        with pytest.raises(ContextOverflow):
            await client.ask(n=9)
    assert len(server.completions) < 5


async def test_no_reply_at_all_cannot_be_asked_for() -> None:
    async with bench() as (client, _):
        with pytest.raises(ValueError, match="n is 0"):
            await client.ask(n=0)


async def test_null_content_is_an_empty_text() -> None:
    async with bench([NULL_CONTENT, Fault(content="")]) as (client, server):
        assert texts(await client.ask()) == [""]
        assert texts(await client.ask()) == [""]
    assert len(server.completions) == 2


async def test_a_very_long_text_is_cut_and_says_so() -> None:
    async with bench([MEGABYTE]) as (client, _):
        (reply,) = await client.ask()
    assert len(reply.text) == MAX_TEXT_CHARS
    assert reply.finish_reason == "length"


async def test_any_text_can_be_written_as_utf_8_both_ways() -> None:
    async with bench([LONE_SURROGATES]) as (client, server):
        outgoing = [Message("user", "x\ud800y")]
        (reply,) = await client.actor.complete(outgoing, n=1, params=PARAMS)
    assert reply.text == "a\ufffdb\ufffdc"
    assert server.completions[0].body["messages"][0]["content"] == "x\ufffdy"


async def test_usage_counts_requests_and_tokens() -> None:
    async with bench([refusal(500)]) as (client, _):
        await client.ask(n=2)
        await client.ask()
        usage = client.actor.usage
    assert (usage.requests, usage.retries) == (3, 1)
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (20, 8, 9)


@pytest.mark.parametrize("usage", ["", ', "usage": null', ', "usage": {"prompt_tokens": "many"}'])
async def test_a_server_without_usage_costs_no_tokens(usage: str) -> None:
    body = '{"choices": [{"message": {"content": "hi"}, "finish_reason": null}]' + usage + "}"
    async with bench([Fault(body=body)]) as (client, _):
        assert await client.ask() == [Completion("hi", "stop")]
    assert client.actor.usage.tokens == 0


async def test_check_passes_where_the_model_is_listed() -> None:
    async with bench(serve={"models": ["other", "tiny"]}) as (client, server):
        await client.actor.check()
    assert server.completions == []


@pytest.mark.parametrize("listed", ["tiny:latest", "models/tiny"])
async def test_check_knows_the_longer_names_of_ollama_and_gemini(listed: str) -> None:
    async with bench(serve={"models": [listed]}) as (client, _):
        await client.actor.check()


async def test_check_refuses_a_model_that_is_not_listed() -> None:
    async with bench(serve={"models": ["other"]}) as (client, server):
        with pytest.raises(EndpointRejected, match="does not serve the model 'tiny'; it serves ot"):
            await client.actor.check()
    assert server.completions == []


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
    async with bench(serve={"models": None}) as (client, _):
        await client.actor.check()
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
