"""Stop sending to a dead server: one request probes it, and after a time limit all fail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent_r.errors import EndpointDown

_log = logging.getLogger("agent_r.progress")
T = TypeVar("T")

SUSPECT = 10  # tries in a row, of at least two parties, that had no answer
NOBODY = ""  # the party of a try that failed for no reason of its own: no server was reached, say
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 20.0  # between two tries of a suspect


class Breaker:
    """Counts tries without an answer, over all requests of one server.

    Ten in a row make it suspect: from then on one request at a time finds out whether it answers,
    after pauses that double, and the others wait. A server that starts again in time costs nothing
    but that time; one that does not is given up in one line, not once for each request. Where all
    ten are of one party (one tree), it is that which the server cannot answer, and no outage.

    Args:
        where: the server, as messages name it.
        patience_s: seconds without any answer, the first try's included, until it is given up.
    """

    def __init__(
        self,
        where: str,
        *,
        patience_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where, self._patience_s = where, patience_s
        self._sleep, self._clock = sleep, clock
        self._row = 0
        self._parties: set[str] = set()  # in the row; more than two say no more than two
        self._since = 0.0  # the first failure of the row
        self._probes = 0  # of this outage
        self._given_up = ""  # the line that says so
        self._probe = asyncio.Lock()

    @property
    def suspect(self) -> bool:
        return self._row >= SUSPECT

    def answered(self) -> None:
        """Note that the server answered."""
        if self._row == 0:
            return
        if self.suspect:
            _log.info("%s answers again", self._where)
        self._row = self._probes = 0
        self._parties.clear()

    def failed(self, cause: str, party: str = NOBODY) -> None:
        """Note that one try had no answer.

        Args:
            party: whose try it was; NOBODY where it would have failed for anybody.

        Raises:
            EndpointDown: nobody has been answered for too long.
        """
        was_suspect = self.suspect
        self._note(party)
        if self.suspect and not was_suspect:
            _log.info("%s answers nobody (%s): asked now and then, for %.0f s at most",
                      self._where, cause, self._patience_s)  # fmt: skip
        waited = self._clock() - self._since
        if self.suspect and waited >= self._patience_s:
            tried = f"{self._row} tries; the last: {cause}"
            self._given_up = f"{self._where} has answered nobody for {waited:.0f} s ({tried})"
            raise EndpointDown(self._given_up)

    def _pause(self) -> float:
        """Before the next probe: twice the last one's, and no longer than the patience lasts."""
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self._probes, 10), LONGEST_PAUSE_S)
        self._probes += 1
        left = self._since + self._patience_s - self._clock()
        return max(min(pause, left), 0.0)

    def _note(self, party: str) -> None:
        """Count a failure; an outage begins only when a second party fails too."""
        if len(self._parties) < 2 or party == NOBODY:
            self._parties.add(party)
        alone = len(self._parties) < 2 and NOBODY not in self._parties
        if self._row == 0 or alone:
            self._since = self._clock()
        self._row += 1
        if alone:
            self._row = min(self._row, SUSPECT - 1)

    async def ask(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send at once, or, while the server is suspect, wait until this request may probe it.

        Raises:
            EndpointDown: it has been given up.
        """
        if not self.suspect:
            return await send()
        async with self._probe:
            if self._given_up:
                raise EndpointDown(self._given_up)
            if self.suspect:
                await self._sleep(self._pause())
                return await send()
        return await send()
