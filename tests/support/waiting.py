"""Wait for what is about to come, for as long as a busy machine may take.

What is waited for comes within a moment; the limit is only there so that a test ends that fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from agent_r.env_check.resources import Resources

PATIENCE_S = 120.0

T = TypeVar("T")


def until(
    what: Callable[[], T | None], *, within_s: float = PATIENCE_S, every_s: float = 0.05
) -> T:
    """Wait for something that is not None or false, and return it."""
    deadline = time.monotonic() + within_s
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come within {within_s:g} s")
        time.sleep(every_s)
    return found


async def soon(what: Callable[[], T | None], *, within_s: float = PATIENCE_S) -> T:
    """The same, while the event loop goes on."""
    deadline = time.monotonic() + within_s
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come within {within_s:g} s")
        await asyncio.sleep(0.005)
    return found


async def all_given_back(before: Resources) -> None:
    """Wait until this process holds no more than before: a thread takes a moment to end."""
    try:
        await soon(lambda: not Resources.now().more_than(before), within_s=10)
    except TimeoutError:
        raise AssertionError(f"left: {Resources.now().more_than(before)}") from None
