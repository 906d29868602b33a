"""An actor for TextCraft without a model: the planner, with seeded mistakes, judging rightly.

It reads a conversation like any other actor, so all else is real. The same conversation, seed and
number of the sample give the same reply: with it a whole run repeats to the byte.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from agent_r.actor import Completion, Message, SamplingParams, Usage, parse_action
from agent_r.prompts import JUDGE
from agent_r.settings import ScriptedEndpoint, TextCraftEnv
from env_adapters.textcraft import TextCraft
from env_adapters.textcraft_demos import mistake, say, verdict
from env_adapters.textcraft_expert import plan


class ScriptedCrafter:
    """Implements Actor over a private copy of the world, brought to where the conversation is."""

    def __init__(self, config: ScriptedEndpoint, env: TextCraftEnv) -> None:
        self._error_rate = config.error_rate
        self._spec = env
        self._usage = Usage()

    @property
    def name(self) -> str:
        return f"scripted-{self._error_rate:g}"

    @property
    def usage(self) -> Usage:
        return self._usage

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        await asyncio.sleep(0)  # as a real endpoint would, let others run: a Ctrl-C, for one
        texts = [m.content for m in messages]
        replies = [
            await self._reply(messages, random.Random(repr((texts, params.seed, k))))
            for k in range(n)
        ]
        self._usage.requests += 1
        read, written = (sum(len(text) // 4 for text in side) for side in (texts, replies))
        self._usage.prompt_tokens += read
        self._usage.completion_tokens += written
        first, *others = [Completion(reply) for reply in replies]
        return [replace(first, prompt_tokens=read, completion_tokens=written), *others]

    async def _reply(self, messages: Sequence[Message], rng: random.Random) -> str:
        env = TextCraft(self._spec)
        goal = messages[1].content.rsplit("Goal: craft ", 1)[1].removesuffix(".")
        await env.reset(goal)
        replies = [m.content for m in messages if m.role == "assistant"]
        before, observation = dict(env.inventory), ""
        for reply in replies:
            before = dict(env.inventory)
            observation = (await env.step(parse_action(reply))).observation
        if messages[-1].content.endswith(JUDGE):
            return verdict(env, before, parse_action(replies[-1]), observation)
        wrong = rng.random() < self._error_rate
        right = plan(env.book, goal, env.inventory)[0]
        return say(mistake(env, rng) if wrong else right, goal)

    async def aclose(self) -> None:
        """Nothing to give back."""
