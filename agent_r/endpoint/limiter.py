"""Limit the requests in flight: to a fixed number, or to one that is found by trying."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass

AUTO_FIRST = 8  # where the search for the limit begins
AUTO_MOST = 256
DOUBLE, STEP = 2.0, 1.25  # how far a trial goes: until the first that fails, and later
REST = 12  # windows between two later trials
WORTH = 0.3  # of what a trial could give at best: less, and the limit goes back
BACK_OFF = 0.7  # of the limit, after the server said that it is too much


def at_once(concurrency: int | str) -> int:
    """How many trees, or episodes, are begun: some more than slots, for not all ask just now."""
    return concurrency + concurrency // 4 if isinstance(concurrency, int) else AUTO_MOST // 2


class ConcurrencyLimiter:
    """`async with slots:` holds one; those who wait are served in the order in which they came.

    Args:
        climb: finds the limit by trying; without it the limit stays what it is.
    """

    def __init__(self, limit: int, *, climb: AdaptiveLimit | None = None) -> None:
        self.in_flight = 0
        self._limit = limit
        self._lent = math.inf
        self._climb = climb
        self._waiting: deque[asyncio.Future[None]] = deque()

    @classmethod
    def of(cls, concurrency: int | str) -> ConcurrencyLimiter:
        """As the settings say: a number, or `auto`."""
        if isinstance(concurrency, int):
            return cls(concurrency)
        return cls(AUTO_FIRST, climb=AdaptiveLimit())

    @property
    def limit(self) -> int:
        """The requests that may be in flight now."""
        return int(min(self._limit, self._lent))

    @property
    def wanted(self) -> int:
        """The slots that are of use now: held, or waited for."""
        return min(self._limit, self.in_flight + len(self._waiting))

    def lend(self, slots: int) -> None:
        """Hold no more than these, of slots that several processes share; in-flight ones end."""
        self._lent = slots
        self._wake()

    async def __aenter__(self) -> None:
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn  # who wakes us has counted us in
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def answered(self, now: float) -> None:
        """Note that a reply came at a time (seconds, of any clock)."""
        if self._climb is not None:
            full = bool(self._waiting) or self.in_flight >= self.limit
            self._limit = self._climb.answered(now, full=full)
            self._wake()

    def refused(self, now: float) -> None:
        """Note that the server refused at that time because of too many requests."""
        if self._climb is not None:
            self._limit = self._climb.refused(now)

    def _give_back(self) -> None:
        self.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():  # else it was cancelled while it waited
                self.in_flight += 1
                turn.set_result(None)


@dataclass(slots=True)
class AdaptiveLimit:
    """A limit doubles while that gives more answers a second, and falls when the server says so.

    Past the number of requests that a server works on at once, more in flight only wait longer:
    the answers a second stay the same. Only windows in which all slots were taken say anything.
    """

    limit: int = AUTO_FIRST
    standing: int = 0  # the limit that a trial would fall back to
    rate: float = 0.0  # its answers a second
    factor: float = DOUBLE
    rest: int = 0  # windows since the last trial
    since_cut: float = math.inf  # answers and refusals since the limit was cut
    answers: int = 0  # in this window
    began: float | None = None
    all_taken: bool = True

    def answered(self, now: float, *, full: bool) -> int:
        """The limit after an answer at `now`; `full`: all slots were taken when it came."""
        self.since_cut += 1
        if self.began is None:
            self._open(now)
            return self.limit
        self.answers += 1
        self.all_taken = self.all_taken and full
        # Four rounds of all slots: the first of them still began under the limit before.
        if self.answers >= max(4 * self.limit, 32) and now > self.began:
            rate, judged = self.answers / (now - self.began), self.all_taken
            self._open(now)
            if judged:
                self._judge(rate)
        return self.limit

    def refused(self, now: float) -> int:
        """The limit after a refusal; those that were on their way at the last one do not count."""
        self.since_cut += 1
        if self.since_cut > self.limit / BACK_OFF:
            self.limit = max(1, int(self.limit * BACK_OFF))
            self.standing, self.factor, self.rest, self.since_cut = 0, STEP, 0, 0
            self._open(now)
        return self.limit

    def _open(self, now: float) -> None:
        self.began, self.answers, self.all_taken = now, 0, True

    def _judge(self, rate: float) -> None:
        on_trial = 0 < self.standing < self.limit
        if on_trial and rate < self.rate * (1 + WORTH * (self.limit / self.standing - 1)):
            self.limit, self.factor, self.rest = self.standing, STEP, 0
            return
        self.standing, self.rate = self.limit, rate
        self.rest += 1
        if on_trial or self.factor == DOUBLE or self.rest >= REST:
            self.limit = min(AUTO_MOST, math.ceil(self.limit * self.factor))
