"""Slots that several processes lease from one pool: never more in use than there are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent_r.endpoint import leases
from agent_r.endpoint.leases import RENEW_S, TERM_S, LeasedSlots, LeaseLost
from agent_r.endpoint.limiter import ConcurrencyLimiter


@dataclass
class Pool:
    """A pool in this process, with a clock of its own; it can be away, and forget."""

    limit: int
    lease_s: float = 60.0
    now: float = 0.0
    away: bool = False
    held: dict[str, tuple[int, float]] = field(default_factory=dict)  # slots, and when it ends
    stuck: int = 0  # counted as taken, by leases that were forgotten
    number: int = 0

    def reached(self) -> None:
        self.held = {name: one for name, one in self.held.items() if one[1] > self.now}
        if self.away:
            raise TimeoutError("away")

    @property
    def taken(self) -> int:
        return sum(slots for slots, _ in self.held.values()) + self.stuck

    async def take(self, slots: int) -> str:
        self.reached()
        if self.taken + slots > self.limit:
            return ""
        self.number += 1
        self.held[str(self.number)] = (slots, self.now + self.lease_s)
        return str(self.number)

    async def renew(self, lease: str) -> None:
        self.reached()
        if lease not in self.held:
            raise LeaseLost
        self.held[lease] = (self.held[lease][0], self.now + self.lease_s)

    async def give_back(self, lease: str) -> None:
        self.reached()
        self.held.pop(lease, None)

    async def free(self, slots: int) -> None:
        self.reached()
        self.stuck -= slots

    def restart(self) -> None:
        self.stuck, self.held = self.taken, {}


class Process:
    """One that shares the pool; it wants so many slots, and is stepped by hand."""

    def __init__(self, pool: Pool, *, fair: int, wants: int) -> None:
        self.limiter, self.wants = ConcurrencyLimiter(64), wants
        self.leased = LeasedSlots(self.limiter, pool, fair=fair, clock=lambda: pool.now)

    @property
    def holds(self) -> int:
        return self.limiter.limit


async def run(pool: Pool, processes: list[Process], seconds: float) -> None:
    """Step them all once a second; at no time do they hold more than there is."""
    for _ in range(int(seconds)):
        pool.now += 1.0
        for process in processes:
            await process.leased.step(process.wants)
            assert sum(each.holds for each in processes) <= pool.limit


async def test_each_holds_its_share_and_who_is_left_holds_all() -> None:
    pool = Pool(32)
    processes = [Process(pool, fair=8, wants=40) for _ in range(4)]
    await run(pool, processes, 30)
    assert [process.holds for process in processes] == [8, 8, 8, 8]
    for process in processes[1:]:
        process.wants = 0
    await run(pool, processes, 10)
    assert processes[0].holds >= 24 and sum(process.holds for process in processes) <= 32


async def test_who_comes_late_has_its_share_after_a_term() -> None:
    pool = Pool(32)
    first, late = Process(pool, fair=8, wants=40), Process(pool, fair=8, wants=40)
    await run(pool, [first], 10)
    assert first.holds == 32
    await run(pool, [first, late], TERM_S + 8)
    assert late.holds >= 8


async def test_what_a_dead_process_held_is_free_after_its_lease_and_not_before() -> None:
    pool = Pool(8)
    dies, lives = Process(pool, fair=4, wants=4), Process(pool, fair=4, wants=8)
    await run(pool, [dies, lives], 20)
    assert (dies.holds, lives.holds) == (4, 4)
    await run(pool, [lives], pool.lease_s - RENEW_S - 2)
    assert lives.holds <= 4
    await run(pool, [lives], RENEW_S + 10)
    assert lives.holds > 4


async def test_while_the_pool_is_away_slots_are_kept_and_given_up_before_others_have_them() -> None:
    pool = Pool(8)
    process = Process(pool, fair=8, wants=8)
    await run(pool, [process], 10)
    pool.away = True
    await run(pool, [process], 25)
    assert process.holds == 8
    await run(pool, [process], 25)
    assert process.holds == 0 and pool.taken == 8
    pool.away = False
    await run(pool, [process], 20)
    assert process.holds == 8


async def test_a_restarted_pool_that_has_forgotten_its_leases_is_set_right() -> None:
    pool = Pool(8)
    processes = [Process(pool, fair=4, wants=4) for _ in range(2)]
    await run(pool, processes, 10)
    pool.restart()
    assert pool.taken == 8
    await run(pool, processes, RENEW_S + 10)
    assert [process.holds for process in processes] == [4, 4]
    assert pool.taken == 8 and pool.stuck == 0


async def test_a_request_in_flight_keeps_its_slot_until_it_ends() -> None:
    pool = Pool(4)
    process = Process(pool, fair=4, wants=4)
    await run(pool, [process], 5)
    for _ in range(4):
        await process.limiter.__aenter__()
    process.wants = 1
    await run(pool, [process], 10)
    assert (process.holds, pool.taken) == (1, 4)
    for _ in range(3):
        await process.limiter.__aexit__()
    await run(pool, [process], 2)
    assert (process.holds, pool.taken) == (1, 1)


async def test_all_is_returned_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "TICK_S", 0.01)
    pool, limiter, done = Pool(8), ConcurrencyLimiter(64), 0

    async def ask() -> None:
        nonlocal done
        async with limiter:
            await asyncio.sleep(0.001)
            done += 1

    async with LeasedSlots(limiter, pool, fair=4, clock=lambda: pool.now) as leased:
        assert limiter.limit == 4
        await asyncio.gather(*(ask() for _ in range(200)))
        pool.now = 10.0
        assert leased.slot_seconds > 0
    assert (done, pool.taken, limiter.limit) == (200, 0, 0)


async def test_who_starves_is_told(caplog: Any) -> None:
    pool = Pool(4)
    fed, hungry = Process(pool, fair=4, wants=4), Process(pool, fair=1, wants=4)
    await run(pool, [fed], 5)
    with caplog.at_level("WARNING"):
        await run(pool, [fed, hungry], leases.STARVED_S + 5)
    [line] = [record.message for record in caplog.records]
    assert line.startswith("no slot of the endpoint was free for 180 s")
