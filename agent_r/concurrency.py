"""Run many jobs concurrently, up to a limit; the first failure cancels the rest and is raised."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def gather_bounded(
    items: Iterable[T],
    job: Callable[[T], Awaitable[R]],
    *,
    limit: AbstractAsyncContextManager[object] | None = None,
) -> list[R]:
    """Run `job` for every item, results in order; `limit` is shared with other callers."""

    async def one(item: T) -> R:
        async with limit or contextlib.nullcontext():
            return await job(item)

    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(one(item)) for item in items]
    except BaseExceptionGroup as failures:
        raise first_of(failures) from None
    return [task.result() for task in running]


def first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that ended the others."""
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
