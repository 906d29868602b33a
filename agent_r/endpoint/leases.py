"""Lease an endpoint's slots from a pool that several processes share, never per request.

A process holds its fair share as long as it can use it, and beyond that what nobody else holds, for
a short term: who comes late finds its share soon, and the last one at work has all slots. What a
killed process held comes back when its lease is not renewed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from agent_r.endpoint.limiter import ConcurrencyLimiter

TICK_S = 1.0
RENEW_S = 15.0  # a lease lasts four times as long: a server may be away for some time
TERM_S = 10.0  # for which slots beyond the fair share are held
PIECES = 4  # of a fair share: who needs less returns some
STEADY = 3  # ticks for which less is of use until it is returned
MARGIN_S = 15.0  # before its end a lease is no longer used: a renewal may hang for some time
STARVED_S = 180.0  # without any slot, after which a person should know

_log = logging.getLogger("agent_r.progress")


class LeaseLost(Exception):
    """The pool does not know a lease."""


class SlotPool(Protocol):
    """Slots that processes share; an `OSError`, soon, means that it cannot be asked just now."""

    @property
    def lease_s(self) -> float:
        """Seconds after which a lease that is not renewed has ended."""
        ...

    async def take(self, slots: int) -> str:
        """A lease of so many; "" where they are not free."""
        ...

    async def renew(self, lease: str) -> None:
        """Keep it for another `lease_s`.

        Raises:
            LeaseLost: the pool does not know it.
        """
        ...

    async def give_back(self, lease: str) -> None:
        """End a lease; one that has ended is no error."""
        ...

    async def free(self, slots: int) -> None:
        """Count slots as free whose lease a restarted pool has forgotten."""
        ...


@dataclass(slots=True, eq=False)
class _Lease:
    name: str
    slots: int
    renewed: float  # when it was asked for last
    ends: float = math.inf  # when it is returned even if it is of use: not of the fair share
    returning: bool = False  # no request begins in it any more
    forgotten: bool = False  # by the pool, which still counts its slots as taken


class LeasedSlots:
    """Keeps a limiter supplied with leased slots; use as `async with`, before the first request.

    Args:
        fair: slots that are this process's own whenever it can use them; the sum over all
            processes is at most the pool.
        clock: seconds, of any beginning.
    """

    def __init__(
        self,
        limiter: ConcurrencyLimiter,
        pool: SlotPool,
        *,
        fair: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limiter, self._pool, self._fair, self._clock = limiter, pool, fair, clock
        self._leases: list[_Lease] = []
        self._wanted: deque[int] = deque(maxlen=STEADY)
        self._rests_until = self._served = self._since = clock()
        self._slot_seconds = 0.0
        limiter.lend(0)

    @property
    def slot_seconds(self) -> float:
        """Slots held so far, times how long: of these some were used."""
        return self._slot_seconds + self._limiter.limit * (self._clock() - self._since)

    async def __aenter__(self) -> Self:
        for _ in range(PIECES):
            await self.step(self._fair)
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeping
        for lease in self._leases:
            lease.returning = True
        self._lend()
        with contextlib.suppress(OSError):  # they end by themselves
            await self._return()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.step(self._limiter.wanted)

    async def step(self, wanted: int) -> None:
        """Renew what is held, return what is too much, ask for what is lacking."""
        self._wanted.append(wanted)
        try:
            for lease in [lease for lease in self._leases if not lease.forgotten]:
                if self._clock() - lease.renewed >= RENEW_S:
                    await self._renew(lease)
            self._mark(max(self._wanted))
            if self._limiter.in_flight <= self._held:
                await self._return()
            await self._ask(wanted)
        except OSError as error:
            _log.debug("no answer about the endpoint's slots: %s", error)
        # A request begins only in a lease that surely lasts: what has ended may be others'.
        lasts = self._clock() - self._pool.lease_s + MARGIN_S
        self._leases = [ls for ls in self._leases if ls.renewed > lasts or ls.forgotten]
        self._lend()
        self._warn(wanted)

    async def _renew(self, lease: _Lease) -> None:
        asked = self._clock()
        try:
            await self._pool.renew(lease.name)
        except LeaseLost:  # before its time: the pool was restarted
            lease.forgotten = lease.returning = True
            self._lend()
        else:
            lease.renewed = asked

    def _mark(self, wanted: int) -> None:
        """Choose what is to be returned: what is of no use, and what has had its term."""
        now = self._clock()
        for lease in reversed(self._leases):
            if lease.returning:
                continue
            if now >= lease.ends:
                lease.returning, self._rests_until = True, now + 2 * TICK_S
            elif self._held - lease.slots >= max(wanted, 1):
                lease.returning = True
        self._lend()

    async def _return(self) -> None:
        for lease in [lease for lease in self._leases if lease.returning]:
            if lease.forgotten:
                await self._pool.free(lease.slots)
            else:
                await self._pool.give_back(lease.name)
            self._leases.remove(lease)

    async def _ask(self, wanted: int) -> None:
        lacking, now = wanted - self._held, self._clock()
        fair = self._fair - sum(ls.slots for ls in self._leases if ls.ends == math.inf)
        if lacking > 0 and fair > 0:
            piece = -(-self._fair // PIECES)
            await self._take(min(lacking, fair, piece), ends=math.inf)
        elif lacking > 0 and now >= self._rests_until:
            self._rests_until = now + 2 * TICK_S
            await self._take(lacking, ends=now + TERM_S)

    async def _take(self, slots: int, *, ends: float) -> None:
        """So many, or else half of them, and so on."""
        while slots:
            asked = self._clock()
            if name := await self._pool.take(slots):
                self._leases.append(_Lease(name, slots, asked, ends))
                return self._lend()
            slots //= 2

    @property
    def _held(self) -> int:
        return sum(lease.slots for lease in self._leases if not lease.returning)

    def _lend(self) -> None:
        self._slot_seconds, self._since = self.slot_seconds, self._clock()
        self._limiter.lend(self._held)

    def _warn(self, wanted: int) -> None:
        now = self._clock()
        if self._held or not wanted:
            self._served = now
        elif now - self._served >= STARVED_S:
            self._served = now
            _log.warning("no slot of the endpoint was free for %.0f s: %s", STARVED_S, self._pool)
