"""TextCraft as a world of a run: its environments share nothing, and its planner is the expert."""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent_r.environment import Embedded, World
from agent_r.settings import TextCraftEnv
from env_adapters.textcraft.claims import Deed, holds, thing_of
from env_adapters.textcraft.demonstrations import mistake, say
from env_adapters.textcraft.distance import distance
from env_adapters.textcraft.environment import REFUSALS, TextCraft
from env_adapters.textcraft.expert import plan
from env_adapters.textcraft.purposes import goal_of, item_of

MISTAKES = 4


class Planner:
    """Implements Expert, Measuring, Refusing, Speaking and FactChecking.

    It works on a private copy of the world, brought to where the actions lead.
    """

    def __init__(self, spec: TextCraftEnv) -> None:
        self._spec = spec

    async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        env, ended = await self._at(prompt, actions)
        return () if ended else plan(env.book, env.goal, env.inventory)

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        env, ended = await self._at(prompt, actions)
        rng = random.Random(repr((prompt, tuple(actions))))
        return () if ended else [mistake(env, rng) for _ in range(MISTAKES)]

    async def distance(self, prompt: str, actions: Sequence[str]) -> float | None:
        """A thousandth for each ingredient of a single craft that is still to be got."""
        env, ended = await self._at(prompt, actions)
        if ended:
            return 0
        left, lacking = distance(env.book, env.goal, env.inventory)
        return left + lacking / 1000

    def refuses(self, observation: str) -> bool:
        return observation.startswith(REFUSALS)

    def say(self, prompt: str, action: str) -> str:
        return say(action, goal_of(prompt))

    async def holds(self, prompt: str, actions: Sequence[str], sentence: str) -> bool | None:
        env, _ = await self._at(prompt, actions[:-1])
        before = dict(env.inventory)
        observation = (await env.step(actions[-1])).observation
        return holds(sentence, Deed(env, before, env.inventory, actions[-1], observation))

    def speaks_of(self, action: str, sentence: str) -> bool | None:
        named = thing_of(sentence)
        return None if named is None else named == item_of(action)

    async def _at(self, prompt: str, actions: Sequence[str]) -> tuple[TextCraft, bool]:
        """The world after these actions, and whether the episode is over."""
        env = TextCraft(self._spec)
        await env.reset(goal_of(prompt))
        for action in actions:
            if (await env.step(action)).terminated:
                return env, True
        return env, False


def textcraft(spec: TextCraftEnv) -> World:
    """The world of these settings."""
    return Embedded(lambda: TextCraft(spec), Planner(spec))
