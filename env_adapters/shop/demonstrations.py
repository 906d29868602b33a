"""Demonstrations by the shop's expert, for a warm start: clean episodes, and steps that are judged.

The goals are of other catalogues, without those that this one happens to ask for in the same words:
what is explored and what is tested stays unseen. No acting row holds a mistake, and nothing follows
one in a judging row: no row shows how to recover, which is left to Agent-R to teach.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent_r.actor import Message
from agent_r.algorithm.prompts import conversation, judge_request
from agent_r.algorithm.rows import Row
from agent_r.algorithm.trajectory import Step
from agent_r.settings import ShopEnv
from env_adapters.demonstration_row import demonstration_row
from env_adapters.shop.environment import Shop
from env_adapters.shop.expert import ShopExpert
from env_adapters.shop.pages import opening
from env_adapters.shop.wording import say, verdict

_WRONG = 0.6  # share of the judged steps that are mistakes
_GOALS = 200  # of one catalogue; another one takes a third of a second to make


async def demonstrations(spec: ShopEnv, *, episodes: int, seed: int) -> list[Row]:
    """One acting and one judging row per episode."""
    rng, rows = random.Random(seed), list[Row]()
    own = {opening(goal) for goal in Shop(spec).store.catalogue.goals.values()}
    while (lacking := episodes - len(rows) // 2) > 0:
        other = spec.catalogue + rng.randrange(1, 2**31)
        stock = spec.model_copy(update={"catalogue": other})
        env, expert = Shop(stock), ShopExpert(stock)
        for goal in env.tasks("warm_start")[: min(_GOALS, lacking)]:
            episode = await _episode(env, expert, goal.id, rng)
            if await env.reset(goal.id) not in own:
                rows += episode
    return rows


async def _episode(env: Shop, expert: ShopExpert, goal: str, rng: random.Random) -> list[Row]:
    """Two rows; none where the expert knows no way."""
    way = await expert.plan(await env.reset(goal), ())
    if not way:
        return []
    instruction = env.info.instruction
    prompt, steps = await _play(env, goal, way)
    acting = demonstration_row(conversation(instruction, prompt, steps), [True] * len(steps))
    at = rng.randrange(len(way))
    mistakes = await expert.mistakes(prompt, way[:at]) if rng.random() < _WRONG else ()
    _, judged = await _play(env, goal, [*way[:at], rng.choice(mistakes) if mistakes else way[at]])
    refused = expert.refuses(judged[-1].observation)
    reply = Message("assistant", verdict(right=not mistakes, refused=refused))
    asked = judge_request(instruction, prompt, judged)
    return [acting, demonstration_row([*asked, reply], [False] * len(judged) + [True])]


async def _play(env: Shop, goal: str, actions: Sequence[str]) -> tuple[str, list[Step]]:
    """The first observation, and the steps of these actions from the beginning."""
    prompt = await env.reset(goal)
    return prompt, [Step(say(a), a, (await env.step(a)).observation) for a in actions]
