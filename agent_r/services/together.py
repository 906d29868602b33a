"""Many jobs at once, with a bound; the first failure ends them all and is raised as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def each(
    items: Iterable[T], job: Callable[[T], Awaitable[R]], *, limit: asyncio.Semaphore
) -> list[R]:
    """`job` of every item, results in order; at most `limit` at once, shared with other callers."""

    async def one(item: T) -> R:
        async with limit:
            return await job(item)

    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(one(item)) for item in items]
    except BaseExceptionGroup as failures:
        raise _first(failures) from None
    return [task.result() for task in running]


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
