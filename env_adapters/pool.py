"""A pool of expensive resources: bounded, made when needed, kept and lent to one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from agent_r.errors import EnvironmentFault

T = TypeVar("T")


class Pool(Generic[T]):
    """At most `limit` of something that an environment holds for an episode.

    Who asks for more waits; a search holds one and asks for no second, so that nobody waits for
    ever. What broke is dropped, and its place taken by a new one.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[T]],
        end: Callable[[T], Awaitable[None]],
        *,
        limit: int,
    ) -> None:
        self._make, self._end = make, end
        self._places = asyncio.Semaphore(limit)
        self._idle: list[T] = []
        self._lent: list[T] = []
        self._closed = False

    @property
    def held(self) -> int:
        """How many resources exist, idle ones too."""
        return len(self._idle) + len(self._lent)

    async def take(self) -> T:
        """Borrow a resource, once one is free or may be made.

        Raises:
            EnvironmentFault: all were ended.
        """
        await self._places.acquire()
        try:
            thing = await self._whole()
        except BaseException:
            self._places.release()
            raise
        self._lent.append(thing)
        return thing

    async def _whole(self) -> T:
        if self._closed:
            raise EnvironmentFault("this world was closed already")
        if self._idle:
            return self._idle.pop()
        thing = await self._make()
        if self._closed:  # meanwhile: nobody would end it
            await self._end(thing)
            raise EnvironmentFault("this world was closed already")
        return thing

    def give_back(self, thing: T) -> None:
        """Return a working resource to the pool; one that was ended meanwhile is not kept."""
        if self._leave(thing):
            self._idle.append(thing)

    async def drop(self, thing: T) -> None:
        """End a resource that is broken or in an unknown state; only then is another made."""
        try:
            await self._end(thing)
        finally:
            self._leave(thing)

    async def aclose(self) -> None:
        """End all, those still lent too; whoever waits for one gets an error."""
        self._closed = True
        self._places.release()  # each that is woken wakes the next
        things, self._idle, self._lent = self._idle + self._lent, [], []
        await asyncio.gather(*(self._end(thing) for thing in things))

    def _leave(self, thing: T) -> bool:
        for place, lent in enumerate(self._lent):
            if lent is thing:
                del self._lent[place]
                self._places.release()
                return True
        return False
