"""A server that answers nobody is asked by one for all, and given up in one line."""

from __future__ import annotations

import asyncio
import time

import pytest

from agent_r.actor import Message
from agent_r.endpoint.circuit_breaker import SUSPECT, Breaker
from agent_r.endpoint.client import EndpointActor
from agent_r.errors import EndpointDown, EndpointUnavailable
from agent_r.settings import OpenAIEndpoint
from tests.support.faulty_endpoint import (
    HELLO,
    KEY,
    PARAMS,
    Fault,
    FaultyEndpoint,
    Received,
    refusal,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def breaker(clock: Clock, patience_s: float = 60.0) -> Breaker:
    return Breaker("http://here/v1", patience_s=patience_s, sleep=clock.sleep, clock=clock)


def suspected(clock: Clock, patience_s: float = 60.0) -> Breaker:
    made = breaker(clock, patience_s)
    for _ in range(SUSPECT):
        made.failed("refused")
    return made


def test_failures_of_one_party_alone_are_its_own_and_begin_no_outage() -> None:
    clock = Clock()
    made = breaker(clock, patience_s=60)
    for _ in range(5 * SUSPECT):
        clock.now += 10
        made.failed("HTTP 500", "a tree")
    assert not made.suspect
    clock.now += 1
    made.failed("HTTP 500", "another tree")  # now it is one, of a second so far
    assert made.suspect
    clock.now += 60
    with pytest.raises(EndpointDown, match="answered nobody for 61 s"):
        made.failed("HTTP 500", "a tree")
    made.answered()
    for _ in range(SUSPECT):
        made.failed("HTTP 500", "a tree")
    assert not made.suspect


async def test_one_asks_for_all_while_the_server_is_suspect() -> None:
    clock = Clock()
    made, at_once, most = suspected(clock), 0, 0

    async def send() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1

    await asyncio.gather(*(made.ask(send) for _ in range(20)))
    assert most == 1
    made.answered()
    await asyncio.gather(*(made.ask(send) for _ in range(20)))
    assert most == 20


async def test_pauses_double_and_end_at_a_limit() -> None:
    clock = Clock()
    made = suspected(clock, patience_s=1000)

    async def fail() -> None:
        made.failed("refused")

    for _ in range(7):
        await made.ask(fail)
    assert clock.pauses == [1, 2, 4, 8, 16, 20, 20]


async def test_many_failures_at_once_are_one_and_the_last_pause_ends_with_the_patience() -> None:
    clock = Clock()
    made = suspected(clock, patience_s=5)
    for _ in range(50):
        made.failed("refused")

    async def fail() -> None:
        made.failed("refused")

    for _ in range(2):
        await made.ask(fail)
    with pytest.raises(EndpointDown, match="for 5 s"):
        await made.ask(fail)
    assert clock.pauses == [1, 2, 2]


async def test_one_answer_makes_all_well_again() -> None:
    made = suspected(Clock())
    assert made.suspect
    made.answered()
    assert not made.suspect


async def test_after_its_patience_it_asks_no_more_and_says_what_was_wrong() -> None:
    clock = Clock()
    made = suspected(clock, patience_s=60)
    clock.now = 61.0
    with pytest.raises(EndpointDown, match=r"http://here/v1 has answered nobody for 61 s"):
        made.failed("Connection refused")

    async def never() -> None:
        raise AssertionError("asked again")

    with pytest.raises(EndpointDown, match="Connection refused"):
        await made.ask(never)


def actor(server: FaultyEndpoint, **settings: object) -> EndpointActor:
    given = {"base_url": server.base_url, "model": "tiny", "attempts": 2, "concurrency": 16}
    config = OpenAIEndpoint.model_validate(given | settings)

    async def soon(_: float) -> None:
        await asyncio.sleep(0.02)

    return EndpointActor(config, api_key=KEY, sleep=soon)


async def test_an_outage_shorter_than_the_patience_fails_no_request() -> None:
    back = time.monotonic() + 0.5

    def out(received: Received) -> Fault | None:
        return refusal(503) if time.monotonic() < back else None

    with FaultyEndpoint(out) as server:
        async with actor(server) as asked:

            async def ask() -> list[str]:
                return [r.text for r in await asked.complete(HELLO, n=1, params=PARAMS)]

            replies = await asyncio.gather(*(ask() for _ in range(40)), return_exceptions=True)
    failed = sum(isinstance(reply, EndpointUnavailable) for reply in replies)
    assert failed <= SUSPECT  # those whose tries were over before the outage was noticed
    assert (
        len(server.completions) < 40 + 100
    )  # and few tries were made meanwhile: not 16 every 20 ms


async def test_a_dead_server_is_given_up_once_for_all_requests() -> None:
    with FaultyEndpoint(lambda received: refusal(500)) as server:
        async with actor(server, attempts=50, patience_s=0.3) as asked:
            calls = [
                asked.complete([*HELLO, Message("user", str(k))], n=1, params=PARAMS)
                for k in range(30)
            ]
            began = time.monotonic()
            replies = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(reply, EndpointDown) for reply in replies)
    assert time.monotonic() - began < 15
    assert len(server.completions) < 100


async def test_what_a_server_cannot_answer_ends_that_request_alone() -> None:
    def poison(received: Received) -> Fault | None:
        return refusal(500) if "poison" in received.body["messages"][-1]["content"] else None

    with FaultyEndpoint(poison) as server:
        async with actor(server, attempts=4, patience_s=0.01) as asked:
            for _ in range(4):  # sixteen tries in a row, and nobody else asks
                with pytest.raises(EndpointUnavailable, match="after 4 tries") as failure:
                    await asked.complete([Message("user", "poison")], n=1, params=PARAMS)
                assert not isinstance(failure.value, EndpointDown)
            assert await asked.complete(HELLO, n=1, params=PARAMS)
