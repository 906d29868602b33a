"""The number of requests in flight: never exceeded, and found by trying where it is `auto`."""

from __future__ import annotations

import asyncio
import heapq
import itertools

import pytest

from agent_r.endpoint.client import EndpointActor
from agent_r.endpoint.limiter import (
    AUTO_FIRST,
    AUTO_MOST,
    AdaptiveLimit,
    ConcurrencyLimiter,
    at_once,
)
from agent_r.settings import OpenAIEndpoint
from tests.support.faulty_endpoint import HELLO, KEY, PARAMS, FaultyEndpoint


@pytest.mark.parametrize(
    ("slots", "later"),
    [
        (ConcurrencyLimiter(3), range(3, 20)),
        (ConcurrencyLimiter(3, climb=AdaptiveLimit()), range(19, 2, -1)),
    ],
    ids=["a number: in turn", "found by trying: the last first"],
)
async def test_a_limit_is_never_exceeded(slots: ConcurrencyLimiter, later: range) -> None:
    order, most = list[int](), 0

    async def one(number: int) -> None:
        nonlocal most
        async with slots:
            order.append(number)
            most = max(most, slots.in_flight)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(one(number) for number in range(20)))
    assert (most, order, slots.in_flight) == (3, [0, 1, 2, *later], 0)


async def test_who_is_cancelled_while_waiting_takes_no_slot_along() -> None:
    slots = ConcurrencyLimiter(1)

    async def hold(seconds: float) -> None:
        async with slots:
            await asyncio.sleep(seconds)

    first = asyncio.create_task(hold(0.02))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(hold(0)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[3].cancel()
    await asyncio.gather(first, *waiting, return_exceptions=True)
    assert slots.in_flight == 0
    async with slots:
        assert slots.in_flight == 1


def climb(slots: int, seconds: float, answers: int, *, refuse_above: int = AUTO_MOST) -> list[int]:
    """The limits along a run against a server of so many slots, simulated to the event."""
    ways, limits, now = AdaptiveLimit(), [], 0.0
    free, flying, ties = [0.0] * slots, [], itertools.count()
    limit = ways.limit

    def send() -> None:
        if len(flying) >= refuse_above:
            heapq.heappush(flying, (now + 0.01, next(ties), now, False))
            return
        begin = max(now, heapq.heappop(free))
        heapq.heappush(free, begin + seconds)
        heapq.heappush(flying, (begin + seconds, next(ties), now, True))

    for _ in range(answers):
        while len(flying) < limit:
            send()
        now, _, sent, well = heapq.heappop(flying)
        limit = ways.answered(sent, now, full=True) if well else ways.refused(now)
        limits.append(limit)
    return limits


def answered_by(ways: AdaptiveLimit, slots: int, *, answers: int) -> float:
    """The mean limit of the last quarter, where a request takes 0.2 s for each full house."""
    now, limits = (ways.opened or 0.0) + 10, []
    for _ in range(answers):
        now += 0.2 / min(slots, ways.limit)
        ways.answered(now - 0.2 * max(1, ways.limit / slots), now, full=True)
        limits.append(ways.limit)
    late = limits[-answers // 4 :]
    return sum(late) / len(late)


@pytest.mark.parametrize("slots", [8, 32, 64, 128])
def test_the_climb_finds_the_slots_of_a_server(slots: int) -> None:
    limits = climb(slots, 0.2, 6000)
    late = limits[len(limits) // 2 :]
    assert 0.9 * slots <= sum(late) / len(late) <= 1.6 * slots
    assert max(limits) <= min(AUTO_MOST, 2.6 * slots)


@pytest.mark.parametrize("slots", [8, 32, 128])
def test_looking_for_the_slots_leaves_few_of_them_idle(slots: int) -> None:
    idle = [max(0.0, 1 - limit / slots) for limit in climb(slots, 0.2, 300 * slots)]
    assert sum(idle) / len(idle) < 0.05


def test_the_climb_stays_under_what_the_server_refuses() -> None:
    late = climb(256, 0.2, 8000, refuse_above=40)[4000:]
    assert 20 <= sum(late) / len(late) <= 44


def test_the_climb_ends_at_its_own_limit() -> None:
    assert max(climb(10_000, 0.2, 20_000)) == AUTO_MOST


def test_windows_in_which_slots_were_free_say_nothing() -> None:
    ways = AdaptiveLimit()
    assert [ways.answered(k / 10 - 0.1, k / 10, full=False) for k in range(200)][-1] == AUTO_FIRST


async def test_slots_that_others_hold_are_no_reason_to_want_more() -> None:
    slots, now = ConcurrencyLimiter.of("auto"), 0.0
    slots.lend(AUTO_FIRST // 2)
    for _ in range(AUTO_FIRST // 2):
        await slots.__aenter__()
    for _ in range(500):
        now += 0.1
        slots.answered(now - 0.4, now)
    slots.lend(AUTO_MOST)
    assert slots.limit == AUTO_FIRST


def test_a_limit_that_no_longer_pays_falls_and_one_that_would_is_found_again() -> None:
    """A server of 64 slots, then of 16, then of 64."""
    ways = AdaptiveLimit()
    assert 60 <= answered_by(ways, 64, answers=6000) <= 80
    assert 14 <= answered_by(ways, 16, answers=6000) <= 24
    assert 52 <= answered_by(ways, 64, answers=6000) <= 96


def test_more_trees_are_begun_than_requests_may_be_in_flight() -> None:
    assert (at_once(1), at_once(64)) == (1, 80)
    assert at_once("auto") > AUTO_FIRST


async def test_auto_takes_more_slots_as_long_as_that_pays() -> None:
    with FaultyEndpoint(delay_s=0.1) as server:
        config = OpenAIEndpoint(base_url=server.base_url, model="tiny", concurrency="auto")
        async with EndpointActor(config, api_key=KEY) as actor:
            calls = (actor.complete(HELLO, n=1, params=PARAMS) for _ in range(300))
            await asyncio.gather(*calls)
            assert actor.slots.limit > AUTO_FIRST
    assert server.most_in_flight <= AUTO_MOST
