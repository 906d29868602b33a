"""Our flows and tasks: Prefect's where there is a server, plain calls where there is none.

A process without a server has Prefect begin one for itself: seven seconds of CPU, for records that
nobody can look at, since that server ends with the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar
from uuid import UUID, uuid4

from prefect import Flow, Task

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class PlainRun:
    """A flow's call that no server knows of."""

    flow: Flow[..., Any] | None = None
    id: UUID = field(default_factory=uuid4)


_plain: ContextVar[PlainRun | None] = ContextVar("plain", default=None)


def call_plainly() -> None:
    """From now on, in this context, flows and tasks are called without Prefect's engine."""
    _plain.set(PlainRun())


def plain_run() -> PlainRun | None:
    """The call that this is; None where Prefect's engine runs it."""
    return _plain.get()


@contextmanager
def _within(flow: Flow[..., Any]) -> Iterator[None]:
    token = _plain.set(PlainRun(flow))
    try:
        yield
    finally:
        _plain.reset(token)


class _Flow(Flow[P, R]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _plain.get() is None:
            return super().__call__(*args, **kwargs)
        return self._plainly(*args, **kwargs)

    async def _plainly(self, *args: Any, **kwargs: Any) -> Any:
        with _within(self):
            work: Any = self.fn(*args, **kwargs)
            return await work

    def with_options(self, **options: Any) -> Flow[P, R]:
        return self if _plain.get() is not None else super().with_options(**options)


class _Task(Task[P, R]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        plainly = _plain.get() is not None
        return self.fn(*args, **kwargs) if plainly else super().__call__(*args, **kwargs)


def flow(**options: Any) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """As `prefect.flow`, of an async function."""
    return lambda work: _Flow(work, **options)


def task(**options: Any) -> Callable[[Callable[P, R]], Task[P, R]]:
    """As `prefect.task`."""
    return lambda work: _Task(work, **options)
