"""The expert's episodes with mistakes that are corrected: what a perfect teacher would show.

A mistake is of the kinds that a beginner makes, and is not trained on; what makes up for it is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent_r.algorithm.prompts import conversation
from agent_r.algorithm.rows import Row
from agent_r.algorithm.trajectory import Step
from agent_r.settings import TextCraftEnv
from env_adapters.demonstration_row import demonstration_row
from env_adapters.textcraft.demonstrations import mistake, say
from env_adapters.textcraft.environment import TextCraft
from env_adapters.textcraft.expert import plan

NOISE = 0.3  # chance that a step is a mistake
_EPISODES = 3  # of each goal
_MAX_STEPS = 24


async def corrected_episodes(spec: TextCraftEnv, goals: Sequence[str], *, seed: int) -> list[Row]:
    """One row for each episode that reaches its goal after at least one mistake."""
    env, rng = TextCraft(spec), random.Random(seed)
    rows = [await _episode(env, goal, rng) for _ in range(_EPISODES) for goal in goals]
    return [one for one in rows if one is not None]


async def _episode(env: TextCraft, goal: str, rng: random.Random) -> Row | None:
    prompt, done = await env.reset(goal), False
    steps: list[Step] = []
    right: list[bool] = []
    while not done and len(steps) < _MAX_STEPS:
        right.append(rng.random() >= NOISE)
        action = plan(env.book, goal, env.inventory)[0] if right[-1] else mistake(env, rng)
        result = await env.step(action)
        steps.append(Step(say(action, goal), action, result.observation))
        done = result.terminated
    if not done or all(right):
        return None
    messages = conversation(env.info.instruction, prompt, steps)
    return demonstration_row(messages, right) | {"kind": "corrected"}
