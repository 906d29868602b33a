"""What an actor reports of the endpoint that serves it; a scripted one has none."""

from __future__ import annotations

from collections import Counter
from typing import Protocol, runtime_checkable

from agent_r.endpoint.limiter import ConcurrencyLimiter


@runtime_checkable
class Served(Protocol):
    """The part of an actor that is its endpoint's: `EndpointActor` implements it."""

    @property
    def slots(self) -> ConcurrencyLimiter: ...

    @property
    def busy_s(self) -> float:
        """Seconds that requests were in flight, their sum."""
        ...

    @property
    def refused(self) -> list[str]:
        """Settings, or values of them, that the server turned out not to take."""
        ...

    @property
    def faults(self) -> Counter[str]:
        """Tries that failed, by kind."""
        ...
