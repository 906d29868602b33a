"""Limit the requests in flight: to a fixed number, or to one that is found by trying."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass

AUTO_FIRST = 8  # where the search for the limit begins
AUTO_MOST = 256
DOUBLE, STEP = 2.0, 1.25  # how far a trial goes: until the first that fails, and later
WORTH = 0.1  # of what a higher limit could give at best: less, and the lower one is kept
MOST = 0.7  # of that: more, and the knee is far off, so the next trial doubles
REST = 12  # windows between a trial up and down, and the next two
SMOOTH = 0.3  # weight of the last window in what is known of the standing limit
SURPRISE = 0.3  # a change of the answers a second that is no chance, if it comes twice
PATIENCE = 1.2  # times as long as they should may a trial's first answers take
FEW, SOME = 8, 64  # answers that tell, at least, of a doubling and of a step
BACK_OFF = 0.7  # of the limit, after the server said that it is too much


def at_once(concurrency: int | str) -> int:
    """How many trees, or episodes, are begun: some more than slots, for not all ask just now."""
    limit = concurrency if isinstance(concurrency, int) else AUTO_MOST
    return limit + limit // 4


class ConcurrencyLimiter:
    """`async with slots:` holds one; those who wait are served in turn, or the last of them first.

    The last, where the limit is found by trying, for then many more wait than may be in flight: so
    the trees that were asked about just now go on, and the beginnings of their prompts are still in
    the server's cache, which hundreds of conversations in turn would push one another out of. A
    fixed limit has few that wait, and in turn all trees end together, with no slot idle.

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

    def answered(self, began: float, now: float) -> None:
        """Note that a reply came now to a request of then (seconds, of any clock)."""
        if self._climb is not None:
            full = self.in_flight >= self._limit  # not where fewer are lent
            self._limit = self._climb.answered(began, now, full=full)
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
            turn = self._waiting.popleft() if self._climb is None else self._waiting.pop()
            if not turn.done():  # else it was cancelled while it waited
                self.in_flight += 1
                turn.set_result(None)


@dataclass(slots=True)
class AdaptiveLimit:
    """A limit that grows while that gives more answers a second, and shrinks where it costs none.

    Past what a server works on at once, more in flight only wait longer, and past what its memory
    holds they push one another out: the answers a second stay the same, or fall. So another limit
    is tried now and then, for as many answers as tell, and kept where it is worth it. The search
    is that of BBR (Cardwell et al., ACM Queue 14(5), 2016) with answers for bytes: doubling until
    it no longer pays, then probes a quarter up and a quarter down. Only windows in which all
    slots were taken say anything.
    """

    limit: int = AUTO_FIRST
    standing: int = AUTO_FIRST  # the limit that a trial falls back to
    rate: float = 0.0  # its answers a second; 0: not known
    factor: float = DOUBLE
    upward: bool = True
    rest: int = 0  # windows until the next trial
    surprised: bool = False  # the last window at the standing limit was unlike those before
    since_cut: float = math.inf  # answers and refusals since the limit was cut
    opened: float | None = None  # when this window began
    settling: int = 0  # its first answers, whose requests began under another limit
    settled: float = 0.0  # when the last of these came
    answers: int = 0  # in this window, those included
    seconds: float = 0.0  # that the others took, their sum
    all_taken: bool = True  # slots, whenever an answer came

    def answered(self, began: float, now: float, *, full: bool) -> int:
        """The limit after an answer now to a request of then; `full`: all slots were taken."""
        self.since_cut += 1
        if self.opened is None:
            self._open(now)
            return self.limit
        self.answers += 1
        self.all_taken = self.all_taken and full
        if self.answers > self.settling:
            self.seconds += now - began
            self._count(self.answers - self.settling, now)
        else:
            self.settled = now
            if self._late(now - self.opened, PATIENCE * self.settling):
                self._close(now, self.answers / (now - self.opened))
        return self.limit

    def refused(self, now: float) -> int:
        """The limit after a refusal; those that were on their way at the last one do not count."""
        self.since_cut += 1
        if self.since_cut > self.limit / BACK_OFF:
            self.limit = self.standing = max(1, int(self.limit * BACK_OFF))
            self.rate, self.factor, self.upward, self.rest = 0.0, STEP, True, self._long
            self.surprised, self.since_cut = False, 0
            self._open(now)
        return self.limit

    def _open(self, now: float, *, settling: int = 0) -> None:
        self.opened = self.settled = now
        self.settling, self.answers, self.seconds, self.all_taken = settling, 0, 0.0, True

    @property
    def _enough(self) -> int:
        """Answers that tell: a round, but two of a trial where a small difference matters."""
        if self.factor == DOUBLE or self.limit == self.standing:
            return max(self.limit, FEW)
        return max(2 * self.limit, SOME)

    @property
    def _long(self) -> int:
        """Windows of a rest: at a low limit these are short, and a trial is not."""
        return REST * max(1, SOME // (2 * self.standing))

    @property
    def _needed(self) -> float:
        """Answers a second with which this limit is kept."""
        if self.limit == self.standing:
            return self.rate * (1 - SURPRISE)
        worth = 1 + WORTH * (max(self.limit, self.standing) / min(self.limit, self.standing) - 1)
        return self.rate * worth if self.limit > self.standing else self.rate / worth

    def _count(self, answers: int, now: float) -> None:
        """Close the window with its answers a second, once they are enough, or too slow."""
        if answers >= self._enough and self.seconds > 0:
            # By Little's law: steadier than counting, for answers come in bursts.
            self._close(now, self.limit * answers / self.seconds)
        elif self._late(now - self.settled, self._enough):
            self._close(now, answers / (now - self.settled))

    def _close(self, now: float, rate: float) -> None:
        before = self.limit
        if self.all_taken:
            self._judge(rate)
        # The first round under another limit says little: its requests began at once.
        self._open(now, settling=max(before, self.limit) if self.limit != before else 0)

    def _late(self, seconds: float, answers: float) -> bool:
        """Whether so many answers would have come by now, were this limit one to keep."""
        return self._needed * seconds > answers

    def _judge(self, rate: float) -> None:
        """Go on from a window's answers a second: stay, try another limit, keep or leave it."""
        if self.limit == self.standing:
            self._look_around(rate)
        elif rate >= self._needed:
            best = self.rate * self.limit / self.standing
            if self.upward and rate - self.rate > MOST * (best - self.rate):
                self.factor = DOUBLE
            self.standing, self.rate = self.limit, rate
            self._try()
        else:
            self.limit = self.standing
            if self.factor == STEP:
                self.upward, self.rest = not self.upward, 0 if self.upward else self._long
            else:
                self.factor, self.upward, self.rest = STEP, True, 0

    def _look_around(self, rate: float) -> None:
        """Begin the next trial if it is time, or if twice in a row all is unlike before."""
        known = self.rate or rate
        surprising = not 1 - SURPRISE < rate / known < 1 / (1 - SURPRISE)
        if surprising and not self.surprised:
            self.surprised = True  # an outage, perhaps
            return
        if surprising:
            self.factor, self.upward, self.rest, known = DOUBLE, rate > known, 0, rate
        self.rate, self.surprised = known + SMOOTH * (rate - known), False
        if self.rest:
            self.rest -= 1
        else:
            self._try()

    def _try(self) -> None:
        """Begin a trial; where there is no other limit that way, look the other way later."""
        if self.upward:
            self.limit = min(AUTO_MOST, math.ceil(self.standing * self.factor))
        else:
            self.limit = max(1, int(self.standing / self.factor))
        if self.limit == self.standing:
            self.factor, self.upward, self.rest = STEP, not self.upward, self._long
