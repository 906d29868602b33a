"""ScienceWorld's own gold actions: what the scripted actor follows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from env_adapters.jvm.simulators import Simulator, Simulators
from env_adapters.scienceworld.tasks import variation_of

_USELESS = ("look around", "inventory", "wait1", "task", "focus on air", "open drawer")


class Gold:
    """Implements Expert: the gold actions of a task, those done taken off in their order.

    They are asked for once and kept, for that takes seconds; and with a simulator beside those that
    are lent, for who asks holds one of them. Some variations begin with the same words: those of
    the one that began last are told.
    """

    def __init__(self, simulators: Simulators, simplifications: str) -> None:
        self._simulators, self._simplifications = simulators, simplifications
        self._tasks: dict[str, str] = {}  # by opening prompt
        self._known: dict[str, tuple[str, ...]] = {}
        self._turn = asyncio.Lock()
        self._own: Simulator | None = None

    def remember(self, prompt: str, task: str) -> None:
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

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        """Some that do nothing, and some that would have been right later."""
        known = (*_USELESS, *(await self.plan(prompt, actions))[1:4])
        return random.Random(repr((prompt, tuple(actions)))).sample(known, 4)

    async def _gold(self, task: str) -> tuple[str, ...]:
        async with self._turn:
            if task not in self._known:
                if self._own is None or not self._own.machine.alive:
                    self._own = await self._simulators.extra()
                own = self._own
                self._known[task] = await self._simulators.call(
                    lambda: self._fetch(own, task), own.machine
                )
            return self._known[task]

    def _fetch(self, simulator: Simulator, task: str) -> tuple[str, ...]:
        name, variation = variation_of(task)
        simulator.server.load(name, variation, self._simplifications, True)
        return tuple(str(action) for action in simulator.server.getGoldActionSequence())
