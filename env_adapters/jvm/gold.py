"""A Java world's own gold actions: what the scripted actor follows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

from env_adapters.jvm.simulators import Simulator, Simulators

T = TypeVar("T")


class GoldActions(Generic[T]):
    """A task's gold actions, those done taken off in their order.

    It implements the planning half of an Expert, and Measuring.

    They are asked for once and kept, for that takes seconds, and those of some games are others
    each time; and with a simulator beside those that are lent, for who asks holds one of them.
    Some tasks begin with the same words: those of the one that began last are told.
    """

    def __init__(self, simulators: Simulators) -> None:
        self._simulators = simulators
        self._tasks: dict[str, T] = {}  # by opening prompt
        self._known: dict[T, tuple[str, ...]] = {}
        self._turn = asyncio.Lock()
        self._own: Simulator | None = None

    def fetch(self, simulator: Simulator, task: T) -> Sequence[str]:
        """Ask the world; blocks."""
        raise NotImplementedError

    def remember(self, prompt: str, task: T) -> None:
        """An episode of the task began so."""
        self._tasks[prompt] = task

    async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        task = self._tasks.get(prompt)
        if task is None:
            return ()
        left = await self._gold(task)
        for action in actions:
            if left and action == left[0]:
                left = left[1:]
        return left

    async def distance(self, prompt: str, actions: Sequence[str]) -> float | None:
        """Gold actions left, as long as just they were done: off their way nothing is known."""
        task = self._tasks.get(prompt)
        gold = await self._gold(task) if task is not None else ()
        if not gold or tuple(actions) != gold[: len(actions)]:
            return None
        return len(gold) - len(actions)

    async def _gold(self, task: T) -> tuple[str, ...]:
        async with self._turn:
            if task not in self._known:
                if self._own is None or not self._own.machine.alive:
                    self._own = await self._simulators.extra()
                own = self._own
                gold = await self._simulators.call(lambda: self.fetch(own, task), own.machine)
                self._known[task] = tuple(gold)
            return self._known[task]
