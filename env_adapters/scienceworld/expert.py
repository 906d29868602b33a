"""ScienceWorld's own gold actions, and what else somebody might do."""

from __future__ import annotations

import random
from collections.abc import Sequence

from env_adapters.jvm.gold import GoldActions
from env_adapters.jvm.simulators import Simulator, Simulators
from env_adapters.scienceworld.tasks import variation_of

_USELESS = ("look around", "inventory", "wait1", "task", "focus on air", "open drawer")


class GoldOfTasks(GoldActions[str]):
    """Implements Expert."""

    def __init__(self, simulators: Simulators, simplifications: str) -> None:
        super().__init__(simulators)
        self._simplifications = simplifications

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        """Some that do nothing, and some that would have been right later."""
        known = (*_USELESS, *(await self.plan(prompt, actions))[1:4])
        return random.Random(repr((prompt, tuple(actions)))).sample(known, 4)

    def fetch(self, simulator: Simulator, task: str) -> Sequence[str]:
        name, variation = variation_of(task)
        simulator.server.load(name, variation, self._simplifications, True)
        return [str(action) for action in simulator.server.getGoldActionSequence()]
