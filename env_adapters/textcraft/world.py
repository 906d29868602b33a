"""TextCraft as a world of a run: its environments share nothing, and its planner is the expert."""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent_r.environment import Embedded, World
from agent_r.settings import TextCraftEnv
from env_adapters.textcraft.demonstrations import mistake
from env_adapters.textcraft.environment import TextCraft
from env_adapters.textcraft.expert import plan

MISTAKES = 4


class Planner:
    """Implements Expert on a private copy of the world, brought to where the actions lead."""

    def __init__(self, spec: TextCraftEnv) -> None:
        self._spec = spec

    async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        env, ended = await self._at(prompt, actions)
        return () if ended else plan(env.book, env.goal, env.inventory)

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        env, ended = await self._at(prompt, actions)
        rng = random.Random(repr((prompt, tuple(actions))))
        return () if ended else [mistake(env, rng) for _ in range(MISTAKES)]

    async def _at(self, prompt: str, actions: Sequence[str]) -> tuple[TextCraft, bool]:
        """The world after these actions, and whether the episode is over."""
        env = TextCraft(self._spec)
        await env.reset(prompt.rsplit("Goal: craft ", 1)[1].removesuffix("."))
        for action in actions:
            if (await env.step(action)).terminated:
                return env, True
        return env, False


def textcraft(spec: TextCraftEnv) -> World:
    """The world of these settings."""
    return Embedded(lambda: TextCraft(spec), Planner(spec))
