"""Log the progress of a run: items done of how many, rate, time left, tokens.

Every line goes to the logger `agent_r.progress`: the CLI shows it, Prefect ships it to its UI.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from agent_r.actor import Usage

LOG = logging.getLogger("agent_r.progress")


@contextmanager
def watched(watch: Callable[[Progress], None]) -> Iterator[None]:
    """Within, whoever shows a run beside its log is handed each count that begins."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


@dataclass(slots=True)
class Progress:
    """One count; a line at most every `every` seconds, and one at the end."""

    stage: str
    total: int
    unit: str
    usage: Usage | None = None
    every: float = 2.0
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    details: Callable[[], Sequence[str]] = tuple  # more for the line: what a run costs, say
    _began: float = field(init=False)
    _logged: float = field(init=False)
    _tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self._began = self._logged = self.clock()
        self._tokens = self.usage.tokens if self.usage else 0
        LOG.info("%s: %d %s to do", self.stage, self.total, self.unit)
        if (watch := _watch.get()) is not None:
            watch(self)

    def step(self, count: int = 1) -> None:
        """Count what is finished."""
        self.done += count
        now = self.clock()
        if self.done >= self.total or now - self._logged >= self.every:
            self._logged = now
            LOG.info("%s", self.line())

    @property
    def share(self) -> float:
        """How much of it is done."""
        return self.done / self.total if self.total else 1.0

    def line(self) -> str:
        """The line for a person."""
        return " · ".join(self.parts())

    def parts(self) -> list[str]:
        """The count, its rate and the time left; then what else there is to say."""
        seconds = max(self.clock() - self._began, 1e-9)
        parts = [f"{self.stage}: {self.done}/{self.total} {self.unit}"]
        if self.done:
            left = (self.total - self.done) / self.done * seconds
            time_left = f"{span(left)} left" if self.done < self.total else span(seconds)
            parts += [a_second(self.done / seconds), time_left]
        if self.usage is not None:
            parts.append(f"{self.usage.tokens - self._tokens:,} tokens")
        return [*parts, *self.details()]


_watch: ContextVar[Callable[[Progress], None] | None] = ContextVar("watch", default=None)


def span(seconds: float) -> str:
    """A time, as long as a person would say it.

    >>> span(75), span(600), span(9000)
    ('75 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def a_second(rate: float) -> str:
    """A rate, in a unit in which it is no zero.

    >>> a_second(2.0), a_second(0.02), a_second(0.001)
    ('2.0/s', '1.2/min', '3.6/h')
    """
    for unit, seconds in (("s", 1), ("min", 60)):
        if rate * seconds >= 0.1:
            return f"{rate * seconds:.1f}/{unit}"
    return f"{rate * 3600:.1f}/h"
