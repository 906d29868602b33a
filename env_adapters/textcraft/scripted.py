"""An actor for TextCraft without a model: the planner, with seeded mistakes, judging rightly.

It reads a conversation like any other actor, so all else is real. The same conversation, seed and
number of the sample give the same reply: with it a whole run repeats to the byte.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.algorithm.prompts import JUDGE
from agent_r.reading.reply import parse_action
from agent_r.settings import ScriptedEndpoint, TextCraftEnv
from env_adapters.textcraft.demonstrations import mistake, say, verdict
from env_adapters.textcraft.environment import TextCraft, TextCraftState
from env_adapters.textcraft.expert import plan


class ScriptedCrafter:
    """Implements Actor over a private copy of the world, brought to where the conversation is."""

    def __init__(self, config: ScriptedEndpoint, env: TextCraftEnv) -> None:
        self._error_rate = config.error_rate
        self._spec = env
        self._usage = Usage()
        self._openings: dict[str, TextCraftState] = {}

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
        seeded = [random.Random(repr((texts, params.seed, k))) for k in range(n)]
        replies = await self._replies(messages, seeded)
        self._usage.requests += 1
        read, written = (sum(len(text) // 4 for text in side) for side in (texts, replies))
        self._usage.prompt_tokens += read
        self._usage.completion_tokens += written
        first, *others = [Completion(reply) for reply in replies]
        return [replace(first, prompt_tokens=read, completion_tokens=written), *others]

    async def _replies(
        self, messages: Sequence[Message], seeded: Sequence[random.Random]
    ) -> list[str]:
        """One reply for each generator; the conversation is replayed once for them all."""
        env = TextCraft(self._spec)
        goal = messages[1].content.rsplit("Goal: craft ", 1)[1].removesuffix(".")
        await self._open(env, goal)
        replies = [m.content for m in messages if m.role == "assistant"]
        before, observation = dict(env.inventory), ""
        for reply in replies:
            before = dict(env.inventory)
            observation = (await env.step(parse_action(reply))).observation
        if messages[-1].content.endswith(JUDGE):
            return [verdict(env, before, parse_action(replies[-1]), observation)] * len(seeded)
        right = plan(env.book, goal, env.inventory)[0]
        wrong = [rng.random() < self._error_rate for rng in seeded]
        actions = [mistake(env, rng) if w else right for w, rng in zip(wrong, seeded, strict=True)]
        return [say(action, goal) for action in actions]

    async def _open(self, env: TextCraft, goal: str) -> None:
        """Begin an episode; a goal's prompt, which nobody reads here, is written once alone."""
        if goal not in self._openings:
            await env.reset(goal)
            self._openings[goal] = env.snapshot()
        env.restore(self._openings[goal])

    async def aclose(self) -> None:
        """Nothing to give back."""
