"""Close worlds and environments; a failure to close is logged and counted, never raised."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from agent_r.environment import Environment
from agent_r.loading import one_line

_log = logging.getLogger("agent_r.progress")


@contextlib.asynccontextmanager
async def lent(env: Environment, world: str, unclosed: Counter[str]) -> AsyncIterator[Environment]:
    """Use an environment as a context; it is closed at the end, whatever happened."""
    try:
        yield env
    finally:
        await close(env.close, world, unclosed)


async def close(closing: Callable[[], Awaitable[None]], world: str, unclosed: Counter[str]) -> None:
    """Close a world or an environment of it; a failure is counted in `unclosed`, its first said."""
    try:
        await closing()
    except Exception as error:  # noqa: BLE001 -- a world may be anybody's
        unclosed[world] += 1
        if unclosed[world] == 1:
            _log.warning("the world '%s' cannot be closed: %s", world, one_line(error))


def notes(unclosed: Counter[str]) -> list[str]:
    """Lines about failed closings, for the end of a run.

    >>> notes(Counter(shop=3))
    ["the world 'shop' could not be closed 3 times: it may have left something open"]
    """
    return [
        f"the world '{world}' could not be closed {times} times: it may have left something open"
        for world, times in unclosed.items()
    ]
