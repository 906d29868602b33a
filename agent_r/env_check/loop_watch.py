"""Measure how long a world blocks the event loop, and interrupt one that hangs.

A world that never lets go of the loop would take the check with it; on the main thread of a POSIX
system, an alarm ends the call that holds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

BEAT_S = 0.02


class Held(BaseException):
    """Raised where the loop is held for good; no `except Exception` of a world swallows it."""


class Watch:
    """A heartbeat of the loop; as a context it beats until the end."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._last = self._since = time.monotonic()
        self._longest = 0.0
        self._beat: asyncio.Task[None] | None = None
        self._alarm = contextlib.ExitStack()

    async def __aenter__(self) -> Watch:
        self._last = time.monotonic()
        self._beat = asyncio.create_task(self._beating(), name="contract's heartbeat")
        self._alarm.enter_context(_every(min(1.0, self._limit_s / 2), self._release))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._alarm.close()
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.wait({self._beat})

    def start(self) -> None:
        """Forget what was before the call that begins now."""
        self._since, self._longest = time.monotonic(), 0.0

    def held_s(self) -> float:
        """How long the loop stood still at most since `start`; what lies before it is no part."""
        return max(self._longest, time.monotonic() - max(self._last, self._since))

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            now = time.monotonic()
            self._longest = max(self._longest, now - max(self._last, self._since))
            self._last = now

    def _release(self, number: int, frame: FrameType | None) -> None:
        held = time.monotonic() - max(self._last, self._since)
        if held > self._limit_s:
            where = f" in {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
            raise Held(f"held the event loop for {held:.1f} s{where}")


@contextmanager
def _every(seconds: float, answer: Any) -> Iterator[None]:
    """Have an alarm answered every few seconds, where that is possible and nobody else does it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return
    if signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGALRM, answer)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
